import type { ProxyError } from '../http/proxy-error.ts';
import type { DaemonMetrics, RouterRole, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import type { ForwardingObserver } from './hop.ts';

/** Counts what befalls a router's exchanges; with `service`, also each exchange to it from its start to its end. */
export class RouterObserver implements ForwardingObserver {
  readonly #metrics: DaemonMetrics;
  readonly #role: RouterRole;
  readonly #service: ServiceMetrics | undefined;

  constructor(metrics: DaemonMetrics, role: RouterRole, service: ServiceMetrics | undefined) {
    this.#metrics = metrics;
    this.#role = role;
    this.#service = service;
  }

  started(): void {
    if (this.#service === undefined) return;
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
  }

  retried(reason: string): void {
    this.#metrics.retries.with(this.#role, reason).inc();
  }

  failed(error: ProxyError): void {
    this.#metrics.rejected.with(this.#role, error.code).inc();
  }

  ended(status: number, latencyMs: number, failed: boolean): void {
    if (this.#service === undefined) return;
    this.#service.inFlight.value -= 1;
    this.#service.responded(status, latencyMs, failed);
  }
}
