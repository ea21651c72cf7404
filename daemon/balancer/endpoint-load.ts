import { FailureAccrual, type FailureAccrualOptions, POD_ACCRUAL } from './failure-accrual.ts';
import { DECAY_MS, FLOOR_MS, LatencyAverage } from './latency-average.ts';
import { SLOW_START_MS, warmthAt } from './slow-start.ts';

/** A request under way counts at least this, so that one that hangs shows. */
const LEAST_MS = 1;
/** What a failure counts as, so that an endpoint that fails fast does not attract traffic. */
const FAILURE_MS = 1_000;
/** Load of an endpoint that has never answered and is being asked: it gets one request, and no more before the answer. */
const UNPROVEN = 1e9;

export interface EndpointLoadOptions {
  readonly failureAccrual: FailureAccrualOptions;
  /** Time constant of its latency, ms. */
  readonly decayTimeMs: number;
}

const DEFAULTS: EndpointLoadOptions = { failureAccrual: POD_ACCRUAL, decayTimeMs: DECAY_MS };

/** What the balancer knows of one endpoint. Times are ms of one monotonic clock. */
export class EndpointLoad {
  readonly accrual: FailureAccrual;
  readonly #latency: LatencyAverage;
  #proven = false;
  #warmingSince = Number.NEGATIVE_INFINITY;
  /** Requests under way. */
  outstanding = 0;
  /** Those of them that wait for an answer to begin, and the sum of when they began. */
  #awaited = 0;
  #awaitedSince = 0;

  /** `options`: what its router's config says of it; `random` gives numbers in [0, 1). `accrual`: one that others know as well. */
  constructor(
    random: () => number,
    options: EndpointLoadOptions = DEFAULTS,
    accrual: FailureAccrual = new FailureAccrual(options.failureAccrual, random),
  ) {
    this.accrual = accrual;
    this.#latency = new LatencyAverage(options.decayTimeMs);
  }

  /**
   * Expected time of one more request, ms: latency × (requests under way + 1) (linkerd's ewma balancer), and the floor: of fast
   * endpoints a few requests more or less say nothing, and the nearer ones have fewer under way by being nearer alone.
   */
  load(now: number): number {
    if (!this.#proven) return this.outstanding === 0 ? 0 : UNPROVEN + this.outstanding;
    return FLOOR_MS + Math.max(LEAST_MS, this.#expected(now)) * (this.outstanding + 1);
  }

  /** A request that waits for longer than expected tells so before it is answered: whoever hangs gets no more meanwhile. */
  #expected(now: number): number {
    if (this.#awaited === 0) return this.#latency.value(now);
    return this.#latency.silent(now - this.#awaitedSince / this.#awaited, now);
  }

  /** It appeared at `now` while others served: its share is to grow. */
  warmUp(now: number): void {
    this.#warmingSince = now;
  }

  /** The part of its share that it gets at `now`, up to 1. */
  warmth(now: number): number {
    const ageMs = now - this.#warmingSince;
    return ageMs >= SLOW_START_MS ? 1 : warmthAt(ageMs);
  }

  begin(now: number): void {
    this.outstanding += 1;
    this.#awaited += 1;
    this.#awaitedSince += now;
  }

  /** `unansweredSince`: when it began, if no answer has; undefined otherwise. */
  end(unansweredSince: number | undefined): void {
    this.outstanding -= 1;
    if (unansweredSince !== undefined) this.#awaits(unansweredSince);
  }

  #awaits(since: number): void {
    this.#awaited -= 1;
    this.#awaitedSince = this.#awaited === 0 ? 0 : this.#awaitedSince - since;
  }

  /**
   * The head of an answer came `latencyMs` after the request. A 429 counts as slow, a failure (a 5xx, unless the Service's
   * classifier says otherwise) as slow and against it.
   */
  answered(status: number, latencyMs: number, now: number, failed = status >= 500): void {
    this.#proven = true;
    this.#awaits(now - latencyMs);
    const asSlow = failed || status === 429;
    this.#latency.observe(asSlow ? Math.max(latencyMs, FAILURE_MS) : latencyMs, now, asSlow);
    if (failed) this.accrual.failed(now);
    else this.accrual.succeeded();
  }

  /** No answer: the connection to it failed or broke. */
  lost(now: number): void {
    this.#proven = true;
    this.#latency.observe(FAILURE_MS, now, true);
    this.accrual.failed(now);
  }
}
