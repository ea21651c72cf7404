import type { EjectionLimit } from './ejection-limit.ts';
import { FailureAccrual, type FailureAccrualOptions, POD_ACCRUAL } from './failure-accrual.ts';
import { DECAY_MS, LatencyAverage } from './latency-average.ts';
import { warmthAt } from './slow-start.ts';
import { UsualLatency } from './usual-latency.ts';

/** A request under way counts at least this, so that one that hangs shows. */
const LEAST_MS = 1;
/** What a failure counts as, so that an endpoint that fails fast does not attract traffic. */
const FAILURE_MS = 1_000;
/** One that asks for no more requests counts as having so many more under way. */
const WAITING = 100;
/** Load of an endpoint that has never answered and is being asked: it gets one request, and no more before the answer. */
const UNPROVEN = 1e9;

/** What the pods of one Service have in common. */
export interface Siblings {
  readonly ejections: EjectionLimit;
  readonly usual: UsualLatency;
}

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
  #usual = new UsualLatency();
  #proven = false;
  #warmingSince = 0;
  #warmingMs = 0;
  /** Requests under way. */
  #outstanding = 0;
  /** Those of them that wait for an answer to begin, and the sum of when they began. */
  #awaited = 0;
  #awaitedSince = 0;
  /** Failures of late, as of `#failedAt`. */
  #failures = 0;
  #failedAt = 0;
  /** It asked at `#waitsSince` for no more requests until `#waitsUntil`; 0: it did not. */
  #waitsSince = 0;
  #waitsUntil = 0;

  /** `options`: what its router's config says of it; `random` gives numbers in [0, 1). */
  constructor(random: () => number, options: EndpointLoadOptions = DEFAULTS) {
    this.accrual = new FailureAccrual(options.failureAccrual, random);
    this.#latency = new LatencyAverage(options.decayTimeMs);
  }

  /**
   * Expected time of one more request, ms: latency × (requests under way + 1) (linkerd's ewma balancer), and the floor: of fast
   * endpoints a few requests more or less say nothing, and the nearer ones have fewer under way by being nearer alone.
   */
  load(now: number): number {
    const outstanding = this.#outstanding;
    if (!this.#proven) return outstanding === 0 ? 0 : UNPROVEN + outstanding;
    return this.#usual.floorMs + Math.max(LEAST_MS, this.#expected(now), this.#waitsUntil - now) * (outstanding + 1);
  }

  /** A request that waits for longer than expected tells so before it is answered: whoever hangs gets no more meanwhile. */
  #expected(now: number): number {
    if (this.#awaited === 0) return this.#latency.value(now);
    return this.#latency.silent(now - this.#awaitedSince / this.#awaited, now, this.#usual.floorMs);
  }

  /**
   * Requests under way. A failure counts as one for about a second, as if it had not come at once, and one that asks for no more
   * requests has many.
   */
  queue(now: number): number {
    const failures = this.#failures === 0 ? 0 : Math.round(this.#recentFailures(now));
    return this.#outstanding + failures + (this.#waitsUntil > now ? WAITING : 0);
  }

  /** What is expected of an answer, ms; 0 where nothing is known. */
  latencyMs(now: number): number {
    return this.#latency.value(now);
  }

  /** Requests under way. */
  get inFlight(): number {
    return this.#outstanding;
  }

  #recentFailures(now: number): number {
    return this.#failures * Math.exp((this.#failedAt - now) / FAILURE_MS);
  }

  /** It is one of them; undefined: it is none of them any more. */
  join(siblings: Siblings | undefined): void {
    this.accrual.join(siblings?.ejections);
    if (siblings !== undefined) this.#usual = siblings.usual;
  }

  /** It appeared at `now` while others served: its share is to grow for so many ms. */
  warmUp(now: number, windowMs: number): void {
    this.#warmingSince = now;
    this.#warmingMs = windowMs;
  }

  /** The part of its share that it gets at `now`, up to 1. */
  warmth(now: number): number {
    return warmthAt(now - this.#warmingSince, this.#warmingMs);
  }

  begin(now: number): void {
    this.#outstanding += 1;
    this.#awaited += 1;
    this.#awaitedSince += now;
  }

  /** `unansweredSince`: when it began, if no answer has; undefined otherwise. */
  end(unansweredSince: number | undefined): void {
    this.#outstanding -= 1;
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
    this.#awaits(now - latencyMs);
    if (failed || status === 429) this.#slow(latencyMs, now);
    else {
      this.#prove(now);
      this.#usual.observe(latencyMs, this.#latency.observe(latencyMs, now, this.#usual.floorMs), now);
      // What was asked before says nothing of what came after.
      if (this.#waitsUntil !== 0 && now - latencyMs > this.#waitsSince) this.#waitsUntil = 0;
    }
    if (failed) this.accrual.failed(now);
    else this.accrual.succeeded(now);
  }

  /**
   * It asks for no request for so many ms. Until then, or until it has answered one that it got all the same, it counts as one whose answers
   * take as long: others are chosen, and where all ask for it, the one that asks for least.
   */
  waits(ms: number, now: number): void {
    this.#waitsSince = now;
    this.#waitsUntil = now + ms;
  }

  /** No answer: the connection to it failed or broke. */
  lost(now: number): void {
    this.#slow(0, now);
    this.accrual.failed(now);
  }

  /**
   * A policy refused in its place. To its Service's callers it is to look like the others, lest so quick an answer, or none from it
   * at all, draw requests to it or keep them away.
   */
  denied(now: number): void {
    this.#prove(now);
    this.#latency.begin(Math.max(this.#latency.value(now), this.#usual.observedMs), now);
  }

  #prove(now: number): void {
    if (!this.#proven) this.#latency.begin(this.#usual.meanMs, now);
    this.#proven = true;
  }

  #slow(latencyMs: number, now: number): void {
    this.#prove(now);
    this.#failures = this.#recentFailures(now) + 1;
    this.#latency.failed(Math.max(latencyMs, FAILURE_MS), now, this.#usual.floorMs, this.#failures);
    this.#failedAt = now;
  }
}
