import type { ClusterState } from '../discovery/cluster-state.ts';
import type { Caller, Exchange } from '../http/exchange.ts';
import { meshErrorLines } from '../http/mesh-errors.ts';
import type { RequestHead } from '../http/message-head.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { parseAuthority, splitRequestTarget } from '../http/request-target.ts';
import { type Binding, type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { Resolver } from '../naming/resolver.ts';
import { type CallerSource, type CallerSources, saidSource } from '../policy/caller-sources.ts';
import type { ClientAccess } from '../policy/client-access.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import type { ExchangeRecord } from '../telemetry/exchange-record.ts';
import { askedDeadline, type DeadlineReading } from './deadline.ts';
import type { Destination } from './destination.ts';
import { type ContextRules, forwardedHead, refuseLoop } from './forwarded-head.ts';
import { Forwarding } from './forwarding.ts';
import type { Route } from './hop.ts';
import { answeredAsLastHop } from './max-forwards.ts';
import { PickedPod } from './picked-pod.ts';
import type { LocalPodHop } from './pod-hop.ts';
import { REPLAY_BYTES } from './replay-buffer.ts';
import type { RoutePolicy } from './route-policy.ts';
import { RouterObserver } from './router-observer.ts';
import type { ForwardingRules } from './sending.ts';

const MAX_TARGETS = 4_096;

export interface IncomingRouterOptions {
  /** Undefined: anyone may come in; what they may reach is this node's pods. */
  readonly access: ClientAccess | undefined;
  /** Whether a caller is a daemon, this one itself included: by its certificate, or where there is no TLS by its address. */
  readonly isPeer: (caller: Caller) => boolean;
  /** Whether peers prove by TLS who they are, or will once they can. */
  readonly provesPeers: boolean;
  readonly state: ClusterState;
  readonly nodeName: string;
  /** Undefined where nobody asks who calls. */
  readonly sources: CallerSources | undefined;
  readonly resolver: Resolver;
  readonly makeDestination: (binding: Binding) => Destination;
  /** The hop to a pod of this node for a Service. */
  readonly makePodHop: (
    endpoint: Endpoint,
    of: { namespace: string; service: string },
    policy: RoutePolicy,
  ) => LocalPodHop;
  readonly policyOf: (of: { namespace: string; service: string }) => RoutePolicy;
  readonly pseudonym: string;
  /** For requests that come from a daemon, and for others. */
  readonly peersContext: ContextRules;
  readonly othersContext: ContextRules;
  readonly rules: ForwardingRules;
  readonly metrics: DaemonMetrics;
}

/** Where requests go, and who counts their retries. */
interface Target<R extends Route = Route> {
  readonly route: R;
  readonly observer: RouterObserver;
}

/** From a peer to a pod of this node: the peer's pick if it still stands, else by name among this node's pods (DESIGN §5.6). */
export class IncomingRouter {
  readonly #options: IncomingRouterOptions;
  readonly #refused: RouterObserver;
  readonly #picked = new Map<string, Target<PickedPod>>();
  readonly #destinations = new Map<string, Target>();
  readonly #fromPeer: DeadlineReading;
  readonly #fromOthers: DeadlineReading;

  constructor(options: IncomingRouterOptions) {
    this.#options = options;
    const { othersContext, rules } = options;
    this.#fromPeer = { peer: true, dropL5d: false, clocks: rules };
    this.#fromOthers = { peer: false, dropL5d: othersContext.filter.dropL5d, clocks: rules };
    this.#refused = new RouterObserver(options.metrics, 'incoming');
  }

  /** Takes one exchange and answers it, now or later. Never throws. */
  readonly handle = (exchange: Exchange): void => {
    try {
      this.#route(exchange);
    } catch (cause) {
      const error = asProxyError(cause);
      this.#refused.failed(error);
      exchange.fail(error, meshErrorLines(error));
    }
  };

  #route(exchange: Exchange): void {
    const { access, isPeer, pseudonym, peersContext, othersContext, rules } = this.#options;
    const { request, caller } = exchange;
    if (access !== undefined && !access.admits(caller.address)) {
      throw new ProxyError('not_local_pod', `${caller.address} is not among the allowedClients of the incoming router`);
    }
    const target = splitRequestTarget(request.method, request.target, request.host);
    refuseLoop(request, pseudonym);
    if (answeredAsLastHop(exchange)) return;
    const peer = isPeer(caller);
    if (exchange.record !== undefined) this.#record(exchange, exchange.record, peer);
    if (!peer) parseAuthority(target.authority); // a peer has done so; a pod that was picked is found without it
    const { route, observer } = this.#pickedPod(exchange, peer) ?? this.#byName(target.authority);
    const deadline = askedDeadline(exchange, peer ? this.#fromPeer : this.#fromOthers);
    const headText = forwardedHead(exchange, target, pseudonym, peer ? peersContext : othersContext);
    const source = this.#source(exchange);
    new Forwarding(exchange, route, { headText, deadline, source }, { rules, observer }).start();
  }

  /** Whoever may say where a request comes from and goes to is believed of records as of all else. */
  #record(exchange: Exchange, record: ExchangeRecord, peer: boolean): void {
    const { caller, request } = exchange;
    const source = this.#source(exchange);
    const said = peer ? request.fields.value('mesh-source') : undefined;
    // Pods of other nodes are read for the sake of policies alone: without any, the peer's word is all that there is.
    const from = said !== undefined && (source === undefined || source.vouched) ? saidSource(said) : undefined;
    const pod = source?.pod ?? from;
    record.from(pod?.namespace, from?.workload, pod?.name);
    if (!peer) return;
    record.fromPeer = endpointKey({ ip: caller.address, port: caller.port });
    const name = request.fields.value('mesh-service');
    if (name === undefined) return;
    const dot = name.indexOf('.');
    record.destined(name.slice(dot + 1), name.slice(0, dot));
  }

  /** A peer speaks for the pods of its node once it has proved whose daemon it is; anyone else is where he calls from. */
  #source({ caller, request }: Exchange): CallerSource | undefined {
    const { sources, provesPeers, state } = this.#options;
    if (sources === undefined) return undefined;
    const said = request.fields.value('mesh-source');
    if (caller.node !== undefined) return sources.saidBy(caller.node, said, caller.address);
    // A daemon that has just started speaks plaintext, under `permissive`, until it has its certificate.
    const early = said !== undefined && provesPeers && state.policies.pod(caller.address) === undefined;
    return early ? sources.unproven(caller.address) : sources.at(caller.address);
  }

  /**
   * The pod named by `mesh-endpoint` for the Service named by `mesh-service`. It must be an address of that Service on this
   * node; from a peer any pod of this node will do, since a caller may ask for a pod by its address. So a hint from
   * elsewhere opens nothing that the Service's name alone would not.
   */
  #pickedPod(exchange: Exchange, peer: boolean): Target | undefined {
    const { fields } = exchange.request;
    const address = fields.value('mesh-endpoint');
    const name = fields.value('mesh-service');
    if (address === undefined || name === undefined) return undefined;
    const key = `${peer ? 'peer' : 'other'} ${address} ${name}`;
    let picked = this.#picked.get(key);
    if (picked === undefined || picked.route.pod !== this.#options.state.localPod(picked.route.ip)?.name) {
      picked = this.#makePicked(address, name, peer);
      if (this.#picked.size >= MAX_TARGETS) this.#picked.clear();
      this.#picked.set(key, picked);
    }
    const { route } = picked;
    if (peer && route.reluctant && !insists(exchange.request)) route.refuse(this.#options.rules.now());
    return picked;
  }

  #makePicked(address: string, name: string, peer: boolean): Target<PickedPod> {
    const { state, nodeName, makePodHop, policyOf } = this.#options;
    const { host: ip, port } = parseAuthority(address);
    const dot = name.indexOf('.');
    const of = { service: name.slice(0, dot), namespace: name.slice(dot + 1) };
    const declaredPort = peer ? undefined : port;
    const pod = state.localPod(ip)?.name;
    const endpoint = { ip, port: port ?? 80, nodeName, pod, hostname: undefined, zone: undefined };
    const entry = () => state.service(`${of.namespace}/${of.service}`);
    const service = `Service "${of.service}" in namespace "${of.namespace}"`;
    const isHere = () =>
      (peer && state.localPod(ip) !== undefined) || entry()?.serves(ip, declaredPort, nodeName) === true;
    const refusal = `${address} is no endpoint of ${service} on node ${nodeName}`;
    // Nothing is kept, or counted by its names, for whoever asks for what is not here.
    if (!isHere()) throw new ProxyError('endpoint_gone', refusal);
    const policy = policyOf(of);
    const route = new PickedPod(endpoint, makePodHop(endpoint, of, policy), policy, {
      isHere,
      hasOthers: () => entry()?.hasBesides(ip) === true,
      name: `pod ${pod ?? ''} (${address}) of ${service}`,
      refusal,
    });
    return { route, observer: this.#observer(of) };
  }

  #byName(authority: string): Target {
    const { resolver, makeDestination } = this.#options;
    const named = resolver.resolve(authority, undefined);
    if (named.kind === 'egress') {
      throw new ProxyError(
        'unknown_name',
        `"${named.host}" is no Service; the incoming router leads to pods of this node alone`,
      );
    }
    const { binding } = named;
    let destination = this.#destinations.get(binding.key);
    if (destination === undefined) {
      destination = { route: makeDestination(binding), observer: this.#observer(binding) };
      if (this.#destinations.size >= MAX_TARGETS) this.#destinations.clear();
      this.#destinations.set(binding.key, destination);
    }
    return destination;
  }

  #observer({ namespace, service }: { namespace: string; service: string }): RouterObserver {
    const parties = { dstNamespace: namespace, dstService: service };
    return new RouterObserver(this.#options.metrics, 'incoming', parties);
  }
}

/** Whether its sender has nobody else to ask, or may be unable to send it again (forwarding.ts keeps no more of a body). */
function insists({ fields, framing }: RequestHead): boolean {
  if (framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > REPLAY_BYTES)) return true;
  return fields.value('mesh-force') === 'true';
}
