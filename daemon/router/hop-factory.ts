import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { Endpoint, RoutedEndpoint } from '../naming/endpoint.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { GatewayHop } from './gateway-hop.ts';
import type { Hop } from './hop.ts';
import { DirectHop, LocalPodHop } from './pod-hop.ts';

export interface HopFactoryOptions {
  readonly podPool: Http1Pool;
  readonly peerPool: Http1Pool;
  readonly metrics: DaemonMetrics;
  /** For what applications answer. */
  readonly answerFilter: FieldFilter;
}

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** Makes the hop that a routed endpoint's path asks for. */
export class HopFactory {
  readonly #options: HopFactoryOptions;

  constructor(options: HopFactoryOptions) {
    this.#options = options;
  }

  /** `viaDaemons`: whether the router means to reach pods through daemons, so that one without is worth counting. */
  make({ endpoint, path }: RoutedEndpoint, of: ServiceOfHop, viaDaemons: boolean): Hop {
    const { podPool, peerPool, metrics, answerFilter } = this.#options;
    if (path.kind === 'gateway') return new GatewayHop(path, endpoint, of, peerPool);
    if (path.kind === 'self') return this.toPod(endpoint, of);
    const counter = viaDaemons ? metrics.direct.with(of.namespace, of.service) : undefined;
    return new DirectHop(endpoint, podPool, answerFilter, counter);
  }

  /** To a pod of this node. */
  toPod(endpoint: Endpoint, of: ServiceOfHop): Hop {
    const { podPool, metrics, answerFilter } = this.#options;
    return new LocalPodHop(endpoint, of, { pool: podPool, metrics, answerFilter });
  }
}
