import { type Connector, PLAINTEXT, type ServerAddress, type ShownServer } from './connector.ts';
import { type ConnectionOwner, Http1ClientConnection } from './http1-client-connection.ts';

const SWEEP_MS = 1_000;
/** Shorter than the 5 s for which many servers keep an idle connection (Node's own default), so that we close first. */
export const POD_IDLE_MS = 3_000;
/** Daemons keep idle connections for 120 s. */
export const PEER_IDLE_MS = 60_000;
/** A server that says how long it waits is believed less this, for the time that a request needs to arrive. */
const SERVER_HINT_MARGIN_MS = 1_000;

/** Waits for a connection where no more may be opened. */
export interface PoolWaiter {
  /** One that it may send on; not called while the pool is being asked. */
  onConnection(connection: Http1ClientConnection): void;
}

/** Of a server whose connections are limited. */
interface Places {
  /** Connections, idle or not. */
  open: number;
  /** The first to have come is the first to be served. */
  readonly waiters: Set<PoolWaiter>;
}

/** Keep-alive connections by server address; the most recently used one first, so that surplus ones grow old and go. */
export class Http1Pool implements ConnectionOwner {
  readonly now: () => number;
  readonly #idleMs: number;
  readonly #connector: Connector;
  readonly #idle = new Map<string, Http1ClientConnection[]>();
  readonly #open = new Set<Http1ClientConnection>();
  readonly #places = new Map<string, Places>();
  readonly #sweeper: NodeJS.Timeout;

  /** `idleMs`: how long an idle connection is kept where neither the server nor its limits ask for less. */
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

  /** The connections to a server, whatever limits they are counted by, and what it has shown of itself: for people. */
  describe(server: ServerAddress): { open: number; idle: number; shown: ShownServer | undefined } {
    const isToIt = ({ address }: Http1ClientConnection) =>
      address.ip === server.ip && address.port === server.port && address.node === server.node;
    const open = [...this.#open].filter(isToIt).length;
    const idle = [...this.#idle.values()].flat().filter(isToIt).length;
    const plaintext =
      open > 0 && this.#connector.shown === undefined ? { secure: false, notAfter: undefined } : undefined;
    return { open, idle, shown: this.#connector.shown?.(server) ?? plaintext };
  }

  /** An idle connection to that server, or a new one (which may still be connecting; it takes a request at once). */
  take(address: ServerAddress): Http1ClientConnection {
    return this.#takeIdle(keyOf(address)) ?? this.open(address);
  }

  /**
   * As `take`, within the address's limits. Where they let no more be opened, the waiter gets one later, unless it cancels;
   * `full` where no more may wait either.
   */
  takeOrWait(address: ServerAddress, waiter: PoolWaiter): Http1ClientConnection | 'waits' | 'full' {
    const { limited } = address;
    if (limited === undefined) return this.take(address);
    const key = keyOf(address);
    const { open, waiters } = this.#placesOf(key);
    if (waiters.size === 0) {
      const idle = this.#takeIdle(key);
      if (idle !== undefined) return idle;
      if (open < limited.limits.maxSize) return this.open(address);
    }
    if (waiters.size >= limited.limits.maxWaiters) return 'full';
    waiters.add(waiter);
    return 'waits';
  }

  /** Nobody waits for that server any more. */
  cancel(address: ServerAddress, waiter: PoolWaiter): void {
    this.#places.get(keyOf(address))?.waiters.delete(waiter);
  }

  /** A new connection, for a request that an old one has just failed. */
  open(address: ServerAddress): Http1ClientConnection {
    const connection = new Http1ClientConnection(address, this.#connector, this);
    this.#open.add(connection);
    if (address.limited !== undefined) {
      this.#placesOf(keyOf(address)).open += 1;
      connection.openedAt = this.now();
    }
    return connection;
  }

  onIdle(connection: Http1ClientConnection): void {
    const key = keyOf(connection.address);
    const { limited } = connection.address;
    if (limited !== undefined) {
      if (connection.idleSince - connection.openedAt >= limited.limits.lifeMs) {
        connection.close();
        return;
      }
      // Not from within the connection's own call, which goes on after this.
      if (this.#placesOf(key).waiters.size > 0) {
        process.nextTick(() => this.#handOver(key, connection));
        return;
      }
    }
    this.#keep(key, connection);
  }

  onGone(connection: Http1ClientConnection): void {
    this.#open.delete(connection);
    const { address } = connection;
    const key = keyOf(address);
    if (address.limited !== undefined) this.#gone(key, address);
    const idle = this.#idle.get(key);
    const at = idle?.indexOf(connection) ?? -1;
    if (idle === undefined || at === -1) return;
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(key);
  }

  /** Closes what is idle of an address: whoever is there is about to end. */
  closeIdle(ip: string): void {
    for (const idle of [...this.#idle.values()]) {
      if (idle[0]?.address.ip !== ip) continue;
      for (const connection of [...idle]) connection.close();
    }
  }

  /** Closes everything, idle or not. */
  destroy(): void {
    clearInterval(this.#sweeper);
    for (const { waiters } of this.#places.values()) waiters.clear();
    for (const connection of this.#open) connection.close();
  }

  #takeIdle(key: string): Http1ClientConnection | undefined {
    const idle = this.#idle.get(key);
    while (idle !== undefined && idle.length > 0) {
      const connection = idle.pop() as Http1ClientConnection;
      if (connection.usable) return connection;
    }
    return undefined;
  }

  #keep(key: string, connection: Http1ClientConnection): void {
    const idle = this.#idle.get(key);
    if (idle === undefined) this.#idle.set(key, [connection]);
    else idle.push(connection);
  }

  #placesOf(key: string): Places {
    let places = this.#places.get(key);
    if (places === undefined) {
      places = { open: 0, waiters: new Set() };
      this.#places.set(key, places);
    }
    return places;
  }

  /** A connection that has become idle while requests waited: for the first of those that still do. */
  #handOver(key: string, connection: Http1ClientConnection): void {
    if (!connection.usable) return; // its end makes room for another
    const [first] = this.#placesOf(key).waiters;
    if (first === undefined) {
      this.#keep(key, connection);
      return;
    }
    this.#placesOf(key).waiters.delete(first);
    first.onConnection(connection);
  }

  #gone(key: string, address: ServerAddress): void {
    const places = this.#placesOf(key);
    places.open -= 1;
    if (places.waiters.size > 0) process.nextTick(() => this.#fillPlaces(key, address));
    else if (places.open === 0) this.#places.delete(key);
  }

  #fillPlaces(key: string, address: ServerAddress): void {
    const maxSize = address.limited?.limits.maxSize ?? 0;
    const places = this.#placesOf(key);
    for (const waiter of places.waiters) {
      if (places.open >= maxSize) return;
      places.waiters.delete(waiter);
      waiter.onConnection(this.open(address));
    }
    if (places.open === 0) this.#places.delete(key);
  }

  #sweep(): void {
    const now = this.now();
    if (this.#connector.revoked !== undefined) {
      for (const connection of this.#open) if (this.#connector.revoked(connection.address)) connection.close();
    }
    for (const [key, idle] of [...this.#idle]) {
      let open = this.#places.get(key)?.open ?? 0;
      for (const connection of [...idle]) {
        if (!this.#isOld(connection, now, open)) continue;
        open -= 1;
        connection.close();
      }
    }
  }

  /** `open`: how many there are to its server, where they are limited. */
  #isOld(connection: Http1ClientConnection, now: number, open: number): boolean {
    const { address, idleSince, openedAt, serverIdleMs } = connection;
    const { limited } = address;
    let idleMs = this.#idleMs;
    if (limited !== undefined) {
      const { limits } = limited;
      if (now - openedAt >= limits.lifeMs) return true;
      idleMs = Math.min(
        open <= limits.minSize ? Number.POSITIVE_INFINITY : (limits.idleMs ?? idleMs),
        limits.sessionIdleMs,
      );
    }
    const limit = serverIdleMs === undefined ? idleMs : Math.min(idleMs, serverIdleMs - SERVER_HINT_MARGIN_MS);
    return now - idleSince >= limit;
  }
}

function keyOf({ ip, port, node, limited }: ServerAddress): string {
  const key = node === undefined ? `${ip} ${port}` : `${ip} ${port} ${node}`;
  return limited === undefined ? key : `${key} ${limited.group}`;
}
