import type { Ejectable, EjectionLimit } from './ejection-limit.ts';
import { SuccessRate, type SuccessRateOptions } from './success-rate.ts';

export interface FailureAccrualOptions {
  /** Failures in a row after which an endpoint is out; Infinity: however many. */
  readonly failures: number;
  /** The success rate below which it is out; undefined: however low. */
  readonly successRate?: SuccessRateOptions | undefined;
  /** The first time out, ms; each further one is twice as long, up to `maxMs`. */
  readonly minMs: number;
  readonly maxMs: number;
}

/** linkerd2's numbers for endpoints: out after seven failures in a row, for a second, then up to a minute. */
export const POD_ACCRUAL: FailureAccrualOptions = { failures: 7, minMs: 1_000, maxMs: 60_000 };
/** A daemon that cannot be connected to takes all its pods with it at once, and is asked again soon. */
export const GATEWAY_ACCRUAL: FailureAccrualOptions = { failures: 1, minMs: 500, maxMs: 10_000 };

/**
 * Circuit breaker: out after so many failures in a row, or when too few requests succeed; after a jittered, exponentially longer
 * time one request is let through as a probe, and its outcome decides (linkerd's failure accrual). Times are ms of one monotonic clock.
 */
export class FailureAccrual implements Ejectable {
  readonly #options: FailureAccrualOptions;
  readonly #random: () => number;
  readonly #rate: SuccessRate | undefined;
  #failures = 0;
  #timesOut = 0;
  #outUntil: number | undefined;
  #probing = false;
  #limit: EjectionLimit | undefined;

  constructor(options: FailureAccrualOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
    this.#rate = options.successRate === undefined ? undefined : new SuccessRate(options.successRate);
  }

  /** It is one of those of which `limit` lets some be out; undefined: it is none of them any more. */
  join(limit: EjectionLimit | undefined): void {
    this.#limit?.release(this);
    this.#limit = limit;
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
    if (!this.out && this.#limit?.eject(this) === false) return;
    this.#outUntil = now + ms * (1 + this.#random() / 4);
    this.#probing = false;
  }

  succeeded(now: number): void {
    if (this.#rate !== undefined) {
      // Of one that fails now and then, requests of before would soon bring it back.
      if (this.out && !this.#probing) return;
      if (this.out) this.#rate.reset();
      this.#rate.observe(true, now);
    }
    this.#failures = 0;
    this.#timesOut = 0;
    if (this.out) this.readmit();
  }

  /** In again; one more failure is enough to put it out once more. */
  readmit(): void {
    this.#outUntil = undefined;
    this.#probing = false;
    this.#limit?.release(this);
  }

  failed(now: number): void {
    this.#failures += 1;
    this.#rate?.observe(false, now);
    if (this.out) {
      // Requests of before, and those that are sent although all are out, say nothing that is not known.
      if (!this.#probing) return;
    } else if (!this.#tooBad() || this.#limit?.eject(this) === false) return;
    this.#probing = false;
    this.#outUntil = now + this.#pauseMs();
    this.#timesOut += 1;
  }

  #tooBad(): boolean {
    return this.#failures >= this.#options.failures || this.#rate?.tooLow === true;
  }

  #pauseMs(): number {
    const { minMs, maxMs } = this.#options;
    const full = Math.min(maxMs, minMs * 2 ** Math.min(this.#timesOut, 20));
    return full * (1 + (this.#random() - 0.5) / 2);
  }
}
