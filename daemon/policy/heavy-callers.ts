/** Counts are of one time of trouble: after so long without a question another begins. */
const FORGET_MS = 1_000;
const MAX_CALLERS = 4_096;

/** Tells, while there is too much to do, whose requests make it so. Asked at no other time, it counts at no other time. */
export class HeavyCallers {
  readonly #requests = new Map<string, number>();
  #total = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  /**
   * Counts a request of `caller` (its address), which came at `now` (ms, monotonic): whether the caller has asked for as much as
   * callers do on average, or more. Of callers that are all alike, all are heavy.
   */
  counts(caller: string, now: number): boolean {
    if (now - this.#askedAt > FORGET_MS || this.#requests.size >= MAX_CALLERS) {
      this.#requests.clear();
      this.#total = 0;
    }
    this.#askedAt = now;
    const own = (this.#requests.get(caller) ?? 0) + 1;
    this.#requests.set(caller, own);
    this.#total += 1;
    return own * this.#requests.size >= this.#total;
  }
}
