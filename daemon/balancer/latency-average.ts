/** Time constant: what was observed this long ago weighs a third (linkerd's `decayTimeMs`). */
export const DECAY_MS = 10_000;
/** Least weight of an observation, however soon after the last it comes. */
const WEIGHT = 0.1;
/** What one observation counts as at most, in terms of what was expected: slow is what answers slowly again and again. */
const MOST = 3;
/** The same of a silence that lasts: a request is under way, and whoever answers slowly is to get no more of them meanwhile. */
const MOST_SILENT = 10;

/**
 * Moving average of an endpoint's latency, ms, after linkerd's peak EWMA: it falls in silence too, so that an endpoint that
 * was slow is tried again. Unlike linkerd's it does not take a single slow answer (a cold start, a collected heap) for the
 * truth: that would send an endpoint's share elsewhere for the better part of a minute. A new endpoint
 * begins with what is usual (`begin`): if it began at nothing, it would seem fast.
 * Times are ms of one monotonic clock.
 */
export class LatencyAverage {
  readonly #decayMs: number;
  #value = 0;
  #stamp = 0;

  constructor(decayMs: number = DECAY_MS) {
    this.#decayMs = decayMs;
  }

  /**
   * Takes one latency, observed at `now`; gives how far it is from what was expected, ms. Below `floorMs` latencies say nothing.
   */
  observe(latencyMs: number, now: number, floorMs: number): number {
    const expected = this.value(now);
    const latency = Math.min(latencyMs, MOST * (expected + floorMs));
    const weight = latency > expected ? WEIGHT : Math.max(1 - this.#kept(now), WEIGHT);
    this.#value = expected + (latency - expected) * weight;
    this.#stamp = now;
    return Math.abs(latency - expected);
  }

  /**
   * It failed, which counts as `latencyMs`: as a slow answer where others came shortly before, and the more the longer nothing
   * was heard of it, when there is nothing better to go by. `recent`: failures of late, this one included: one alone may be chance.
   */
  failed(latencyMs: number, now: number, floorMs: number, recent: number): void {
    const expected = this.value(now);
    const kept = this.#kept(now);
    const latency = Math.min(latencyMs, (MOST * (expected + floorMs) * recent * recent) / kept);
    this.#value = expected + Math.max(0, latency - expected) * Math.max(1 - kept, WEIGHT);
    this.#stamp = now;
  }

  #kept(now: number): number {
    return Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
  }

  /** Expects so many ms, where nothing was observed yet. */
  begin(expectedMs: number, now: number): void {
    this.#value = expectedMs;
    this.#stamp = now;
  }

  /** What to expect at `now` of an endpoint that has not answered for `silentMs`. Below `floorMs` latencies say nothing. */
  silent(silentMs: number, now: number, floorMs: number): number {
    const expected = this.value(now);
    return Math.max(expected, Math.min(silentMs, MOST_SILENT * (expected + floorMs)));
  }

  /** What to expect at `now`; 0 where nothing is known. */
  value(now: number): number {
    return this.#value === 0 ? 0 : this.#value * Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
  }
}
