import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { meshErrorLines } from '../http/mesh-errors.ts';
import { ProxyError } from '../http/proxy-error.ts';
import { resetThrough } from '../http/tls-reset.ts';
import { type CredentialSource, pemOptions } from '../identity/identity.ts';
import type { Judge, Refusal } from '../identity/peer-check.ts';
import { SourceCounts } from '../policy/source-counts.ts';
import type { TlsMetrics } from '../telemetry/tls-metrics.ts';
import { errorAnswer } from './http1-exchange.ts';

/** A first byte, and then a handshake, must each come within this time. */
const FIRST_BYTE_TIMEOUT_MS = 20_000;
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A session is resumed this long at most: then the certificate is shown again. */
const SESSION_SECONDS = 3_600;
const LINGER_MS = 1_000;
/** TLS's record type of a handshake (RFC 8446 §5.1); no method of HTTP begins with it. */
const TLS_HANDSHAKE = 0x16;

const ANYONE = { node: undefined };

export interface TlsFrontOptions {
  readonly mode: 'permissive' | 'required';
  readonly identity: CredentialSource;
  /** Whom to let in. Undefined: anyone, and nobody is asked for a certificate. */
  readonly judge: Judge | undefined;
  /** Whether a node is in the cluster no more: connections of its daemon end. */
  readonly gone?: ((node: string) => boolean) | undefined;
  readonly metrics: TlsMetrics;
}

/** Takes a connection that may carry requests: of a node's daemon, or (under `permissive`) of anyone in plaintext. */
export type AcceptSocket = (socket: Socket, node: string | undefined) => void;

/**
 * Stands before a listener that other daemons connect to: tells TLS from plaintext by the first byte, and lets in daemons of
 * this mesh. Whom it refuses it tells why, in an answer, since a TLS alert would say almost nothing.
 */
export class TlsFront {
  readonly #options: TlsFrontOptions;
  readonly #accept: AcceptSocket;
  readonly #server: Server;
  /** Connections that carry no requests yet. */
  readonly #pending = new Map<Socket, string>();
  readonly #pendingBySource = new SourceCounts();
  readonly #raw = new Map<string, Socket>();

  constructor(options: TlsFrontOptions, accept: AcceptSocket) {
    this.#options = options;
    this.#accept = accept;
    this.#server = createServer({
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['http/1.1'],
      requestCert: options.judge !== undefined,
      rejectUnauthorized: false, // who is not let in is told why
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      sessionTimeout: SESSION_SECONDS,
      sessionIdContext: 'nodemesh',
    });
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket));
    this.#server.on('tlsClientError', (_error, socket) => {
      options.metrics.refused('server', 'handshake');
      socket.destroy();
    });
    this.#useIdentity();
    options.identity.onChange(() => this.#useIdentity());
  }

  /** Takes a connection as it was accepted; `source`: whose it is. */
  take(socket: Socket, source: string): void {
    this.#pending.set(socket, source);
    this.#pendingBySource.add(source, 1);
    const forget = () => this.#forget(socket);
    socket.on('error', forget); // 'close' follows
    socket.once('close', forget);
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS, () => socket.destroy());
    socket.once('end', () => {
      if (this.#pending.has(socket)) socket.destroy();
    });
    socket.once('data', (bytes: Buffer) => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.pause();
      socket.unshift(bytes);
      if (bytes[0] === TLS_HANDSHAKE) this.#handshake(socket);
      else this.#onPlaintext(socket);
    });
  }

  /** Whether a caller that was let in is trusted no more. */
  revoked(node: string | undefined): boolean {
    const { gone, metrics } = this.#options;
    if (node === undefined || gone?.(node) !== true) return false;
    metrics.closed('server', 'node_gone');
    return true;
  }

  /** How many connections of an address carry no requests yet. */
  pendingOf(source: string): number {
    return this.#pendingBySource.of(source);
  }

  /** Ends whatever carries no requests yet. */
  destroyPending(): void {
    for (const socket of this.#pending.keys()) socket.destroy();
  }

  #forget(socket: Socket): void {
    const source = this.#pending.get(socket);
    if (source === undefined) return;
    this.#pending.delete(socket);
    this.#pendingBySource.add(source, -1);
  }

  #useIdentity(): void {
    const { current } = this.#options.identity;
    if (current === undefined) return;
    // With new ticket keys: sessions of the identity before end in a full handshake.
    this.#server.setSecureContext({
      ...pemOptions(current),
      minVersion: 'TLSv1.3',
      ticketKeys: Buffer.from(current.ticketKeys),
      sessionTimeout: SESSION_SECONDS,
      sessionIdContext: 'nodemesh',
    });
  }

  #handshake(raw: Socket): void {
    if (this.#options.identity.current === undefined) {
      this.#options.metrics.refused('server', 'no_identity');
      raw.destroy();
      return;
    }
    const key = connectionKey(raw);
    this.#raw.set(key, raw);
    raw.once('close', () => this.#raw.delete(key));
    this.#server.emit('connection', raw);
  }

  #onSecure(socket: TLSSocket): void {
    const { judge, metrics } = this.#options;
    const raw = this.#raw.get(connectionKey(socket));
    if (raw === undefined) {
      socket.destroy();
      return;
    }
    resetThrough(socket, raw);
    const shown = {
      certificate: socket.getPeerX509Certificate(),
      chainError: socket.authorized ? undefined : String(socket.authorizationError ?? 'unknown'),
    };
    const verdict = judge === undefined ? ANYONE : judge(shown, undefined, this.#pending.get(raw));
    if ('refusal' in verdict) {
      this.#refuse(socket, verdict);
      return;
    }
    this.#forget(raw);
    metrics.connected('server', socket.isSessionReused() ? 'resumed' : 'full');
    this.#accept(socket, verdict.node);
  }

  #onPlaintext(socket: Socket): void {
    if (this.#options.mode === 'required') {
      this.#refuse(socket, { refusal: 'plaintext', why: 'it speaks plaintext' });
      return;
    }
    this.#forget(socket);
    this.#options.metrics.connected('server', 'plaintext');
    this.#accept(socket, undefined);
    socket.resume();
  }

  #refuse(socket: Socket, { refusal, why }: Refusal): void {
    this.#options.metrics.refused('server', refusal);
    const error = new ProxyError(
      'peer_refused',
      `the caller ${socket.remoteAddress} is no daemon of this mesh: ${why}`,
    );
    socket.on('error', () => {}); // 'close' follows
    socket.resume(); // what is unread would turn the end into a reset that eats the answer
    socket.end(errorAnswer(error, meshErrorLines(error)));
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
    timer.unref();
  }
}

function connectionKey({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}
