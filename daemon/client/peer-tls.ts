import type { X509Certificate } from 'node:crypto';
import { Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext } from 'node:tls';
import { ProxyError } from '../http/proxy-error.ts';
import { readTlsInto } from '../http/tls-reads.ts';
import { resetThrough } from '../http/tls-reset.ts';
import { type CredentialSource, pemOptions } from '../identity/identity.ts';
import { chainVerdict, type Judge, type Refusal } from '../identity/peer-check.ts';
import type { TlsMetrics } from '../telemetry/tls-metrics.ts';
import {
  addressText,
  type ConnectionEvents,
  type Connector,
  PLAINTEXT,
  type ServerAddress,
  type ShownServer,
} from './connector.ts';

const HANDSHAKE_TIMEOUT_MS = 5_000;
/** Under `permissive`, a connection in plaintext is used this long, and a daemon that does not speak TLS asked anew after it. */
const PLAINTEXT_MS = 30_000;
const MAX_REMEMBERED = 10_000;
const ALPN = ['http/1.1'];
/** What the first bytes of an answer in plaintext look like to TLS. */
const NOT_TLS = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG']);
const CHAIN_ERROR = /^(?:CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_|PATH_LENGTH_)/;

export interface PeerTlsOptions {
  readonly mode: 'permissive' | 'required';
  readonly identity: CredentialSource;
  readonly judge: Judge;
  /** Whether a node is in the cluster no more: connections to its daemon end. */
  readonly gone?: ((node: string) => boolean) | undefined;
  /** The name that is asked for (SNI), and whether what answers must be of a CA that is believed. */
  readonly serverName?: string | undefined;
  readonly checksChain?: boolean | undefined;
  readonly metrics: TlsMetrics;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/**
 * Connects to other daemons by mutual TLS 1.3: nothing is sent before the other side has proved to be the daemon of the
 * node that is meant. A new identity serves new connections; those that stand, stay. Under `permissive`, a daemon that
 * answers in plaintext is spoken to in plaintext, and so is every one while there is no identity.
 */
export class PeerTls implements Connector {
  readonly #options: PeerTlsOptions;
  #context: SecureContext | undefined;
  /** By server, under the identity in force: a resumed session shows no certificate, and stands for the first one's. */
  readonly #sessions = new Map<
    string,
    { readonly ticket: Buffer; readonly certificate: X509Certificate | undefined }
  >();
  readonly #plaintextUntil = new Map<string, number>();
  /** Connections in plaintext for want of an identity: by one it would be known whose requests they carry. */
  readonly #anonymous = new Set<() => void>();

  constructor(options: PeerTlsOptions) {
    this.#options = options;
    options.identity.onChange(() => {
      this.#context = undefined;
      this.#sessions.clear();
      for (const makeStale of this.#anonymous) makeStale();
      this.#anonymous.clear();
    });
  }

  connect(address: ServerAddress, events: ConnectionEvents): Socket {
    const { mode, metrics } = this.#options;
    const context = this.#secureContext();
    if (mode === 'permissive' && (context === undefined || this.#speaksPlaintext(address))) {
      metrics.connected('client', 'plaintext');
      return this.#connectInPlaintext(address, events, context === undefined);
    }
    if (context !== undefined) return this.#connectSecurely(address, context, events);
    metrics.refused('client', 'no_identity');
    return failed(new ProxyError('peer_not_trusted', 'this daemon has no certificate of its own yet'));
  }

  #connectInPlaintext(address: ServerAddress, events: ConnectionEvents, anonymous: boolean): Socket {
    const socket = PLAINTEXT.connect(address, events);
    const { onStale } = events;
    if (onStale === undefined) return socket;
    setTimeout(onStale, PLAINTEXT_MS).unref();
    if (anonymous) {
      this.#anonymous.add(onStale);
      socket.once('close', () => this.#anonymous.delete(onStale));
    }
    return socket;
  }

  explain(address: ServerAddress, cause: Error | undefined): ProxyError {
    if (cause instanceof ProxyError) return cause;
    const { code = '' } = (cause ?? {}) as NodeJS.ErrnoException;
    if (CHAIN_ERROR.test(code)) return this.#refuse(address, chainVerdict(code));
    if (NOT_TLS.has(code)) {
      if (this.#options.mode === 'permissive') this.#rememberPlaintext(address);
      return this.#refuse(address, { refusal: 'plaintext', why: 'it does not speak TLS' });
    }
    if (code.startsWith('ERR_SSL_')) {
      return this.#refuse(address, { refusal: 'handshake', why: `the TLS handshake failed (${code})` });
    }
    return PLAINTEXT.explain(address, cause);
  }

  shown(address: ServerAddress): ShownServer | undefined {
    if (this.#speaksPlaintext(address)) return { secure: false, notAfter: undefined };
    const session = this.#sessions.get(sessionKey(address));
    if (session === undefined) return undefined;
    return { secure: true, notAfter: session.certificate && Date.parse(session.certificate.validTo) };
  }

  revoked({ node }: ServerAddress): boolean {
    const { gone, metrics } = this.#options;
    if (node === undefined || gone?.(node) !== true) return false;
    metrics.closed('client', 'node_gone');
    return true;
  }

  #connectSecurely(address: ServerAddress, secureContext: SecureContext, events: ConnectionEvents): Socket {
    const { judge, serverName, checksChain = true, metrics } = this.#options;
    const key = sessionKey(address);
    const raw = PLAINTEXT.connect(address, { onReady() {} });
    const session = this.#sessions.get(key);
    const socket = connect({
      socket: raw,
      secureContext,
      ALPNProtocols: ALPN,
      checkServerIdentity: () => undefined, // `judge` does, for resumed sessions too
      rejectUnauthorized: checksChain,
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(session === undefined ? {} : { session: session.ticket }),
    });
    raw.on('error', (error) => socket.destroy(error));
    resetThrough(socket, raw);
    socket.cork();
    const timer = setTimeout(() => socket.destroy(new Error('TLS handshake timed out')), HANDSHAKE_TIMEOUT_MS);
    let certificate: X509Certificate | undefined;
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      certificate = socket.isSessionReused() ? session?.certificate : socket.getPeerX509Certificate();
      const verdict = judge({ certificate, chainError: undefined }, address.node);
      if ('refusal' in verdict) {
        socket.destroy(this.#refuse(address, verdict));
        return;
      }
      metrics.connected('client', socket.isSessionReused() ? 'resumed' : 'full');
      if (events.onread !== undefined) readTlsInto(socket, events.onread);
      events.onReady();
      socket.uncork();
    });
    socket.on('session', (ticket) => {
      if (this.#context !== secureContext) return; // of an identity that is no longer in force
      if (this.#sessions.size >= MAX_REMEMBERED) this.#sessions.clear();
      this.#sessions.set(key, { ticket, certificate });
    });
    socket.once('close', () => clearTimeout(timer));
    return socket;
  }

  #refuse(address: ServerAddress, { refusal, why }: Refusal): ProxyError {
    this.#options.metrics.refused('client', refusal);
    this.#sessions.delete(sessionKey(address));
    return new ProxyError('peer_not_trusted', `the daemon at ${addressText(address)} is not trusted: ${why}`);
  }

  #secureContext(): SecureContext | undefined {
    const { current } = this.#options.identity;
    if (current === undefined) return undefined;
    this.#context ??= createSecureContext({
      ...pemOptions(current),
      minVersion: 'TLSv1.3',
    });
    return this.#context;
  }

  #speaksPlaintext(address: ServerAddress): boolean {
    const until = this.#plaintextUntil.get(sessionKey(address));
    return until !== undefined && this.#options.now() < until;
  }

  #rememberPlaintext(address: ServerAddress): void {
    if (this.#plaintextUntil.size >= MAX_REMEMBERED) this.#plaintextUntil.clear();
    this.#plaintextUntil.set(sessionKey(address), this.#options.now() + PLAINTEXT_MS);
  }
}

function sessionKey({ ip, port, node }: ServerAddress): string {
  return `${ip} ${port} ${node ?? ''}`;
}

function failed(error: ProxyError): Socket {
  const socket = new Socket();
  process.nextTick(() => socket.destroy(error));
  return socket;
}
