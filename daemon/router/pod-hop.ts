import type { Counter } from '../../lib/metrics.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { DaemonMetrics, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import type { Hop } from './hop.ts';

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** To a pod of this node: the last step of every request, whichever router takes it. Counted as the incoming router's. */
export class LocalPodHop implements Hop {
  readonly address: Endpoint;
  readonly pool: Http1Pool;
  readonly fieldLines = '';
  readonly peer = false;
  readonly answerFilter: FieldFilter;
  outstanding = 0;
  readonly #service: ServiceMetrics;
  readonly #requests: Counter;

  constructor(
    endpoint: Endpoint,
    of: ServiceOfHop,
    wiring: { readonly pool: Http1Pool; readonly metrics: DaemonMetrics; readonly answerFilter: FieldFilter },
  ) {
    this.address = endpoint;
    this.pool = wiring.pool;
    this.answerFilter = wiring.answerFilter;
    this.#service = wiring.metrics.service('incoming', of.namespace, of.service);
    const pod = endpoint.pod ?? endpointKey(endpoint);
    this.#requests = wiring.metrics.endpointRequests.with('incoming', of.namespace, of.service, pod);
  }

  begin(): void {
    this.outstanding += 1;
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
    this.#requests.value += 1;
  }

  end(status: number, latencyMs: number): void {
    this.outstanding -= 1;
    this.#service.inFlight.value -= 1;
    this.#service.responded(status, latencyMs);
  }
}

/** Straight to an address: a pod past any daemon, or something outside the cluster. */
export class DirectHop implements Hop {
  readonly address: Endpoint;
  readonly pool: Http1Pool;
  readonly fieldLines = '';
  readonly peer = false;
  readonly answerFilter: FieldFilter;
  outstanding = 0;
  readonly #counter: Counter | undefined;

  /** `counter`: of requests that should have had a daemon to go through. */
  constructor(endpoint: Endpoint, pool: Http1Pool, answerFilter: FieldFilter, counter: Counter | undefined) {
    this.address = endpoint;
    this.pool = pool;
    this.answerFilter = answerFilter;
    this.#counter = counter;
  }

  begin(): void {
    this.outstanding += 1;
    if (this.#counter !== undefined) this.#counter.value += 1;
  }

  end(): void {
    this.outstanding -= 1;
  }
}
