/** A caller counts for the shares this long after its last request. */
const ACTIVE_MS = 10_000;
/** Shares are kept to this long after the limit, or a share, was last run into. */
const CONTENDED_MS = 10_000;
const SWEEP_MS = 1_000;

interface Usage {
  held: number;
  lastSeenAt: number;
}

/**
 * So many requests at a time and no queue (linkerd's `maxConcurrentRequests`), shared out fairly: once the limit has been
 * reached, no caller gets more than its share of it, so that one noisy pod leaves the others theirs. As long as it has not,
 * one may have all. Times are ms of one monotonic clock.
 */
export class ConcurrencyLimit {
  readonly #max: number;
  readonly #callers = new Map<string, Usage>();
  #held = 0;
  #contendedUntil = Number.NEGATIVE_INFINITY;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(max: number) {
    this.#max = max;
  }

  /** Takes a place for a request of `caller`; gives false where there is none for it. */
  take(caller: string, now: number): boolean {
    this.#forgetIdle(now);
    let usage = this.#callers.get(caller);
    if (usage === undefined) {
      usage = { held: 0, lastSeenAt: now };
      this.#callers.set(caller, usage);
    }
    usage.lastSeenAt = now;
    const share = Math.max(1, Math.floor(this.#max / this.#callers.size));
    if (this.#held >= this.#max || (now < this.#contendedUntil && usage.held >= share)) {
      this.#contendedUntil = now + CONTENDED_MS;
      return false;
    }
    usage.held += 1;
    this.#held += 1;
    if (this.#held === this.#max) this.#contendedUntil = now + CONTENDED_MS;
    return true;
  }

  /** Gives a place back. */
  release(caller: string): void {
    const usage = this.#callers.get(caller);
    if (usage === undefined) return;
    usage.held -= 1;
    this.#held -= 1;
  }

  #forgetIdle(now: number): void {
    if (now - this.#sweptAt < SWEEP_MS) return;
    this.#sweptAt = now;
    for (const [caller, { held, lastSeenAt }] of this.#callers) {
      if (held === 0 && now - lastSeenAt > ACTIVE_MS) this.#callers.delete(caller);
    }
  }
}
