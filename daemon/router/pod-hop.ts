import type { Counter } from '../../lib/metrics.ts';
import type { FieldFilter } from '../http/fields.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import type { DaemonMetrics, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import { BalancedHop, type HopWiring } from './balanced-hop.ts';

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** What every hop to an application is made of, whichever it is. */
export interface PodHopWiring extends HopWiring {
  /** For what the application answers. */
  readonly answerFilter: FieldFilter;
}

/** To a pod of this node: the last step of every request, whichever router takes it. Counted as the incoming router's. */
export class LocalPodHop extends BalancedHop {
  readonly fieldLines = '';
  readonly peer = false;
  readonly proxy = false;
  readonly answerFilter: FieldFilter;
  readonly #service: ServiceMetrics;
  readonly #requests: Counter;

  constructor(endpoint: Endpoint, of: ServiceOfHop, wiring: PodHopWiring, metrics: DaemonMetrics) {
    super(endpoint, wiring);
    this.answerFilter = wiring.answerFilter;
    this.#service = metrics.service('incoming', of.namespace, of.service);
    const pod = endpoint.pod ?? endpointKey(endpoint);
    this.#requests = metrics.endpointRequests.with('incoming', of.namespace, of.service, pod);
  }

  override callerLine(source: CallerSource): string {
    return source.clientLine;
  }

  override begin(): void {
    super.begin();
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
    this.#requests.value += 1;
  }

  override end(status: number, latencyMs: number, failed: boolean): void {
    super.end(status, latencyMs, failed);
    this.#service.inFlight.value -= 1;
    this.#service.responded(status, latencyMs, failed);
  }
}

/** Straight to an address: a pod past any daemon, something outside the cluster, or the proxy that leads there. */
export class DirectHop extends BalancedHop {
  readonly fieldLines = '';
  readonly peer = false;
  readonly proxy: boolean;
  readonly answerFilter: FieldFilter;
  readonly #counter: Counter | undefined;

  /** `proxy`: the server is the parent proxy. `counter`: of requests that should have had a daemon to go through. */
  constructor(endpoint: Endpoint, wiring: PodHopWiring, proxy: boolean, counter: Counter | undefined) {
    super(endpoint, wiring);
    this.proxy = proxy;
    this.answerFilter = wiring.answerFilter;
    this.#counter = counter;
  }

  override begin(): void {
    super.begin();
    if (this.#counter !== undefined) this.#counter.value += 1;
  }
}
