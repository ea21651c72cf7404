import { lookup } from 'node:dns/promises';
import { networkInterfaces } from 'node:os';
import { type AdminServer, startAdminServer } from '../lib/admin-server.ts';
import type { KubernetesApi } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import { MetricsRegistry } from '../lib/metrics.ts';
import { Readiness } from '../lib/readiness.ts';
import { Http1Pool, POD_IDLE_MS } from './client/http1-pool.ts';
import type { DaemonConfig, DaemonEnvironment, RouterConfig, ServerConfig } from './config.ts';
import { ClusterState } from './discovery/cluster-state.ts';
import { ClusterWatch } from './discovery/cluster-watch.ts';
import { DiscoDirectory } from './discovery/disco-directory.ts';
import { Gateways } from './discovery/gateways.ts';
import type { ExchangeHandler } from './http/exchange.ts';
import { meshErrorLines } from './http/mesh-errors.ts';
import { ProxyError } from './http/proxy-error.ts';
import { Listener } from './listener/listener.ts';
import { EgressNames } from './naming/egress-names.ts';
import { FsNamer } from './naming/fs-namer.ts';
import { KubernetesNamer, type ReservedPorts } from './naming/kubernetes-namer.ts';
import { Resolver } from './naming/resolver.ts';
import { composeTransform, type Transform } from './naming/transformers/transform.ts';
import { PeerTransport } from './peer-transport.ts';
import { Admission } from './policy/admission.ts';
import { Callers } from './policy/callers.ts';
import { clientAccess } from './policy/client-access.ts';
import { EgressGuard, nodePortPurpose } from './policy/egress-guard.ts';
import { LagGuard } from './policy/lag-guard.ts';
import { OwnAddresses } from './policy/own-addresses.ts';
import { Destination } from './router/destination.ts';
import { viaPseudonym } from './router/forwarded-head.ts';
import type { ForwardingRules } from './router/forwarding.ts';
import { HopFactory } from './router/hop-factory.ts';
import { IncomingRouter } from './router/incoming-router.ts';
import { OutgoingRouter } from './router/outgoing-router.ts';
import { routePolicies } from './router/route-policies.ts';
import { DaemonMetrics } from './telemetry/daemon-metrics.ts';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  /** Makes the Kubernetes client; called only where the config needs one. */
  readonly loadApi: () => Promise<KubernetesApi>;
  readonly log: Log;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

export interface RunningDaemon {
  readonly readiness: Readiness;
  readonly admin: { readonly ip: string; readonly port: number };
  /** Where each router listens, by its label. */
  readonly listening: Readonly<Record<string, readonly { readonly ip: string; readonly port: number }[]>>;
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
  readonly listening: Record<string, { ip: string; port: number }[]> = {};
  readonly #options: DaemonOptions;
  readonly #registry = new MetricsRegistry();
  readonly #metrics = new DaemonMetrics(this.#registry);
  readonly #state = new ClusterState();
  readonly #watch: ClusterWatch | undefined;
  readonly #discos: DiscoDirectory[];
  readonly #kubernetesNamer: KubernetesNamer | undefined;
  readonly #gateways: Gateways[] = [];
  readonly #podPool: Http1Pool;
  readonly #peers: PeerTransport;
  readonly #pseudonym: string;
  readonly #ownAddresses: OwnAddresses;
  readonly #listeners: Listener[] = [];
  readonly #lagGuard: LagGuard;
  #adminServer: AdminServer | undefined;
  #stopping = false;

  constructor(options: DaemonOptions) {
    const { config, environment, loadApi, log, now, random } = options;
    this.#options = options;
    this.#lagGuard = new LagGuard(now);
    this.#ownAddresses = new OwnAddresses(environment.nodeIp, networkInterfaces, now);
    this.#pseudonym = viaPseudonym(environment.nodeName);
    this.#podPool = new Http1Pool(POD_IDLE_MS, now);
    this.#discos = config.fsRootDirs.map((dir) => new DiscoDirectory(dir, log));
    if (config.kubernetes !== undefined) {
      const { readiness } = this;
      const { nodeName } = environment;
      this.#kubernetesNamer = new KubernetesNamer(this.#state, config.kubernetes.clusterDomain, this.#reserved());
      this.#watch = new ClusterWatch({
        loadApi,
        nodeName,
        state: this.#state,
        readiness,
        metrics: this.#registry,
        log,
        now,
        random,
      });
    }
    this.#peers = new PeerTransport({ ...options, readiness: this.readiness, metrics: this.#registry });
  }

  get admin(): { ip: string; port: number } {
    return this.#adminServer?.address ?? { ip: '', port: 0 };
  }

  async start(): Promise<void> {
    const { config, log } = this.#options;
    this.readiness.block('listeners', 'not all ports listen yet');
    for (const disco of this.#discos) disco.start();
    this.#adminServer = await startAdminServer({
      ip: config.admin.ip,
      port: config.admin.port,
      readiness: this.readiness,
      metrics: this.#registry,
      log,
    });
    for (const router of config.routers) await this.#startRouter(router);
    this.#registry.onCollect(() => this.#collect());
    this.#watch?.start();
    this.#lagGuard.start();
    this.#peers.start();
    this.readiness.clear('listeners');
  }

  async stop(): Promise<void> {
    const force = this.#stopping;
    this.#stopping = true;
    this.readiness.block('draining', 'the daemon is shutting down');
    if (!force) await this.#drain();
    for (const listener of this.#listeners) listener.destroy();
    this.#podPool.destroy();
    this.#lagGuard.stop();
    await this.#peers.stop();
    for (const disco of this.#discos) disco.stop();
    await this.#watch?.stop();
    await this.#adminServer?.close();
  }

  async #drain(): Promise<void> {
    const drained = Promise.all(this.#listeners.map((listener) => listener.drain()));
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.config.admin.shutdownGraceMs);
    });
    await Promise.race([drained, grace]);
    clearTimeout(timer);
  }

  async #startRouter(router: RouterConfig): Promise<void> {
    const { log, now } = this.#options;
    const transform = this.#transform(router);
    for (const server of router.servers) {
      const handle =
        router.role === 'outgoing'
          ? this.#outgoing(router, server, transform)
          : this.#incoming(router, server, transform);
      const listener = new Listener({
        label: router.label,
        ip: server.ip,
        port: server.port,
        reusePort: server.reusePort,
        handle,
        admission: new Admission({
          maxConcurrentRequests: server.maxConcurrentRequests,
          lagging: () => this.#lagGuard.lagging,
          now,
        }),
        refusalLines: router.role === 'incoming' ? meshErrorLines : () => '',
        onRefused: (error) => this.#metrics.rejected.with(router.role, error.code).inc(),
        tls: router.role === 'incoming' ? this.#peers.tls(router.tls) : undefined,
        now,
        log,
      });
      this.#listeners.push(listener);
      const address = await listener.listen();
      log.info({ router: router.label, role: router.role, ...address }, 'router listens');
      this.listening[router.label] = [...(this.listening[router.label] ?? []), address];
    }
  }

  #transform(router: RouterConfig): Transform {
    return composeTransform(router.transformers, this.#options.environment.nodeName, (config) => {
      if (this.#kubernetesNamer === undefined) throw new Error('a daemonset transformer needs Kubernetes');
      const gateways = new Gateways(this.#kubernetesNamer.portBinding(config.namespace, config.service, config.port));
      this.#gateways.push(gateways);
      return gateways;
    });
  }

  #outgoing(router: RouterConfig, server: ServerConfig, transform: Transform): ExchangeHandler {
    const { config, environment, now, random } = this.#options;
    const viaDaemons = router.transformers.some((transformer) => transformer.kind === 'io.l5d.k8s.daemonset');
    const hops = this.#hops(router, server);
    const policyOf = routePolicies(router);
    return new OutgoingRouter({
      callers: new Callers({
        access: clientAccess(server.allowedClients, config.kubernetes !== undefined),
        state: this.#state,
        nodeName: environment.nodeName,
        podsKnown: () => this.#watch?.podsKnown ?? true,
        now,
      }),
      resolver: this.#resolver(),
      egress: new EgressNames({
        resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
        guard: new EgressGuard(config.egress, (address) => this.#isDaemon(address), this.#state.nodes),
        parentProxy: config.egress.parentProxy,
        now,
      }),
      makeDestination: (binding) =>
        new Destination({
          binding,
          policy: policyOf(binding),
          transform: 'viaParent' in binding ? UNCHANGED : transform,
          makeHop: (routed) =>
            'viaParent' in binding
              ? hops.toOutside(routed.endpoint, policyOf(binding), binding.viaParent)
              : hops.make(routed, binding, policyOf(binding), viaDaemons),
          allDropped: (count) =>
            new ProxyError(
              'no_gateway',
              `none of the ${count} endpoints of "${binding.service}" is on a node with a ready daemon`,
            ),
          onPanic: () => this.#metrics.panics.with(binding.namespace, binding.service).inc(),
          now,
          random,
        }),
      synced: () => this.#watch?.synced ?? true,
      pseudonym: this.#pseudonym,
      requestFilter: { dropL5d: server.clearContext },
      rules: this.#rules(true),
      metrics: this.#metrics,
    }).handle;
  }

  #incoming(router: RouterConfig, server: ServerConfig, transform: Transform): ExchangeHandler {
    const { environment, now, random } = this.#options;
    const { nodeName } = environment;
    const hops = this.#hops(router, server);
    const policyOf = routePolicies(router);
    return new IncomingRouter({
      access: server.allowedClients === undefined ? undefined : clientAccess(server.allowedClients, false),
      isPeer: router.tls === 'off' ? ({ address }) => this.#isDaemon(address) : ({ node }) => node !== undefined,
      state: this.#state,
      nodeName,
      resolver: this.#resolver(),
      makeDestination: (binding) =>
        new Destination({
          binding,
          policy: policyOf(binding),
          transform,
          makeHop: (routed) => hops.toPod(routed.endpoint, binding, policyOf(binding)),
          allDropped: (count) =>
            new ProxyError(
              'no_endpoints',
              `none of the ${count} endpoints of "${binding.service}" is on node ${nodeName}`,
            ),
          onPanic: () => this.#metrics.panics.with(binding.namespace, binding.service).inc(),
          now,
          random,
        }),
      makePodHop: (endpoint, of, policy) => hops.toPod(endpoint, of, policy),
      policyOf,
      pseudonym: this.#pseudonym,
      requestFilter: { dropL5d: server.clearContext },
      rules: this.#rules(false),
      metrics: this.#metrics,
    }).handle;
  }

  #hops(router: RouterConfig, server: ServerConfig): HopFactory {
    return new HopFactory({
      podPool: this.#podPool,
      peerPool: this.#peers.pool(router.tls),
      metrics: this.#metrics,
      answerFilter: { dropL5d: server.clearContext },
      random: this.#options.random,
    });
  }

  #resolver(): Resolver {
    const namers = this.#discos.map((disco) => new FsNamer(disco));
    return new Resolver(this.#kubernetesNamer === undefined ? namers : [...namers, this.#kubernetesNamer]);
  }

  #rules(retriesElsewhere: boolean): ForwardingRules {
    const { now, random } = this.#options;
    return { answerLines: `Via: 1.1 ${this.#pseudonym}\r\n`, retriesElsewhere, now, random };
  }

  /** Whether an address is this host's own, or that of another node's daemon. */
  #isDaemon(address: string): boolean {
    return this.#gateways.some((gateways) => gateways.has(address)) || this.#ownAddresses.has(address);
  }

  /** Node ports, and where daemons listen themselves: all have the same config. */
  #reserved(): ReservedPorts {
    const { admin, routers } = this.#options.config;
    const own = new Set([admin.port, ...routers.flatMap(({ servers }) => servers.map(({ port }) => port))]);
    return (address, port) =>
      (nodePortPurpose(port) !== undefined || own.has(port)) &&
      (this.#state.nodes.has(address) || this.#isDaemon(address));
  }

  #collect(): void {
    const { connections } = this.#metrics;
    let accepted = 0;
    for (const listener of this.#listeners) accepted += listener.openConnections;
    connections.with('caller').set(accepted);
    connections.with('pod').set(this.#podPool.openConnections);
    connections.with('peer').set(this.#peers.openConnections);
  }
}

const UNCHANGED: Transform = { version: 0, apply: (set) => set };
