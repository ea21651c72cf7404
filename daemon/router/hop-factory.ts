import { EndpointLoad } from '../balancer/endpoint-load.ts';
import { FailureAccrual, GATEWAY_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { GatewayHop, type GatewayState } from './gateway-hop.ts';
import type { Hop } from './hop.ts';
import type { LocalPods } from './local-pods.ts';
import { DirectHop, LocalPodHop, type PodHopWiring } from './pod-hop.ts';
import type { RoutePolicy } from './route-policy.ts';

export interface HopFactoryOptions {
  readonly podPool: Http1Pool;
  readonly peerPool: Http1Pool;
  readonly metrics: DaemonMetrics;
  /** One for all routers. */
  readonly localPods: LocalPods;
  /** For what applications answer. */
  readonly answerFilter: FieldFilter;
  readonly random: () => number;
}

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** What the router's config says of endpoints of that Service. */
type HopPolicy = Pick<RoutePolicy, 'failureAccrual' | 'balancer'>;

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
    const { peerPool, metrics } = this.#options;
    if (path.kind === 'gateway') {
      return new GatewayHop(this.#gateway(path), endpoint, of, { pool: peerPool, load: this.#load(policy) });
    }
    if (path.kind === 'self') return this.toPod(endpoint, of, policy);
    const counter = viaDaemons ? metrics.direct.with(of.namespace, of.service) : undefined;
    return new DirectHop(endpoint, this.#wiring(policy), false, counter);
  }

  /** To an address outside the cluster, or to the parent proxy. */
  toOutside(endpoint: Endpoint, policy: HopPolicy, parentProxy: boolean): Hop {
    return new DirectHop(endpoint, this.#wiring(policy), parentProxy, undefined);
  }

  /** To a pod of this node. */
  toPod(endpoint: Endpoint, of: ServiceOfHop, policy: HopPolicy): LocalPodHop {
    const { metrics, localPods } = this.#options;
    const { accrual, queue } = localPods.find(endpoint, of, policy.failureAccrual);
    return new LocalPodHop(endpoint, of, { ...this.#wiring(policy, accrual), queue }, metrics);
  }

  #wiring(policy: HopPolicy, accrual?: FailureAccrual): PodHopWiring {
    const { podPool, answerFilter } = this.#options;
    return { pool: podPool, load: this.#load(policy, accrual), answerFilter };
  }

  #load({ failureAccrual, balancer }: HopPolicy, accrual?: FailureAccrual): EndpointLoad {
    const { decayTimeMs } = balancer;
    return new EndpointLoad(this.#options.random, { failureAccrual, decayTimeMs }, accrual);
  }

  #gateway({ ip, port, nodeName: node }: Extract<Path, { kind: 'gateway' }>): GatewayState {
    const key = `${endpointKey({ ip, port })} ${node}`;
    let state = this.#gateways.get(key);
    if (state === undefined) {
      state = { address: { ip, port, node }, accrual: new FailureAccrual(GATEWAY_ACCRUAL, this.#options.random) };
      this.#gateways.set(key, state);
    }
    return state;
  }
}
