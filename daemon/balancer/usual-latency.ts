/** Least and most that the floor can be, ms: the way to another node, and the waits of a busy machine. */
const LEAST_MS = 5;
const MOST_MS = 20;
/** The floor, in terms of how far latencies are from what was expected, on average. */
const FACTOR = 3;
/** What was observed this long ago weighs a third, ms; less long where answers are rare. */
const WINDOW_MS = 5_000;
const MOST_WEIGHT = 0.02;

/**
 * What is usual of one Service's latencies: how long they are, for pods of which nothing is known yet, and how much they differ by
 * chance, below which they say nothing of a pod. Times are ms of one monotonic clock.
 */
export class UsualLatency {
  /** Of late; 0 where nothing is known. */
  meanMs = 0;
  /** Differences below this are chance, ms. */
  floorMs = MOST_MS;
  #deviation = MOST_MS / FACTOR;
  #stamp = 0;
  /** The weight of all that was observed, up to 1. */
  #known = 0;

  /** An answer came after so many ms, so many sooner or later than was expected of its pod. */
  observe(latencyMs: number, deviationMs: number, now: number): void {
    const weight = Math.min(MOST_WEIGHT, Math.max(0, now - this.#stamp) / WINDOW_MS);
    this.#stamp = now;
    this.meanMs += (latencyMs - this.meanMs) * weight;
    this.#known += (1 - this.#known) * weight;
    this.#deviation += (deviationMs - this.#deviation) * weight;
    this.floorMs = Math.min(MOST_MS, Math.max(LEAST_MS, FACTOR * this.#deviation));
  }

  /** The mean of what was observed, however little that is; 0 where nothing is known. */
  get observedMs(): number {
    return this.#known === 0 ? 0 : this.meanMs / this.#known;
  }
}
