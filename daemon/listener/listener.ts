import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../../lib/log.ts';
import type { ExchangeHandler } from '../http/exchange.ts';
import type { ProxyError } from '../http/proxy-error.ts';
import { COALESCE_BYTES } from './http1-exchange.ts';
import { type ConnectionHost, Http1ServerConnection } from './http1-server-connection.ts';

const SWEEP_MS = 1_000;
const BACKLOG = 1024;
/** What Http1Exchange does not copy is at least this large, so that a socket tells of its end. */
const HIGH_WATER_BYTES = COALESCE_BYTES;

export interface ListenerOptions {
  /** Of the router that it serves; for logs. */
  readonly label: string;
  readonly ip: string;
  readonly port: number;
  /** SO_REUSEPORT, so that the next daemon can listen before this one stops. */
  readonly reusePort: boolean;
  readonly handle: ExchangeHandler;
  readonly onRefused: (error: ProxyError) => void;
  readonly now: () => number;
  readonly log: Log;
}

/** One listening port of one router: accepts connections, keeps track of them, and drains them. */
export class Listener implements ConnectionHost {
  readonly handle: ExchangeHandler;
  readonly now: () => number;
  readonly #options: ListenerOptions;
  readonly #server: Server;
  readonly #connections = new Set<Http1ServerConnection>();
  #draining = false;
  #drained: (() => void) | undefined;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.handle = options.handle;
    this.now = options.now;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES }, (socket) =>
      this.#accept(socket),
    );
  }

  get draining(): boolean {
    return this.#draining;
  }

  get openConnections(): number {
    return this.#connections.size;
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
    for (const connection of this.#connections) connection.drain();
    if (this.#connections.size === 0) this.#drained?.();
    return drained;
  }

  /** Ends at once whatever is still open. */
  destroy(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  onRefused(error: ProxyError): void {
    this.#options.onRefused(error);
  }

  onClosed(connection: Http1ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#draining && this.#connections.size === 0) this.#drained?.();
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const address = remoteAddress.startsWith('::ffff:') ? remoteAddress.slice('::ffff:'.length) : remoteAddress;
    this.#connections.add(new Http1ServerConnection(socket, { address, port: remotePort }, this));
  }

  #sweep(): void {
    const now = this.now();
    for (const connection of this.#connections) connection.sweep(now);
  }
}
