import type { Counter, Family, Gauge, Histogram, MetricsRegistry } from '../../lib/metrics.ts';

/** linkerd2's response latency buckets, thinned out; ms. */
const LATENCY_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

export type RouterRole = 'outgoing' | 'incoming';

/** Whom requests are counted for, beside their router; '' where that is not known. */
export interface Parties {
  /** Of the calling pod. */
  readonly srcNamespace?: string;
  readonly srcWorkload?: string;
  readonly dstNamespace: string;
  readonly dstService: string;
  /** Of the pod that is asked. */
  readonly dstWorkload?: string;
  readonly dstPod?: string;
}

/** The counters of one router and one pair of parties, resolved once, so that the request path looks nothing up. */
export class ServiceMetrics {
  readonly requests: Counter;
  readonly inFlight: Gauge;
  readonly #metrics: DaemonMetrics;
  readonly #latency: Histogram;
  readonly #labels: readonly string[];
  /** By status. */
  readonly #failures = new Map<number, Counter>();
  readonly #successes = new Map<number, Counter>();

  constructor(metrics: DaemonMetrics, role: RouterRole, parties: Parties) {
    const { srcNamespace = '', srcWorkload = '', dstNamespace, dstService, dstWorkload = '', dstPod = '' } = parties;
    this.#labels = [role, srcNamespace, srcWorkload, dstNamespace, dstService, dstWorkload, dstPod];
    this.requests = metrics.requests.with(...this.#labels);
    this.inFlight = metrics.inFlight.with(...this.#labels);
    this.#latency = metrics.latency.with(...this.#labels);
    this.#metrics = metrics;
  }

  /** Counts an answer by its status (0: none was complete), `latencyMs` after the request's head. */
  responded(status: number, latencyMs: number, failed: boolean): void {
    const counters = failed ? this.#failures : this.#successes;
    let counter = counters.get(status);
    if (counter === undefined) {
      const statusClass = status === 0 ? 'none' : `${Math.floor(status / 100)}xx`;
      counter = this.#metrics.responses.with(...this.#labels, statusClass, failed ? 'failure' : 'success');
      counters.set(status, counter);
    }
    counter.value += 1;
    this.#latency.observe(latencyMs);
  }
}

/** Everything that a daemon counts. */
export class DaemonMetrics {
  readonly requests: Family<Counter>;
  readonly responses: Family<Counter>;
  readonly latency: Family<Histogram>;
  readonly inFlight: Family<Gauge>;
  readonly endpointRequests: Family<Counter>;
  readonly rejected: Family<Counter>;
  readonly retries: Family<Counter>;
  readonly panics: Family<Counter>;
  readonly direct: Family<Counter>;
  readonly adaptiveLimit: Family<Gauge>;
  readonly policyDenied: Family<Counter>;
  readonly connections: Family<Gauge>;
  readonly poolConnections: Family<Gauge>;
  readonly endpointState: Family<Gauge>;
  readonly breakerTransitions: Family<Counter>;
  readonly callerBytes: Family<Counter>;
  readonly droppedSeries: Family<Counter>;
  readonly workerConnections: Family<Counter>;
  readonly workerBusy: Family<Counter>;
  readonly workerStall: Family<Gauge>;
  readonly workerLag: Family<Gauge>;
  readonly #registry: MetricsRegistry;

  constructor(registry: MetricsRegistry) {
    this.#registry = registry;
    const service = ['dst_namespace', 'dst_service'];
    const source = ['router', 'src_namespace', 'src_workload'];
    const parties = [...source, ...service, 'dst_workload', 'dst_pod'];
    this.requests = registry.counter(
      'request_total',
      'Requests routed: by who asks whom in the outgoing router, by who is asked in the incoming one.',
      parties,
      'evicted',
    );
    this.responses = registry.counter(
      'response_total',
      'Answers, by the same, by class of status, and by what the Service takes for a failure.',
      [...parties, 'status_class', 'classification'],
      'evicted',
    );
    this.latency = registry.histogram(
      'response_latency_ms',
      "From a request's head to the end of its answer, in milliseconds.",
      LATENCY_BOUNDS_MS,
      parties,
      'evicted',
    );
    this.inFlight = registry.gauge('requests_in_flight', 'Requests under way.', parties, 'evicted');
    this.endpointRequests = registry.counter(
      'endpoint_request_total',
      'Requests sent to a pod of this node.',
      ['router', ...service, 'dst_pod'],
      'evicted',
    );
    this.rejected = registry.counter('rejected_total', 'Requests that the mesh answered itself, by reason.', [
      'router',
      'reason',
    ]);
    this.retries = registry.counter(
      'retry_total',
      'Further attempts, by why the one before failed.',
      [...source, ...service, 'reason'],
      'evicted',
    );
    this.panics = registry.counter(
      'panic_total',
      'Times that a failing pod was used all the same, because half of its Service, or all of it, was out already.',
      service,
      'evicted',
    );
    this.direct = registry.counter(
      'direct_request_total',
      'Requests sent straight to a pod, past any daemon, because its node has none.',
      service,
      'evicted',
    );
    this.adaptiveLimit = registry.gauge(
      'adaptive_concurrency_limit',
      'Requests of this node that may wait for answers of a Service with adaptiveConcurrency, as of now.',
      service,
      'collected',
    );
    this.policyDenied = registry.counter(
      'policy_denied_total',
      'Requests that policies forbid: refused under enforce, let through under audit.',
      ['router', 'mode', 'direction'],
    );
    this.connections = registry.gauge('open_connections', 'Open connections, by whom they lead to.', [
      'side',
      'router',
    ]);
    this.poolConnections = registry.gauge(
      'pool_connections',
      'Connections to pods and to daemons: all that are open, and of those the ones that wait for a request, and that have one.',
      ['side', 'state'],
    );
    this.endpointState = registry.gauge(
      'endpoint_state',
      'Endpoints of Services that were asked for, by whether they get requests: ready, out for their failures, or warming up.',
      [...service, 'state'],
      'collected',
    );
    this.breakerTransitions = registry.counter(
      'breaker_transitions_total',
      'Times that an endpoint was put out for its failures, and that it came back.',
      [...service, 'to'],
      'evicted',
    );
    this.callerBytes = registry.counter('caller_bytes_total', 'Bytes of connections with callers, heads and all.', [
      'direction',
    ]);
    this.droppedSeries = registry.counter(
      'series_dropped_total',
      'Times that a series was asked for and there was no room for it.',
    );
    this.workerLag = registry.gauge(
      'event_loop_lag_seconds',
      "How late a thread's event loop is at most, 99 times of 100, of the last minute.",
      ['worker'],
    );
    this.workerConnections = registry.counter('worker_connection_total', 'Connections accepted, by thread.', [
      'worker',
    ]);
    this.workerStall = registry.gauge(
      'event_loop_stall_seconds',
      "The longest time of the last minute or two that a thread's event loop stood still, garbage collection included.",
      ['worker'],
    );
    this.workerBusy = registry.counter('worker_busy_seconds_total', "Time that a thread's event loop was not idle.", [
      'worker',
    ]);
  }
  /** `collect` is called before each scrape, to fill the families that are collected. */
  onCollect(collect: () => void): void {
    this.#registry.onCollect(collect);
  }
}
