import { EndpointLoad } from '../balancer/endpoint-load.ts';
import { FailureAccrual, GATEWAY_ACCRUAL, POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { Gateway } from '../naming/transformers/daemonset.ts';
import type { EndpointGate } from '../policy/endpoint-gate.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import type { PodState } from './balanced-hop.ts';
import { GatewayHop, type GatewayState } from './gateway-hop.ts';
import type { Hop } from './hop.ts';
import type { LocalPods } from './local-pods.ts';
import { DirectHop, LocalPodHop, type PodHopWiring } from './pod-hop.ts';
import type { RoutePolicy } from './route-policy.ts';

export interface HopFactoryOptions {
  /** Of the router: what it limits is counted apart from what others do. */
  readonly label: string;
  readonly podPool: Http1Pool;
  readonly peerPool: Http1Pool;
  readonly metrics: DaemonMetrics;
  /** One for all routers. */
  readonly localPods: LocalPods;
  /** Of the pod of this node at that address; '' where there is none. */
  readonly workloadAt: (ip: string) => string;
  /** For what applications answer. */
  readonly answerFilter: FieldFilter;
  /** What judges requests to an endpoint that is reached in that way; undefined where policies are not looked at. */
  readonly gate: (endpoint: Endpoint, by: Path['kind']) => EndpointGate | undefined;
  readonly random: () => number;
}

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** What the router's config says of endpoints of that Service. */
type HopPolicy = Pick<RoutePolicy, 'failureAccrual' | 'failFast' | 'balancer' | 'connections'>;

/** Makes the hop that a routed endpoint's path asks for. */
export class HopFactory {
  readonly #options: HopFactoryOptions;
  /** One a daemon, whatever Services its pods are of. */
  readonly #gateways = new Map<string, GatewayState>();

  constructor(options: HopFactoryOptions) {
    this.#options = options;
  }

  /** `viaDaemons`: whether the router means to reach pods through daemons, so that one without is worth counting. */
  make({ endpoint, path }: RoutedEndpoint, of: ServiceOfHop, policy: HopPolicy, viaDaemons: boolean): Hop {
    const { peerPool, metrics, gate } = this.#options;
    if (path.kind === 'gateway') {
      const gateway = this.#gateway(path);
      const address = this.#limited(gateway.address, of, policy);
      const wiring = { pool: peerPool, ...this.#podState(policy), gate: gate(endpoint, 'gateway') };
      return new GatewayHop({ ...gateway, address }, endpoint, of, wiring);
    }
    if (path.kind === 'self') return this.toPod(endpoint, of, policy);
    const counter = viaDaemons ? metrics.direct.with(of.namespace, of.service) : undefined;
    return new DirectHop(this.#wiring(endpoint, 'direct', of, policy), false, counter);
  }

  /** To an address outside the cluster, or to the parent proxy. */
  toOutside(endpoint: Endpoint, host: string, policy: HopPolicy, parentProxy: boolean): Hop {
    const of = { namespace: '', service: host };
    return new DirectHop(this.#wiring(endpoint, 'direct', of, policy), parentProxy, undefined);
  }

  /** To a pod of this node. */
  toPod(endpoint: Endpoint, of: ServiceOfHop, policy: HopPolicy): LocalPodHop {
    const { metrics, localPods, workloadAt } = this.#options;
    const known = localPods.find(endpoint, of, policy.failureAccrual);
    const wiring = { ...this.#wiring(endpoint, 'self', of, policy), known, workload: workloadAt(endpoint.ip) };
    return new LocalPodHop(endpoint, of, wiring, metrics);
  }

  #wiring(endpoint: Endpoint, by: Path['kind'], of: ServiceOfHop, policy: HopPolicy): PodHopWiring {
    const { podPool, answerFilter, gate } = this.#options;
    return {
      address: this.#limited(endpoint, of, policy),
      pool: podPool,
      gate: gate(endpoint, by),
      answerFilter,
      ...this.#podState(policy),
    };
  }

  /** linkerd's clients have connections of their own, one set a router, Service and server. */
  #limited(address: ServerAddress, { namespace, service }: ServiceOfHop, { connections }: HopPolicy): ServerAddress {
    if (connections === undefined) return address;
    const { ip, port, node } = address;
    return {
      ip,
      port,
      node,
      limited: { group: `${this.#options.label} ${namespace}/${service}`, limits: connections },
    };
  }

  #podState({ failureAccrual, failFast, balancer }: HopPolicy): PodState {
    const { random } = this.#options;
    return {
      load: new EndpointLoad(random, { failureAccrual, decayTimeMs: balancer.decayTimeMs }),
      reach: failFast ? new FailureAccrual({ ...POD_ACCRUAL, failures: 1 }, random) : undefined,
    };
  }

  /** Whether a daemon can be connected to, by what requests have found; undefined where none has gone there. */
  accrualOf(gateway: Gateway): FailureAccrual | undefined {
    return this.#gateways.get(gatewayKey(gateway))?.accrual;
  }

  #gateway(gateway: Gateway): GatewayState {
    const key = gatewayKey(gateway);
    const { ip, port, nodeName: node } = gateway;
    let state = this.#gateways.get(key);
    if (state === undefined) {
      state = { address: { ip, port, node }, accrual: new FailureAccrual(GATEWAY_ACCRUAL, this.#options.random) };
      this.#gateways.set(key, state);
    }
    return state;
  }
}

function gatewayKey(gateway: Gateway): string {
  return `${endpointKey(gateway)} ${gateway.nodeName}`;
}
