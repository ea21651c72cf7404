import type { Counter } from '../../lib/metrics.ts';
import type { EndpointLoad } from '../balancer/endpoint-load.ts';
import type { QueueLimit } from '../balancer/queue-limit.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { DaemonMetrics, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import { BalancedHop } from './balanced-hop.ts';

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** What every hop to an application is made of, whichever it is. */
export interface PodHopWiring {
  readonly pool: Http1Pool;
  readonly load: EndpointLoad;
  /** For what the application answers. */
  readonly answerFilter: FieldFilter;
}

interface LocalPodHopWiring extends PodHopWiring {
  readonly queue: QueueLimit;
}

/** Load of a pod that has as much to do as it bears. */
const FULL = 1e9;

/** To a pod of this node: the last step of every request, whichever router takes it. Counted as the incoming router's. */
export class LocalPodHop extends BalancedHop {
  readonly peer = false;
  readonly proxy = false;
  readonly answerFilter: FieldFilter;
  readonly #service: ServiceMetrics;
  readonly #requests: Counter;
  readonly #queue: QueueLimit;

  constructor(endpoint: Endpoint, of: ServiceOfHop, wiring: LocalPodHopWiring, metrics: DaemonMetrics) {
    super(endpoint, wiring.pool, wiring.load);
    this.answerFilter = wiring.answerFilter;
    this.#queue = wiring.queue;
    this.#service = metrics.service('incoming', of.namespace, of.service);
    const pod = endpoint.pod ?? endpointKey(endpoint);
    this.#requests = metrics.endpointRequests.with('incoming', of.namespace, of.service, pod);
  }

  /** ms until the next request that may find out whether it has recovered. */
  outForMs(now: number): number {
    return this.endpoint.accrual.outForMs(now);
  }

  /** Whether it has as much to do as it bears, for all senders together. */
  get full(): boolean {
    return this.#queue.full;
  }

  override load(now: number): number {
    return this.#queue.full ? FULL : super.load(now);
  }

  override begin(now: number): void {
    super.begin(now);
    this.#queue.begin();
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
    this.#requests.value += 1;
  }

  override answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    super.answered(status, latencyMs, now, failed);
    if (failed) this.#queue.lost();
    else this.#queue.answered(latencyMs);
  }

  override end(status: number, latencyMs: number, failed: boolean, unansweredSince: number | undefined): void {
    super.end(status, latencyMs, failed, unansweredSince);
    if (unansweredSince !== undefined) this.#queue.lost();
    this.#service.inFlight.value -= 1;
    this.#service.responded(status, latencyMs, failed);
  }
}

/** Straight to an address: a pod past any daemon, something outside the cluster, or the proxy that leads there. */
export class DirectHop extends BalancedHop {
  readonly peer = false;
  readonly proxy: boolean;
  readonly answerFilter: FieldFilter;
  readonly #counter: Counter | undefined;

  /** `proxy`: the server is the parent proxy. `counter`: of requests that should have had a daemon to go through. */
  constructor(endpoint: Endpoint, wiring: PodHopWiring, proxy: boolean, counter: Counter | undefined) {
    super(endpoint, wiring.pool, wiring.load);
    this.proxy = proxy;
    this.answerFilter = wiring.answerFilter;
    this.#counter = counter;
  }

  override begin(now: number): void {
    super.begin(now);
    if (this.#counter !== undefined) this.#counter.value += 1;
  }
}
