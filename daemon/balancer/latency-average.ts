/** Time constant: what was observed this long ago weighs a third (linkerd's `decayTimeMs`). */
export const DECAY_MS = 10_000;
/** Latencies below this say nothing about an endpoint: the way to another node and back is of this size. */
export const FLOOR_MS = 5;
/** Least weight of an observation: upwards more than downwards, so that trouble shows sooner than its end. */
const UP = 0.25;
const DOWN = 0.1;
/** One observation counts as at most this many times what was expected: an endpoint is slow by answering slowly again and again. */
const MOST = 4;

/**
 * Moving average of an endpoint's latency, ms, after linkerd's peak EWMA: it rises fast and falls slowly, and falls in silence
 * too, so that an endpoint that was slow is tried again. Unlike linkerd's it does not take a single slow answer (a cold
 * start, a collected heap) for the truth: that would send an endpoint's share elsewhere for the better part of a minute.
 * Times are ms of one monotonic clock.
 */
export class LatencyAverage {
  readonly #decayMs: number;
  #value = 0;
  #stamp = 0;

  constructor(decayMs: number = DECAY_MS) {
    this.#decayMs = decayMs;
  }

  /** Takes one latency, observed at `now`. */
  observe(latencyMs: number, now: number): void {
    const expected = this.value(now);
    const latency = Math.min(latencyMs, MOST * (expected + FLOOR_MS));
    const age = 1 - Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
    this.#value = expected + (latency - expected) * (latency > expected ? UP : Math.max(age, DOWN));
    this.#stamp = now;
  }

  /** What to expect at `now`; 0 where nothing is known. */
  value(now: number): number {
    return this.#value === 0 ? 0 : this.#value * Math.exp(-Math.max(0, now - this.#stamp) / this.#decayMs);
  }
}
