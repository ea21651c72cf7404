/** A pod that is new is taken to bear so many requests at a time; what it does with them tells how many. */
const FIRST = 8;
const LEAST = 4;
/** So many may wait at a pod beyond what it works on. */
const ROOM = 4;
const MOST = 1_000;
/** Answers that take so much longer than usual are still as usual. */
const TOLERANCE = 1.5;
const LEAST_GRADIENT = 0.5;
const SMOOTHING = 0.2;
/** Answers over which what is usual is averaged. */
const USUAL_OVER = 600;

/**
 * How many requests a pod may have under way before others are asked instead: more while its answers take as long as usual, fewer while
 * they take longer, since then requests only wait for each other (Netflix' concurrency-limits, Gradient2).
 */
export class QueueLimit {
  #awaited = 0;
  #limit = FIRST;
  #usualMs = 0;
  #seen = 0;

  /** Whether it has as much to do as it bears. */
  get full(): boolean {
    return this.#awaited >= this.#limit;
  }

  begin(): void {
    this.#awaited += 1;
  }

  /** A request's answer has begun, so many ms after it came. */
  answered(latencyMs: number): void {
    const awaited = this.#awaited;
    this.#awaited -= 1;
    if (this.#seen < USUAL_OVER) this.#seen += 1;
    this.#usualMs += (latencyMs - this.#usualMs) / this.#seen;
    const tolerated = TOLERANCE * this.#usualMs;
    const gradient = latencyMs <= tolerated ? 1 : Math.max(LEAST_GRADIENT, tolerated / latencyMs);
    if (gradient === 1 && awaited < this.#limit / 2) return; // that few take no longer says nothing of more
    const wanted = this.#limit * gradient + ROOM;
    this.#limit = Math.max(LEAST, Math.min(MOST, this.#limit + (wanted - this.#limit) * SMOOTHING));
  }

  /** It is over without an answer. */
  lost(): void {
    this.#awaited -= 1;
  }
}
