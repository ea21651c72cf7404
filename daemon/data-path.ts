import { networkInterfaces } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Log } from '../lib/log.ts';
import type { MetricsRegistry } from '../lib/metrics.ts';
import { Http1Pool, POD_IDLE_MS } from './client/http1-pool.ts';
import type { DaemonConfig, DaemonEnvironment, RouterConfig, ServerConfig } from './config.ts';
import type { ClusterChange, ClusterState } from './discovery/cluster-state.ts';
import { DiscoDirectory } from './discovery/disco-directory.ts';
import { meshErrorLines } from './http/mesh-errors.ts';
import type { IdentitySource } from './identity/identity.ts';
import { Listener } from './listener/listener.ts';
import { PeerTransport } from './peer-transport.ts';
import { Admission } from './policy/admission.ts';
import { CallerTurns } from './policy/caller-turns.ts';
import { LagGuard } from './policy/lag-guard.ts';
import { OwnAddresses } from './policy/own-addresses.ts';
import { RouterFactory } from './router-factory.ts';
import { DaemonMetrics } from './telemetry/daemon-metrics.ts';
import { LoopDelay } from './telemetry/loop-delay.ts';

/** Where one listener is. */
export interface ListenerAddress {
  readonly ip: string;
  readonly port: number;
}

/** The place of one thread among those that serve. */
export interface WorkerPlace {
  /** 0: the main thread. */
  readonly index: number;
  readonly count: number;
  /** What all of them count requests in, by the server's place in the config; undefined where nothing is limited. */
  readonly limitTables: readonly (SharedArrayBuffer | undefined)[];
}

export interface DataPathOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly place: WorkerPlace;
  /** Kept true by `apply`. */
  readonly state: ClusterState;
  /** Undefined where TLS is off. */
  readonly identity: IdentitySource | undefined;
  readonly registry: MetricsRegistry;
  readonly log: Log;
  /** Monotonic, ms; the same for all threads. */
  readonly now: () => number;
  /** What this process has used of the processors so far, ms; undefined: as the system says. */
  readonly cpuMs?: (() => number) | undefined;
  /** ms since 1970. */
  readonly wallClock: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/**
 * All that a request passes, of one thread: the config's routers with their listeners, and the connections that they make.
 * Reads the identity as it is given it.
 */
export class DataPath {
  readonly #options: DataPathOptions;
  readonly #metrics: DaemonMetrics;
  readonly #discos: DiscoDirectory[];
  readonly #podPool: Http1Pool;
  readonly #peers: PeerTransport;
  readonly #routers: RouterFactory;
  readonly #listeners: Listener[] = [];
  readonly #roles = new Map<Listener, RouterConfig['role']>();
  readonly #lagGuard: LagGuard;
  readonly #turns: CallerTurns;
  readonly #loopDelay: LoopDelay;

  constructor(options: DataPathOptions) {
    const { config, environment, place, registry, log, now } = options;
    this.#options = options;
    this.#metrics = new DaemonMetrics(registry);
    this.#loopDelay = new LoopDelay(now);
    this.#lagGuard = new LagGuard(now, options.cpuMs);
    this.#turns = new CallerTurns(now, setImmediate);
    this.#podPool = new Http1Pool(POD_IDLE_MS, now);
    this.#discos = config.fsRootDirs.map((dir) => new DiscoDirectory(dir, log));
    this.#peers = new PeerTransport({ ...options, metrics: registry });
    this.#routers = new RouterFactory({
      ...options,
      workers: place.count,
      discos: this.#discos,
      podPool: this.#podPool,
      peers: this.#peers,
      ownAddresses: new OwnAddresses(environment.nodeIp, networkInterfaces, now),
      metrics: this.#metrics,
    });
    registry.onCollect(() => this.#collect());
  }

  /**
   * Takes what the cluster says. A pod that terminates loses its idle connections: servers that stop wait for them, or close them under
   * the next request.
   */
  apply(change: ClusterChange): void {
    this.#options.state.apply(change);
    if (change.kind !== 'pods') return;
    for (const { object } of change.changes) {
      if (object?.terminating === true) for (const ip of object.ips) this.#podPool.closeIdle(ip);
    }
  }

  /** Begins to read directories of endpoints. Throws the system's error where one cannot be read. */
  start(): void {
    for (const disco of this.#discos) disco.start();
    this.#lagGuard.start();
    this.#loopDelay.start();
  }

  /**
   * Opens the config's ports, or `ports` in their stead, one a server in the config's order. Gives where each router listens,
   * by its label. Rejects with the system's error, which names the address.
   */
  async listen(ports?: readonly number[]): Promise<Record<string, ListenerAddress[]>> {
    const { config, log } = this.#options;
    const listening: Record<string, ListenerAddress[]> = {};
    let index = 0;
    for (const router of config.routers) {
      const addresses: ListenerAddress[] = [];
      for (const server of router.servers) {
        const listener = this.#listener(router, server, index, ports?.[index] ?? server.port);
        this.#listeners.push(listener);
        this.#roles.set(listener, router.role);
        const address = await listener.listen();
        log.info({ router: router.label, role: router.role, ...address }, 'router listens');
        addresses.push(address);
        index += 1;
      }
      listening[router.label] = addresses;
    }
    return listening;
  }

  /** The outgoing routers of the listeners that were opened, and the daemons that they know: for people's questions. */
  get explained(): Pick<RouterFactory, 'parts' | 'gateways'> {
    return this.#routers;
  }

  /** No new connections; settles when all requests under way have ended. */
  async drain(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.drain()));
  }

  /** Ends at once whatever is still open. */
  destroy(): void {
    for (const listener of this.#listeners) listener.destroy();
    this.#podPool.destroy();
    this.#lagGuard.stop();
    this.#loopDelay.stop();
    this.#peers.destroy();
    for (const disco of this.#discos) disco.stop();
  }

  #listener(router: RouterConfig, server: ServerConfig, index: number, port: number): Listener {
    const { place, now, log } = this.#options;
    return new Listener({
      label: router.label,
      ip: server.ip,
      port,
      reusePort: server.reusePort || place.count > 1,
      handle: this.#routers.handler(router, server),
      admission: new Admission({
        maxConcurrentRequests: server.maxConcurrentRequests,
        sharedTable: place.limitTables[index],
        lagging: () => this.#lagGuard.lagging,
        now,
      }),
      turns: this.#turns,
      maxConnectionsPerCaller: Math.ceil(server.maxConnectionsPerCaller / place.count),
      refusalLines: router.role === 'incoming' ? meshErrorLines : () => '',
      onRefused: (error) => this.#metrics.rejected.with(router.role, error.code).inc(),
      tls: this.#peers.server(router, server),
      now,
      log,
    });
  }

  #collect(): void {
    const { connections, poolConnections, callerBytes, droppedSeries } = this.#metrics;
    const { workerConnections, workerBusy, workerStall, workerLag } = this.#metrics;
    const { registry, place } = this.#options;
    const worker = String(place.index);
    let [accepted, read, written] = [0, 0, 0];
    const open = { outgoing: 0, incoming: 0 };
    for (const listener of this.#listeners) {
      const bytes = listener.bytes();
      open[this.#roles.get(listener) ?? 'outgoing'] += listener.openConnections;
      accepted += listener.acceptedConnections;
      read += bytes.read;
      written += bytes.written;
    }
    callerBytes.with('read').value = read;
    callerBytes.with('written').value = written;
    droppedSeries.with().value = registry.droppedSeries;
    for (const { role } of this.#options.config.routers) connections.with('caller', role).set(open[role]);
    connections.with('pod').set(this.#podPool.openConnections);
    connections.with('peer').set(this.#peers.openConnections);
    for (const [side, pool] of [
      ['pod', this.#podPool],
      ['peer', this.#peers],
    ] as const) {
      poolConnections.with(side, 'open').set(pool.openConnections);
      poolConnections.with(side, 'idle').set(pool.idleConnections);
      poolConnections.with(side, 'busy').set(pool.openConnections - pool.idleConnections);
    }
    workerConnections.with(worker).value = accepted;
    workerBusy.with(worker).value = performance.eventLoopUtilization().active / 1_000;
    const { longest, p99 } = this.#loopDelay.read();
    workerStall.with(worker).value = longest;
    workerLag.with(worker).value = p99;
  }
}
