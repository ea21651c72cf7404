import { FailureAccrual, POD_ACCRUAL } from './failure-accrual.ts';
import { FLOOR_MS, LatencyAverage } from './latency-average.ts';

/** A request under way counts at least this, so that one that hangs shows. */
const LEAST_MS = 1;
/** What a failure counts as, so that an endpoint that fails fast does not attract traffic. */
const FAILURE_MS = 1_000;
/** Load of an endpoint that has never answered and is being asked: it gets one request, and no more before the answer. */
const UNPROVEN = 1e9;

/** What the balancer knows of one endpoint. Times are ms of one monotonic clock. */
export class EndpointLoad {
  readonly accrual: FailureAccrual;
  readonly #latency = new LatencyAverage();
  #proven = false;
  /** Requests under way. */
  outstanding = 0;

  constructor(random: () => number) {
    this.accrual = new FailureAccrual(POD_ACCRUAL, random);
  }

  /**
   * Expected time of one more request, ms: latency × (requests under way + 1) (linkerd's ewma balancer), and the floor: of fast
   * endpoints a few requests more or less say nothing, and the nearer ones have fewer under way by being nearer alone.
   */
  load(now: number): number {
    if (!this.#proven) return this.outstanding === 0 ? 0 : UNPROVEN + this.outstanding;
    return FLOOR_MS + Math.max(LEAST_MS, this.#latency.value(now)) * (this.outstanding + 1);
  }

  begin(): void {
    this.outstanding += 1;
  }

  end(): void {
    this.outstanding -= 1;
  }

  /** The head of an answer came `latencyMs` after the request. A 429 counts as slow, a 5xx as slow and as a failure. */
  answered(status: number, latencyMs: number, now: number): void {
    const failed = status >= 500;
    this.#proven = true;
    this.#latency.observe(failed || status === 429 ? Math.max(latencyMs, FAILURE_MS) : latencyMs, now);
    if (failed) this.accrual.failed(now);
    else this.accrual.succeeded();
  }

  /** No answer: the connection to it failed or broke. */
  lost(now: number): void {
    this.#proven = true;
    this.#latency.observe(FAILURE_MS, now);
    this.accrual.failed(now);
  }
}
