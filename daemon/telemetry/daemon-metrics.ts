import type { Counter, Family, Gauge, Histogram, MetricsRegistry } from '../../lib/metrics.ts';

/** linkerd2's response latency buckets, thinned out; ms. */
const LATENCY_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

export type RouterRole = 'outgoing' | 'incoming';

/** The counters of one router and one Service, resolved once, so that the request path looks nothing up. */
export class ServiceMetrics {
  readonly requests: Counter;
  readonly inFlight: Gauge;
  readonly #responses: Family<Counter>;
  readonly #latency: Histogram;
  readonly #labels: readonly [string, string, string];
  /** By status. */
  readonly #failures = new Map<number, Counter>();
  readonly #successes = new Map<number, Counter>();

  constructor(metrics: DaemonMetrics, role: RouterRole, namespace: string, service: string) {
    this.#labels = [role, namespace, service];
    this.requests = metrics.requests.with(...this.#labels);
    this.inFlight = metrics.inFlight.with(...this.#labels);
    this.#latency = metrics.latency.with(...this.#labels);
    this.#responses = metrics.responses;
  }

  /** Counts an answer by its status (0: none was complete), `latencyMs` after the request's head. */
  responded(status: number, latencyMs: number, failed: boolean): void {
    const counters = failed ? this.#failures : this.#successes;
    let counter = counters.get(status);
    if (counter === undefined) {
      const statusClass = status === 0 ? 'none' : `${Math.floor(status / 100)}xx`;
      counter = this.#responses.with(...this.#labels, statusClass, failed ? 'failure' : 'success');
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
  readonly workerConnections: Family<Counter>;
  readonly workerBusy: Family<Counter>;
  readonly workerStall: Family<Gauge>;
  readonly #services = new Map<string, ServiceMetrics>();

  constructor(registry: MetricsRegistry) {
    const service = ['router', 'dst_namespace', 'dst_service'];
    this.requests = registry.counter('request_total', 'Requests routed, by destination.', service);
    this.responses = registry.counter('response_total', 'Answers, by destination and class of status.', [
      ...service,
      'status_class',
      'classification',
    ]);
    this.latency = registry.histogram(
      'response_latency_ms',
      "From a request's head to the end of its answer, in milliseconds.",
      LATENCY_BOUNDS_MS,
      service,
    );
    this.inFlight = registry.gauge('requests_in_flight', 'Requests under way.', service);
    this.endpointRequests = registry.counter('endpoint_request_total', 'Requests sent to a pod of this node.', [
      ...service,
      'dst_pod',
    ]);
    this.rejected = registry.counter('rejected_total', 'Requests that the mesh answered itself, by reason.', [
      'router',
      'reason',
    ]);
    this.retries = registry.counter('retry_total', 'Further attempts, by why the one before failed.', [
      'router',
      'reason',
    ]);
    this.panics = registry.counter(
      'panic_total',
      'Times that a failing pod was used all the same, because half of its Service, or all of it, was out already.',
      ['dst_namespace', 'dst_service'],
    );
    this.direct = registry.counter(
      'direct_request_total',
      'Requests sent straight to a pod, past any daemon, because its node has none.',
      ['dst_namespace', 'dst_service'],
    );
    this.adaptiveLimit = registry.gauge(
      'adaptive_concurrency_limit',
      'Requests of this node that may wait for answers of a Service with adaptiveConcurrency, as of the last request.',
      ['dst_namespace', 'dst_service'],
    );
    this.policyDenied = registry.counter(
      'policy_denied_total',
      'Requests that policies forbid: refused under enforce, let through under audit.',
      ['router', 'mode', 'direction'],
    );
    this.connections = registry.gauge('open_connections', 'Open connections, by whom they lead to.', ['side']);
    this.workerConnections = registry.counter('worker_connection_total', 'Connections accepted, by thread.', [
      'worker',
    ]);
    this.workerStall = registry.gauge(
      'event_loop_stall_seconds',
      "The longest time since the last scrape that a thread's event loop stood still, garbage collection included.",
      ['worker'],
    );
    this.workerBusy = registry.counter('worker_busy_seconds_total', "Time that a thread's event loop was not idle.", [
      'worker',
    ]);
  }

  service(role: RouterRole, namespace: string, service: string): ServiceMetrics {
    const key = `${role} ${namespace}/${service}`;
    let found = this.#services.get(key);
    if (found === undefined) {
      found = new ServiceMetrics(this, role, namespace, service);
      this.#services.set(key, found);
    }
    return found;
  }
}
