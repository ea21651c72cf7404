const SLICES = 10;
/** One more than a `ttlSecs` has, so that nothing is forgotten before its time, wherever in its slice it was. */
const KEPT = SLICES + 1;

export interface RetryBudgetOptions {
  /** Time over which requests and retries are weighed against each other, s (linkerd's `ttlSecs`). */
  readonly ttlSecs: number;
  /** Retries that are always allowed (linkerd's key). */
  readonly minRetriesPerSec: number;
  /** Retries allowed for each request (linkerd's key). */
  readonly percentCanRetry: number;
}

/** linkerd's defaults: a fifth more load, and ten a second. */
export const RETRY_BUDGET: RetryBudgetOptions = { ttlSecs: 10, minRetriesPerSec: 10, percentCanRetry: 0.2 };

/**
 * Bounds what retries add to a Service's load, however it fails: each request earns a part of a retry, which it loses again
 * after `ttlSecs`; a small reserve lets quiet Services retry too (linkerd's retry budget). Times are ms of one clock.
 */
export class RetryBudget {
  readonly #options: RetryBudgetOptions;
  readonly #slices = new Float64Array(KEPT);
  readonly #sliceMs: number;
  #current = 0;

  constructor(options: RetryBudgetOptions) {
    this.#options = options;
    this.#sliceMs = (options.ttlSecs * 1_000) / SLICES;
  }

  /** A request that is no retry. */
  deposit(now: number): void {
    const at = this.#advance(now);
    this.#slices[at] = (this.#slices[at] as number) + this.#options.percentCanRetry;
  }

  /** Takes one retry out of the budget; gives false, and takes nothing, where none is left. */
  withdraw(now: number): boolean {
    const at = this.#advance(now);
    let balance = this.#options.minRetriesPerSec * this.#options.ttlSecs;
    for (const slice of this.#slices) balance += slice;
    if (balance < 1) return false;
    this.#slices[at] = (this.#slices[at] as number) - 1;
    return true;
  }

  /** Forgets slices that are too old; gives the index of the one for now. */
  #advance(now: number): number {
    const slice = Math.floor(now / this.#sliceMs);
    if (slice > this.#current) {
      const expired = Math.min(KEPT, slice - this.#current);
      for (let i = 1; i <= expired; i += 1) this.#slices[(this.#current + i) % KEPT] = 0;
      this.#current = slice;
    }
    return slice % KEPT;
  }
}
