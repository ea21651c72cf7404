/** Time constant: what was observed this long ago weighs a third (linkerd's `decayTimeMs`). */
export const DECAY_MS = 10_000;
/** Latencies below this say nothing about an endpoint: the way to another node and the waits of a busy machine are of this size. */
export const FLOOR_MS = 20;
/** Least weight of an observation, however soon after the last it comes. */
const WEIGHT = 0.1;
/** What one observation counts as at most, in terms of what was expected: slow is what answers slowly again and again. */
const MOST = 3;
/** The same of a silence that lasts: a request is under way, and whoever answers slowly is to get no more of them meanwhile. */
const MOST_SILENT = 10;

/**
 * Moving average of an endpoint's latency, ms, after linkerd's peak EWMA: it falls in silence too, so that an endpoint that
 * was slow is tried again. Unlike linkerd's it does not take a single slow answer (a cold start, a collected heap) for the
 * truth: that would send an endpoint's share elsewhere for the better part of a minute. The first ten count alike: if they
 * began at nothing, a new endpoint would seem fast.
 * Times are ms of one monotonic clock.
 */
export class LatencyAverage {
  readonly #decayMs: number;
  #value = 0;
  #stamp = 0;
  /** Weight of the next observation, at least: the first few count alike. */
  #weight = 1;

  constructor(decayMs: number = DECAY_MS) {
    this.#decayMs = decayMs;
  }

  /** Takes one latency, observed at `now`. `certain`: it stands for a failure, of which one says what it says. */
  observe(latencyMs: number, now: number, certain = false): void {
    const expected = this.value(now);
    const latency = certain ? latencyMs : Math.min(latencyMs, MOST * (expected + FLOOR_MS));
    const age = 1 - Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
    this.#value = expected + (latency - expected) * (latency > expected ? this.#weight : Math.max(age, this.#weight));
    this.#stamp = now;
    if (this.#weight > WEIGHT) this.#weight = Math.max(WEIGHT, this.#weight / (1 + this.#weight));
  }

  /** What to expect at `now` of an endpoint that has not answered for `silentMs`. */
  silent(silentMs: number, now: number): number {
    const expected = this.value(now);
    return Math.max(expected, Math.min(silentMs, MOST_SILENT * (expected + FLOOR_MS)));
  }

  /** What to expect at `now`; 0 where nothing is known. */
  value(now: number): number {
    return this.#value === 0 ? 0 : this.#value * Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
  }
}
