import { EndpointLoad } from '../balancer/endpoint-load.ts';
import { FailureAccrual, GATEWAY_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { EndpointGate } from '../policy/endpoint-gate.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { GatewayHop, type GatewayState } from './gateway-hop.ts';
import type { Hop } from './hop.ts';
import { DirectHop, LocalPodHop, type PodHopWiring } from './pod-hop.ts';
import type { RoutePolicy } from './route-policy.ts';

export interface HopFactoryOptions {
  readonly podPool: Http1Pool;
  readonly peerPool: Http1Pool;
  readonly metrics: DaemonMetrics;
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
    const { peerPool, metrics, gate } = this.#options;
    if (path.kind === 'gateway') {
      const wiring = { pool: peerPool, load: this.#load(policy), gate: gate(endpoint, 'gateway') };
      return new GatewayHop(this.#gateway(path), endpoint, of, wiring);
    }
    if (path.kind === 'self') return this.toPod(endpoint, of, policy);
    const counter = viaDaemons ? metrics.direct.with(of.namespace, of.service) : undefined;
    return new DirectHop(endpoint, this.#wiring(endpoint, 'direct', policy), false, counter);
  }

  /** To an address outside the cluster, or to the parent proxy. */
  toOutside(endpoint: Endpoint, policy: HopPolicy, parentProxy: boolean): Hop {
    return new DirectHop(endpoint, this.#wiring(endpoint, 'direct', policy), parentProxy, undefined);
  }

  /** To a pod of this node. */
  toPod(endpoint: Endpoint, of: ServiceOfHop, policy: HopPolicy): Hop {
    return new LocalPodHop(endpoint, of, this.#wiring(endpoint, 'self', policy), this.#options.metrics);
  }

  #wiring(endpoint: Endpoint, by: Path['kind'], policy: HopPolicy): PodHopWiring {
    const { podPool, answerFilter, gate } = this.#options;
    return { pool: podPool, load: this.#load(policy), gate: gate(endpoint, by), answerFilter };
  }

  #load({ failureAccrual, balancer }: HopPolicy): EndpointLoad {
    return new EndpointLoad(this.#options.random, { failureAccrual, decayTimeMs: balancer.decayTimeMs });
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
