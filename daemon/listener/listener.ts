import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../../lib/log.ts';
import type { Caller, ExchangeHandler } from '../http/exchange.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { Admission } from '../policy/admission.ts';
import type { CallerTurns } from '../policy/caller-turns.ts';
import { SourceCounts } from '../policy/source-counts.ts';
import { errorAnswer } from './http1-exchange.ts';
import { type ConnectionHost, Http1ServerConnection } from './http1-server-connection.ts';
import { TlsFront, type TlsFrontOptions } from './tls-front.ts';

const SWEEP_MS = 1_000;
const BACKLOG = 1024;
/** Heads that are begun and not ended, of one address: 32 of the longest. */
const MAX_HELD_BYTES = 2 * 1024 * 1024;

export interface ListenerOptions {
  /** Of the router that it serves; for logs. */
  readonly label: string;
  readonly ip: string;
  readonly port: number;
  /** SO_REUSEPORT, so that the next daemon can listen before this one stops. */
  readonly reusePort: boolean;
  readonly handle: ExchangeHandler;
  readonly admission: Admission;
  /** Of this event loop, whichever listener a request comes to. */
  readonly turns?: CallerTurns | undefined;
  /** Undefined: no limit. */
  readonly maxConnectionsPerCaller?: number | undefined;
  /** Field lines that an answer to a request that is not admitted gets. */
  readonly refusalLines: (error: ProxyError) => string;
  readonly onRefused: (error: ProxyError) => void;
  /** Undefined: plaintext alone. */
  readonly tls?: TlsFrontOptions | undefined;
  readonly now: () => number;
  readonly log: Log;
}

/** One listening port of one router: accepts connections, keeps track of them, and drains them. */
export class Listener implements ConnectionHost {
  readonly handle: ExchangeHandler;
  readonly now: () => number;
  readonly turns: CallerTurns | undefined;
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #tls: TlsFront | undefined;
  readonly #connections = new Set<Http1ServerConnection>();
  readonly #bySource = new SourceCounts();
  readonly #heldBytes = new SourceCounts();
  #accepted = 0;
  /** Of connections that are closed. */
  readonly #passed = { read: 0, written: 0 };
  #draining = false;
  #drained: (() => void) | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.handle = options.handle;
    this.now = options.now;
    this.turns = options.turns;
    const { tls } = options;
    const front = tls === undefined ? undefined : new TlsFront(tls, (socket, node) => this.#accept(socket, node));
    this.#tls = front;
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, pauseOnConnect: front === undefined },
      (socket) => {
        if (!this.#admits(socket)) return;
        if (front === undefined) this.#accept(socket, undefined);
        else front.take(socket, sourceOf(socket.remoteAddress ?? ''));
      },
    );
  }

  get draining(): boolean {
    return this.#draining;
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  /** Since the beginning, without those that never got as far as to carry requests. */
  get acceptedConnections(): number {
    return this.#accepted;
  }

  /** What connections with callers have carried so far, heads and all. */
  bytes(): { read: number; written: number } {
    const sum = { ...this.#passed };
    for (const { socket } of this.#connections) addBytes(sum, socket);
    return sum;
  }

  /** Begins to listen; gives the address that it listens on. Rejects with the system's error (EADDRINUSE, EACCES, …). */
  listen(): Promise<{ ip: string; port: number }> {
    const { ip, port, reusePort } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: ip, port, backlog: BACKLOG, reusePort }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#options.log.error({ error, ip, port }, 'listener failed'));
        this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
        this.#sweeper.unref();
        const address = this.#server.address();
        resolve(typeof address === 'object' && address !== null ? { ip, port: address.port } : { ip, port });
      });
    });
  }

  /** Stops accepting, lets requests that are under way finish, and settles when the last connection is closed. */
  drain(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#sweeper);
    this.#server.close(() => {});
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    this.#tls?.destroyPending();
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) this.#drained?.();
    return drained;
  }

  /** Ends at once whatever is still open. */
  destroy(): void {
    this.#tls?.destroyPending();
    for (const connection of this.#connections) connection.destroy();
  }

  onRefused(error: ProxyError): void {
    this.#options.onRefused(error);
  }

  admit(caller: Caller): ProxyError | undefined {
    return this.#options.admission.admit(caller.address);
  }

  release(caller: Caller): void {
    this.#options.admission.release(caller.address);
  }

  holdHead({ address }: Caller, bytes: number): ProxyError | undefined {
    this.#heldBytes.add(address, bytes);
    if (this.#heldBytes.of(address) <= MAX_HELD_BYTES) return undefined;
    return new ProxyError('too_many_connections', `${address} has begun too many heads that it does not end`);
  }

  refusalLines(error: ProxyError): string {
    return this.#options.refusalLines(error);
  }

  onClosed(connection: Http1ServerConnection): void {
    if (this.#connections.delete(connection)) {
      this.#bySource.add(connection.caller.address, -1);
      addBytes(this.#passed, connection.socket);
    }
    if (this.#draining && this.#connections.size === 0) this.#drained?.();
  }

  /** Ends a connection of whom has too many: told why in plaintext, where that may be spoken. */
  #admits(socket: Socket): boolean {
    const { maxConnectionsPerCaller: max = Infinity } = this.#options;
    const address = sourceOf(socket.remoteAddress ?? '');
    if (this.#bySource.of(address) + (this.#tls?.pendingOf(address) ?? 0) < max) return true;
    const error = new ProxyError('too_many_connections', `${address} has ${max} connections open, as many as it may`);
    this.#options.onRefused(error);
    socket.on('error', () => {}); // 'close' follows
    if (this.#tls !== undefined) socket.resetAndDestroy();
    else socket.end(errorAnswer(error, this.#options.refusalLines(error)), () => socket.destroy());
    return false;
  }

  #accept(socket: Socket, node: string | undefined): void {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const address = sourceOf(remoteAddress);
    this.#accepted += 1;
    this.#bySource.add(address, 1);
    this.#connections.add(new Http1ServerConnection(socket, { address, port: remotePort, node }, this));
  }

  #sweep(): void {
    const now = this.now();
    for (const connection of this.#connections) {
      if (this.#tls?.revoked(connection.caller.node) === true) connection.destroy();
      else connection.sweep(now);
    }
  }
}

function addBytes(sum: { read: number; written: number }, { bytesRead, bytesWritten }: Socket): void {
  sum.read += bytesRead;
  sum.written += bytesWritten ?? 0;
}

/** A socket's peer; an IPv4 address is one, whichever socket it comes to. */
function sourceOf(remoteAddress: string): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice('::ffff:'.length) : remoteAddress;
}
