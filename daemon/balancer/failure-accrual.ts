export interface FailureAccrualOptions {
  /** Failures in a row after which an endpoint is out. */
  readonly failures: number;
  /** The first time out, ms; each further one is twice as long, up to `maxMs`. */
  readonly minMs: number;
  readonly maxMs: number;
}

/** linkerd2's numbers for endpoints: out after seven failures in a row, for a second, then up to a minute. */
export const POD_ACCRUAL: FailureAccrualOptions = { failures: 7, minMs: 1_000, maxMs: 60_000 };
/** A daemon that cannot be connected to takes all its pods with it at once, and is asked again soon. */
export const GATEWAY_ACCRUAL: FailureAccrualOptions = { failures: 1, minMs: 500, maxMs: 10_000 };

/**
 * Consecutive-failures circuit breaker: out after so many failures in a row; after a jittered, exponentially longer time one
 * request is let through as a probe, and its outcome decides (linkerd's failure accrual). Times are ms of one monotonic clock.
 */
export class FailureAccrual {
  readonly #options: FailureAccrualOptions;
  readonly #random: () => number;
  #failures = 0;
  #timesOut = 0;
  #outUntil: number | undefined;
  #probing = false;

  constructor(options: FailureAccrualOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  /** Whether it is out and not to be used; a probe may be due all the same. */
  get out(): boolean {
    return this.#outUntil !== undefined;
  }

  probeDue(now: number): boolean {
    return this.#outUntil !== undefined && now >= this.#outUntil;
  }

  /** ms until a probe is due; 0 where it is, or the endpoint is not out. */
  outForMs(now: number): number {
    return this.#outUntil === undefined ? 0 : Math.max(0, this.#outUntil - now);
  }

  /** A probe is on its way: none other until it is answered, or as long again has passed. */
  beginProbe(now: number): void {
    this.#outUntil = now + this.#pauseMs();
    this.#probing = true;
  }

  /** Who sees more of it has it out, and lets no probe through for so many ms. A little later, so that not all try at once. */
  putOut(ms: number, now: number): void {
    this.#outUntil = now + ms * (1 + this.#random() / 4);
    this.#probing = false;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#timesOut = 0;
    this.#outUntil = undefined;
    this.#probing = false;
  }

  failed(now: number): void {
    this.#failures += 1;
    if (this.#failures < this.#options.failures) return;
    // Requests of before, and those that are sent although all are out, say nothing that is not known.
    if (this.out && !this.#probing) return;
    this.#probing = false;
    this.#outUntil = now + this.#pauseMs();
    this.#timesOut += 1;
  }

  #pauseMs(): number {
    const { minMs, maxMs } = this.#options;
    const full = Math.min(maxMs, minMs * 2 ** Math.min(this.#timesOut, 20));
    return full * (1 + (this.#random() - 0.5) / 2);
  }
}
