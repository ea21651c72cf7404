import { type Connector, PLAINTEXT, type ServerAddress } from './connector.ts';
import { type ConnectionOwner, Http1ClientConnection } from './http1-client-connection.ts';

const SWEEP_MS = 1_000;
/** Shorter than the 5 s for which many servers keep an idle connection (Node's own default), so that we close first. */
export const POD_IDLE_MS = 3_000;
/** Daemons keep idle connections for 120 s. */
export const PEER_IDLE_MS = 60_000;
/** A server that says how long it waits is believed less this, for the time that a request needs to arrive. */
const SERVER_HINT_MARGIN_MS = 1_000;

/** Keep-alive connections by server address; the most recently used one first, so that surplus ones grow old and go. */
export class Http1Pool implements ConnectionOwner {
  readonly now: () => number;
  readonly #idleMs: number;
  readonly #connector: Connector;
  readonly #idle = new Map<string, Http1ClientConnection[]>();
  readonly #open = new Set<Http1ClientConnection>();
  readonly #sweeper: NodeJS.Timeout;

  /** `idleMs`: how long an idle connection is kept where the server does not ask for less. */
  constructor(idleMs: number, now: () => number, connector: Connector = PLAINTEXT) {
    this.#connector = connector;
    this.#idleMs = idleMs;
    this.now = now;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweeper.unref();
  }

  get openConnections(): number {
    return this.#open.size;
  }

  /** An idle connection to that server, or a new one (which may still be connecting; it takes a request at once). */
  take(address: ServerAddress): Http1ClientConnection {
    const idle = this.#idle.get(keyOf(address));
    while (idle !== undefined && idle.length > 0) {
      const connection = idle.pop() as Http1ClientConnection;
      if (connection.usable) return connection;
    }
    return this.open(address);
  }

  /** A new connection, for a request that an old one has just failed. */
  open(address: ServerAddress): Http1ClientConnection {
    const connection = new Http1ClientConnection(address, this.#connector, this);
    this.#open.add(connection);
    return connection;
  }

  onIdle(connection: Http1ClientConnection): void {
    const key = keyOf(connection.address);
    const idle = this.#idle.get(key);
    if (idle === undefined) this.#idle.set(key, [connection]);
    else idle.push(connection);
  }

  onGone(connection: Http1ClientConnection): void {
    this.#open.delete(connection);
    const key = keyOf(connection.address);
    const idle = this.#idle.get(key);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle === undefined || at === -1) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(key);
  }

  /** Closes everything, idle or not. */
  destroy(): void {
    clearInterval(this.#sweeper);
    for (const connection of this.#open) connection.close();
  }

  #sweep(): void {
    const now = this.now();
    if (this.#connector.revoked !== undefined) {
      for (const connection of this.#open) if (this.#connector.revoked(connection.address)) connection.close();
    }
    for (const idle of [...this.#idle.values()]) {
      for (const connection of [...idle]) {
        const hint = connection.serverIdleMs;
        const limit = hint === undefined ? this.#idleMs : Math.min(this.#idleMs, hint - SERVER_HINT_MARGIN_MS);
        if (now - connection.idleSince >= limit) connection.close();
      }
    }
  }
}

function keyOf({ ip, port, node }: ServerAddress): string {
  return node === undefined ? `${ip} ${port}` : `${ip} ${port} ${node}`;
}
