import { lookup } from 'node:dns/promises';
import type { Log } from '../lib/log.ts';
import type { RouterParts } from './admin/router-parts.ts';
import type { Http1Pool } from './client/http1-pool.ts';
import type { DaemonConfig, DaemonEnvironment, RouterConfig, ServerConfig } from './config.ts';
import type { ClusterState } from './discovery/cluster-state.ts';
import type { DiscoDirectory } from './discovery/disco-directory.ts';
import { Gateways } from './discovery/gateways.ts';
import type { Caller, ExchangeHandler } from './http/exchange.ts';
import { ProxyError } from './http/proxy-error.ts';
import { EgressNames } from './naming/egress-names.ts';
import type { Binding } from './naming/endpoint.ts';
import { FsNamer } from './naming/fs-namer.ts';
import { KubernetesNamer, type ReservedPorts } from './naming/kubernetes-namer.ts';
import { Resolver } from './naming/resolver.ts';
import type { Gateway } from './naming/transformers/daemonset.ts';
import { composeTransform, type Transform, UNCHANGED } from './naming/transformers/transform.ts';
import type { PeerTransport } from './peer-transport.ts';
import { CallerSources } from './policy/caller-sources.ts';
import { Callers } from './policy/callers.ts';
import { clientAccess } from './policy/client-access.ts';
import { EgressGuard, nodePortPurpose } from './policy/egress-guard.ts';
import { dutiesOf, EndpointGate } from './policy/endpoint-gate.ts';
import type { OwnAddresses } from './policy/own-addresses.ts';
import { Destination } from './router/destination.ts';
import { type ContextRules, contextRules, viaPseudonym } from './router/forwarded-head.ts';
import { HopFactory } from './router/hop-factory.ts';
import { IncomingRouter } from './router/incoming-router.ts';
import { LocalPods } from './router/local-pods.ts';
import { OutgoingRouter } from './router/outgoing-router.ts';
import { type PolicyTarget, routePolicies } from './router/route-policies.ts';
import type { RoutePolicy } from './router/route-policy.ts';
import type { ForwardingRules } from './router/sending.ts';
import type { DaemonMetrics } from './telemetry/daemon-metrics.ts';

export interface RouterFactoryOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  /** How many threads serve, of which this is one. */
  readonly workers: number;
  readonly state: ClusterState;
  readonly discos: readonly DiscoDirectory[];
  readonly podPool: Http1Pool;
  readonly peers: PeerTransport;
  /** Of this host. */
  readonly ownAddresses: OwnAddresses;
  readonly metrics: DaemonMetrics;
  readonly log: Log;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/** Makes a config's routers out of what they share. */
export class RouterFactory {
  /** Of the outgoing routers that were made: for people's questions. */
  readonly parts: RouterParts[] = [];
  readonly #options: RouterFactoryOptions;
  readonly #kubernetesNamer: KubernetesNamer | undefined;
  readonly #gateways: Gateways[] = [];
  readonly #pseudonym: string;
  readonly #localPods: LocalPods;

  constructor(options: RouterFactoryOptions) {
    const { config, environment, state } = options;
    this.#options = options;
    this.#localPods = new LocalPods(options.random);
    this.#pseudonym = viaPseudonym(environment.nodeName);
    if (config.kubernetes !== undefined) {
      this.#kubernetesNamer = new KubernetesNamer(state, config.kubernetes.clusterDomain, this.#reserved());
    }
  }

  /** One for each server of a router: what is remembered of destinations is each one's own. */
  handler(router: RouterConfig, server: ServerConfig): ExchangeHandler {
    const transform = this.#transform(router);
    return router.role === 'outgoing'
      ? this.#outgoing(router, server, transform)
      : this.#incoming(router, server, transform);
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
    const { config, environment, state, now, random } = this.#options;
    const viaDaemons = router.transformers.some((transformer) => transformer.kind === 'io.l5d.k8s.daemonset');
    const hops = this.#hops(router, server);
    const policyOf = this.#policies(router);
    const walked = {
      callers: new Callers({
        access: clientAccess(server.allowedClients, config.kubernetes !== undefined),
        state,
        nodeName: environment.nodeName,
        podsKnown: () => !this.#readsCluster || state.podsKnown,
        now,
      }),
      sources: this.#sources(this.#recordsKept),
      resolver: this.#resolver(),
      egress: new EgressNames({
        resolve: async (host) => (await lookup(host, { all: true })).map(({ address }) => address),
        guard: new EgressGuard(config.egress, (address) => this.#isDaemon(address), state.nodes),
        parentProxy: config.egress.parentProxy,
        now,
      }),
      synced: () => !this.#readsCluster || state.synced,
    };
    const outgoing = new OutgoingRouter({
      ...walked,
      makeDestination: (binding) =>
        new Destination({
          binding,
          policy: policyOf(binding),
          transform: 'viaParent' in binding ? UNCHANGED : transform,
          makeHop: (routed) =>
            'viaParent' in binding
              ? hops.toOutside(routed.endpoint, binding.outside?.host ?? '', policyOf(binding), binding.viaParent)
              : hops.make(routed, binding, policyOf(binding), viaDaemons),
          allDropped: (count) =>
            new ProxyError(
              'no_gateway',
              `none of the ${count} endpoints of "${binding.service}" is on a node with a ready daemon`,
            ),
          ...this.#countsOf(binding),
          now,
          random,
        }),
      pseudonym: this.#pseudonym,
      context: this.#context(router, server.clearContext),
      rules: this.#rules(router),
      metrics: this.#options.metrics,
    });
    this.parts.push({
      ...walked,
      label: router.label,
      transform,
      gate: this.#gate(router, true),
      peerPool: this.#options.peers.pool(router),
      accrualOf: (gateway) => hops.accrualOf(gateway),
      router: outgoing,
    });
    return outgoing.handle;
  }

  /** The ready daemons, by node. */
  get gateways(): ReadonlyMap<string, Gateway> {
    return new Map(this.#gateways.flatMap((gateways) => [...gateways.byNode()]));
  }

  #incoming(router: RouterConfig, server: ServerConfig, transform: Transform): ExchangeHandler {
    const { environment, state, now, random } = this.#options;
    const { nodeName } = environment;
    const hops = this.#hops(router, server);
    const policyOf = this.#policies(router);
    return new IncomingRouter({
      access: server.allowedClients === undefined ? undefined : clientAccess(server.allowedClients, false),
      isPeer: this.#peerRule(router, server),
      provesPeers: router.tls !== 'off',
      state,
      nodeName,
      sources: this.#sources(false),
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
          ...this.#countsOf(binding),
          now,
          random,
        }),
      makePodHop: (endpoint, of, policy) => hops.toPod(endpoint, of, policy),
      policyOf,
      pseudonym: this.#pseudonym,
      peersContext: this.#context(router, false),
      othersContext: this.#context(router, server.clearContext),
      rules: this.#rules(router),
      metrics: this.#options.metrics,
    }).handle;
  }

  #countsOf({ namespace, service }: Binding) {
    const { panics, breakerTransitions } = this.#options.metrics;
    return {
      onPanic: () => panics.with(namespace, service).inc(),
      onTurn: (to: 'out' | 'ready') => breakerTransitions.with(namespace, service, to).inc(),
    };
  }

  #policies(router: RouterConfig): (of: PolicyTarget) => RoutePolicy {
    const { config, workers } = this.#options;
    return routePolicies(router, { workers, clusterDomain: config.kubernetes?.clusterDomain });
  }

  /** Who is believed to be a daemon: by certificate where there is TLS, else by address. */
  #peerRule(router: RouterConfig, { tls }: ServerConfig): (caller: Caller) => boolean {
    if (tls !== undefined) return () => tls.requireClientAuth; // who is in has shown a certificate of caCertPath
    if (router.tls === 'off') return ({ address }) => this.#isDaemon(address);
    return ({ node }) => node !== undefined;
  }

  get #readsCluster(): boolean {
    return this.#options.config.kubernetes !== undefined;
  }

  #hops(router: RouterConfig, server: ServerConfig): HopFactory {
    return new HopFactory({
      label: router.label,
      podPool: this.#options.podPool,
      peerPool: this.#options.peers.pool(router),
      metrics: this.#options.metrics,
      answerFilter: { dropL5d: server.clearContext },
      gate: this.#gate(router),
      random: this.#options.random,
      localPods: this.#localPods,
      workloadAt: this.#workloadAt,
    });
  }

  readonly #workloadAt = (ip: string): string => this.#options.state.localPod(ip)?.workload ?? '';

  /**
   * Whether the config has records of requests kept, in which a pod can stand: it is the same for all daemons, so that others keep
   * them too.
   */
  get #recordsKept(): boolean {
    return this.#readsCluster && this.#options.config.telemetry.some(({ kind }) => kind !== 'io.l5d.prometheus');
  }

  /** What is known of callers; undefined where nobody asks. `forRecords`: peers are told of them for the sake of records too. */
  #sources(forRecords: boolean): CallerSources | undefined {
    const { config, state } = this.#options;
    const tellsClient = config.routers.some(({ clientHeader }) => clientHeader);
    if (!tellsClient && !forRecords && config.routers.every(({ policy }) => policy === 'off')) return undefined;
    return new CallerSources(state.policies, tellsClient, forRecords ? this.#workloadAt : undefined);
  }

  /**
   * Who judges what: egress the daemon of the source, ingress the daemon of the destination, and where there is none, the
   * source's as well. An incoming router judges egress too, for whoever comes past a daemon of his own. `everywhere`: as all daemons
   * together judge, of which each knows the policies.
   */
  #gate(router: RouterConfig, everywhere = false): RouterParts['gate'] {
    const { config, environment, state, ownAddresses, metrics, log } = this.#options;
    const own = router.policy;
    const incoming = config.routers.find(({ role }) => role === 'incoming')?.policy ?? own;
    const duties = {
      gateway: dutiesOf(own, everywhere ? incoming : 'off'),
      self: dutiesOf(own, router.role === 'incoming' ? own : incoming),
      direct: dutiesOf(own, own),
    };
    const options = {
      view: state.policies,
      nodeName: environment.nodeName,
      isOwnNode: (address: string) => ownAddresses.has(address),
      isNode: (address: string) => state.nodes.has(address) || this.#isDaemon(address),
      serves: (service: string, ip: string) => state.service(service)?.holds(ip) === true,
      endpointsVersion: () => state.endpointsVersion,
      router: router.label,
      denied: metrics.policyDenied,
      log,
    };
    return (endpoint, by) => (duties[by].length === 0 ? undefined : new EndpointGate(options, endpoint, duties[by]));
  }

  #resolver(): Resolver {
    const namers = this.#options.discos.map((disco) => new FsNamer(disco));
    return new Resolver(this.#kubernetesNamer === undefined ? namers : [...namers, this.#kubernetesNamer]);
  }

  #context({ traceForms }: RouterConfig, dropL5d: boolean): ContextRules {
    return contextRules(dropL5d, { tracing: this.#options.config.tracing !== undefined, traceForms });
  }

  #rules(router: RouterConfig): ForwardingRules {
    const { now, wallClock, random } = this.#options;
    return {
      answerLines: `Via: 1.1 ${this.#pseudonym}\r\n`,
      retriesElsewhere: router.role === 'outgoing',
      bindingTimeoutMs: router.bindingTimeoutMs,
      now,
      wallClock,
      random,
    };
  }

  /** Whether an address is this host's own, or that of another node's daemon. */
  #isDaemon(address: string): boolean {
    return this.#gateways.some((gateways) => gateways.has(address)) || this.#options.ownAddresses.has(address);
  }

  /** Node ports, and where daemons listen themselves: all have the same config. */
  #reserved(): ReservedPorts {
    const { config, state } = this.#options;
    const { admin, routers } = config;
    const own = new Set([admin.port, ...routers.flatMap(({ servers }) => servers.map(({ port }) => port))]);
    return (address, port) =>
      (nodePortPurpose(port) !== undefined || own.has(port)) && (state.nodes.has(address) || this.#isDaemon(address));
  }
}
