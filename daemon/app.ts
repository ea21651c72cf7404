import { AdminAccess } from '../lib/admin-access.ts';
import { type AdminRoute, type AdminServer, startAdminServer } from '../lib/admin-server.ts';
import { nodeConsole } from '../lib/console/node-console.ts';
import { tokenReviewer } from '../lib/kubernetes/token-review.ts';
import type { KubernetesApi } from '../lib/kubernetes/types.ts';
import type { Log, LogLevel } from '../lib/log.ts';
import { MetricsRegistry } from '../lib/metrics.ts';
import { Readiness } from '../lib/readiness.ts';
import { VERSION } from '../lib/version.ts';
import { explainRoutes } from './admin/routes.ts';
import { type DaemonConfig, type DaemonEnvironment, tlsModeOf } from './config.ts';
import { DataPath, type ListenerAddress } from './data-path.ts';
import { ClusterState } from './discovery/cluster-state.ts';
import { ClusterWatch } from './discovery/cluster-watch.ts';
import type { PolicyNeeds } from './discovery/policy-watch.ts';
import { KubernetesIdentity } from './identity/kubernetes-identity.ts';
import { provesIdentity } from './peer-transport.ts';
import { sharedLimitTable } from './policy/shared-limit.ts';
import { linkerdRoutes } from './telemetry/linkerd-routes.ts';
import { RecentStats } from './telemetry/recent-stats.ts';
import { TapHub } from './telemetry/tap-hub.ts';
import { Telemetry } from './telemetry/telemetry.ts';
import { claimPorts } from './workers/claim-ports.ts';
import { Workers } from './workers/workers.ts';

/** Where the manifests put the mesh; the downward API says where it is. */
const MESH_NAMESPACE = 'nodemesh';
/** How often series that nobody counts are looked for. */
const EVICTION_MS = 60_000;

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  /** Threads that serve; with 1, all is done in this one. */
  readonly workers: number;
  /** What a further thread runs: workers/worker.ts, or its bundle. */
  readonly workerEntry: URL;
  /** A further thread has ended though nobody asked it to: the daemon serves with less than it was told to. */
  readonly onWorkerLost: (error: Error) => void;
  /** Makes the Kubernetes client; called only where the config needs one. */
  readonly loadApi: () => Promise<KubernetesApi>;
  readonly log: Log;
  /** Monotonic, ms; with further threads, Node's performance.now, which all of them read. */
  readonly now: () => number;
  /** As DataPathOptions has it. */
  readonly cpuMs?: (() => number) | undefined;
  /** ms since 1970. */
  readonly wallClock: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

export interface RunningDaemon {
  readonly readiness: Readiness;
  readonly admin: ListenerAddress;
  /** Where each router listens, by its label. */
  readonly listening: Readonly<Record<string, readonly ListenerAddress[]>>;
  /**
   * Unready at once, no new connections, requests under way finish within admin.shutdownGraceMs; then everything is closed.
   * Called again, it closes everything at once.
   */
  stop(): Promise<void>;
}

/**
 * Puts a daemon together and starts it: settles when every port listens, whether or not the cluster can be read yet
 * (`readiness` says). Rejects with an Error that names the address where a port cannot be had or a directory not be read;
 * nothing is left open then.
 */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const daemon = new Daemon(options);
  try {
    await daemon.start();
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return daemon;
}

class Daemon implements RunningDaemon {
  readonly readiness = new Readiness();
  listening: Record<string, ListenerAddress[]> = {};
  readonly #options: DaemonOptions;
  readonly #registry = new MetricsRegistry();
  readonly #state: ClusterState;
  readonly #evictor: NodeJS.Timeout;
  readonly #telemetry: Telemetry;
  readonly #taps: TapHub;
  readonly #watch: ClusterWatch | undefined;
  readonly #identity: KubernetesIdentity | undefined;
  readonly #dataPath: DataPath;
  readonly #workers: Workers;
  readonly #stats: RecentStats;
  #adminServer: AdminServer | undefined;
  #stopping = false;

  constructor(options: DaemonOptions) {
    const { config, environment, workers: count, log } = options;
    const limitTables = makeLimitTables(options);
    const state = new ClusterState(environment.nodeName, options.now);
    this.#state = state;
    this.#options = options;
    this.#workers = new Workers({
      config,
      environment,
      count,
      limitTables,
      logLevel: log.level as LogLevel | 'silent', // as createLog was given it
      entry: options.workerEntry,
      onLost: options.onWorkerLost,
      onTapped: (batch) => this.#taps.onBatch(batch),
    });
    if (config.kubernetes !== undefined) {
      this.#watch = new ClusterWatch({
        ...options,
        nodeName: environment.nodeName,
        policyNeeds: policyNeeds(config),
        metrics: this.#registry,
        readiness: this.readiness,
        tell: (change) => {
          this.#dataPath.apply(change);
          this.#workers.tellCluster(change);
        },
      });
    }
    this.#identity = this.#makeIdentity();
    const modes = this.#registry.gauge('tls_mode', 'How a router speaks to other daemons.', ['router', 'mode']);
    const evicted = this.#registry.counter('series_evicted_total', 'Series that nobody had counted for ten minutes.');
    this.#evictor = setInterval(() => {
      this.#workers.evictIdle(this.#registry, options.now()).then(
        (count) => evicted.with().inc(count),
        (error: unknown) => log.error({ err: error }, 'idle series could not be ended; they are tried again'),
      );
    }, EVICTION_MS).unref();
    for (const router of config.routers) modes.with(router.label, tlsModeOf(router)).set(1);
    this.#telemetry = new Telemetry({ ...options, registry: this.#registry });
    const { recorder, redactedHeaders: redacted, recent } = this.#telemetry;
    this.#taps = new TapHub({ recorder, redacted, recent, now: options.now, threads: this.#workers });
    this.#dataPath = new DataPath({
      ...options,
      recorder,
      place: { index: 0, count, limitTables },
      state,
      identity: this.#identity,
      registry: this.#registry,
    });
    this.#stats = new RecentStats({
      ...options,
      node: environment.nodeName,
      read: (families) => this.#workers.readEach(this.#registry, families),
      pods: () => state.localPods,
      readiness: this.readiness,
      tls: Object.fromEntries(config.routers.map((router) => [router.label, tlsModeOf(router)])),
      identity: () => this.#identity?.current,
      version: VERSION,
    });
  }

  get admin(): ListenerAddress {
    return this.#adminServer?.address ?? { ip: '', port: 0 };
  }

  async start(): Promise<void> {
    const { config, environment, loadApi, log, now } = this.#options;
    const routes = [...this.#explainRoutes(), ...this.#taps.routes];
    this.readiness.block('listeners', 'not all ports listen yet');
    this.#dataPath.start();
    this.#adminServer = await startAdminServer({
      ip: config.admin.ip,
      port: config.admin.port,
      readiness: this.readiness,
      metrics: { render: () => this.#workers.render(this.#registry) },
      notes: config.routers.map((router) => `router ${router.label}: tls ${tlsModeOf(router)}`),
      access: new AdminAccess({
        modes: config.admin.access,
        ip: config.admin.ip,
        review: config.kubernetes === undefined ? undefined : tokenReviewer(loadApi, now),
        metrics: this.#registry,
      }),
      routes: [
        ...routes,
        ...linkerdRoutes(config, { snapshot: () => this.#workers.snapshot(this.#registry), now }),
        ...nodeConsole({
          ...this.#options,
          node: environment.nodeName,
          stats: (windowMs) => this.#stats.stats(windowMs),
          routes,
        }),
      ],
      log,
    });
    this.#stats.start();
    await this.#listen();
    this.#watch?.start();
    this.#identity?.start();
    this.readiness.clear('listeners');
  }

  #explainRoutes(): AdminRoute[] {
    return explainRoutes({
      ...this.#options,
      nodeName: this.#options.environment.nodeName,
      threads: this.#options.workers,
      state: this.#state,
      parts: () => this.#dataPath.explained.parts,
      gateways: () => this.#dataPath.explained.gateways,
      watches: () => this.#watch?.status ?? [],
    });
  }

  async stop(): Promise<void> {
    const force = this.#stopping;
    this.#stopping = true;
    this.readiness.block('draining', 'the daemon is shutting down');
    clearInterval(this.#evictor);
    this.#stats.stop();
    if (!force) await this.#drain();
    this.#dataPath.destroy();
    await this.#workers.stop();
    await this.#telemetry.stop();
    await this.#identity?.stop();
    await this.#watch?.stop();
    await this.#adminServer?.close();
  }

  /** All at nearly the same moment: whoever listens first would get every connection that waits for this daemon. */
  async #listen(): Promise<void> {
    const { config, workers } = this.#options;
    if (workers === 1) {
      this.listening = await this.#dataPath.listen();
      return;
    }
    await this.#workers.start();
    const ports = await claimPorts(config.routers.flatMap(({ servers }) => servers));
    const [listening] = await Promise.all([this.#dataPath.listen(ports), this.#workers.listen(ports)]);
    this.listening = listening;
  }

  async #drain(): Promise<void> {
    const drained = Promise.all([this.#dataPath.drain(), this.#workers.drain()]);
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.config.admin.shutdownGraceMs);
    });
    await Promise.race([drained, grace]);
    clearTimeout(timer);
  }

  #makeIdentity(): KubernetesIdentity | undefined {
    const { config, environment } = this.#options;
    if (config.kubernetes === undefined || !provesIdentity(config)) return undefined;
    const identity = new KubernetesIdentity({
      ...this.#options,
      nodeName: environment.nodeName,
      namespace: environment.podNamespace ?? MESH_NAMESPACE,
      trustDomain: config.kubernetes.clusterDomain,
      readiness: config.routers.some(({ tls }) => tls === 'required') ? this.readiness : undefined,
      metrics: this.#registry,
    });
    identity.onChange(() => this.#workers.tellIdentity(identity.current));
    return identity;
  }
}

function policyNeeds({ routers }: DaemonConfig): PolicyNeeds {
  return {
    policies: routers.some(({ policy }) => policy !== 'off'),
    enforced: routers.some(({ policy }) => policy === 'enforce'),
    pods: routers.some(({ clientHeader }) => clientHeader),
  };
}

/** One for each server with a limit that several threads share. */
function makeLimitTables({ config, workers }: DaemonOptions): (SharedArrayBuffer | undefined)[] {
  return config.routers.flatMap(({ servers }) =>
    servers.map(({ maxConcurrentRequests }) =>
      workers === 1 || maxConcurrentRequests === undefined ? undefined : sharedLimitTable(),
    ),
  );
}
