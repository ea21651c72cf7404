/** A caller counts for the shares this long after its last request. */
export const ACTIVE_MS = 10_000;
/** Shares are kept to this long after the limit, or a share, was last run into. */
export const CONTENDED_MS = 10_000;
const SWEEP_MS = 1_000;

/** Says whether one more request is taken. Times are ms of one monotonic clock. */
export interface RequestLimit {
  /** Takes a place for a request of `caller`; gives false where there is none for it. */
  take(caller: string, now: number): boolean;
  /** Gives a place back. */
  release(caller: string): void;
}

/** What each of so many callers gets of a limit that does not suffice for all. */
export function fairShare(max: number, callers: number): number {
  return Math.max(1, Math.floor(max / callers));
}

interface Usage {
  held: number;
  lastSeenAt: number;
}

/**
 * So many requests at a time and no queue (linkerd's `maxConcurrentRequests`), shared out fairly: once the limit has been
 * reached, no caller gets more than its share of it, so that one noisy pod leaves the others theirs. As long as it has not,
 * one may have all. Times are ms of one monotonic clock.
 */
export class ConcurrencyLimit implements RequestLimit {
  /** May change at any time; what has been taken stays taken. */
  max: number;
  readonly #callers = new Map<string, Usage>();
  #held = 0;
  #contendedUntil = Number.NEGATIVE_INFINITY;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(max: number) {
    this.max = max;
  }

  take(caller: string, now: number): boolean {
    this.#forgetIdle(now);
    let usage = this.#callers.get(caller);
    if (usage === undefined) {
      usage = { held: 0, lastSeenAt: now };
      this.#callers.set(caller, usage);
    }
    usage.lastSeenAt = now;
    const share = fairShare(this.max, this.#callers.size);
    if (this.#held >= this.max || (now < this.#contendedUntil && usage.held >= share)) {
      this.#contendedUntil = now + CONTENDED_MS;
      return false;
    }
    usage.held += 1;
    this.#held += 1;
    if (this.#held >= this.max) this.#contendedUntil = now + CONTENDED_MS;
    return true;
  }

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
