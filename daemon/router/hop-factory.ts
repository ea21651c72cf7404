import { EndpointLoad } from '../balancer/endpoint-load.ts';
import { FailureAccrual, GATEWAY_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { GatewayHop, type GatewayState } from './gateway-hop.ts';
import type { Hop } from './hop.ts';
import { DirectHop, LocalPodHop, type PodHopWiring } from './pod-hop.ts';

export interface HopFactoryOptions {
  readonly podPool: Http1Pool;
  readonly peerPool: Http1Pool;
  readonly metrics: DaemonMetrics;
  /** For what applications answer. */
  readonly answerFilter: FieldFilter;
  readonly random: () => number;
}

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** Makes the hop that a routed endpoint's path asks for. */
export class HopFactory {
  readonly #options: HopFactoryOptions;
  /** One a daemon, whatever Services its pods are of. */
  readonly #gateways = new Map<string, GatewayState>();

  constructor(options: HopFactoryOptions) {
    this.#options = options;
  }

  /** `viaDaemons`: whether the router means to reach pods through daemons, so that one without is worth counting. */
  make({ endpoint, path }: RoutedEndpoint, of: ServiceOfHop, viaDaemons: boolean): Hop {
    const { peerPool, metrics, random } = this.#options;
    if (path.kind === 'gateway') {
      return new GatewayHop(this.#gateway(path), endpoint, of, { pool: peerPool, load: new EndpointLoad(random) });
    }
    if (path.kind === 'self') return this.toPod(endpoint, of);
    const counter = viaDaemons ? metrics.direct.with(of.namespace, of.service) : undefined;
    return new DirectHop(endpoint, this.#wiring(), false, counter);
  }

  /** To an address outside the cluster, or to the parent proxy. */
  toOutside(endpoint: Endpoint, parentProxy: boolean): Hop {
    return new DirectHop(endpoint, this.#wiring(), parentProxy, undefined);
  }

  /** To a pod of this node. */
  toPod(endpoint: Endpoint, of: ServiceOfHop): Hop {
    return new LocalPodHop(endpoint, of, this.#wiring(), this.#options.metrics);
  }

  #wiring(): PodHopWiring {
    const { podPool, answerFilter, random } = this.#options;
    return { pool: podPool, load: new EndpointLoad(random), answerFilter };
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
