import type { ProxyError } from '../http/proxy-error.ts';
import { type DaemonMetrics, type Parties, type RouterRole, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import type { ForwardingObserver } from './hop.ts';

/** Counts what befalls a router's exchanges between two parties, or what is refused before they are known. */
export class RouterObserver implements ForwardingObserver {
  readonly #metrics: DaemonMetrics;
  readonly #role: RouterRole;
  readonly #parties: Parties | undefined;
  /** Undefined where each exchange is counted by its pod's hop. */
  readonly #service: ServiceMetrics | undefined;

  constructor(metrics: DaemonMetrics, role: RouterRole, parties?: Parties) {
    this.#metrics = metrics;
    this.#role = role;
    this.#parties = parties;
    this.#service =
      parties === undefined || role === 'incoming' ? undefined : new ServiceMetrics(metrics, role, parties);
  }

  started(): void {
    if (this.#service === undefined) return;
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
  }

  retried(reason: string): void {
    const { srcNamespace = '', srcWorkload = '', dstNamespace = '', dstService = '' } = this.#parties ?? {};
    this.#metrics.retries.with(this.#role, srcNamespace, srcWorkload, dstNamespace, dstService, reason).inc();
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
