/** When the part of an endpoint's requests that succeed is too small. */
export interface SuccessRateOptions {
  /** The least part, up to 1, that may succeed (linkerd's `successRate`). */
  readonly least: number;
  /** What was observed before so many requests, or so many ms, weighs a third. */
  readonly over: { readonly requests: number } | { readonly ms: number };
}

/** With fewer requests than this a time says nothing (finagle's minimum). */
const LEAST_REQUESTS = 5;

/**
 * Moving average of the part of an endpoint's requests that succeed, over requests (linkerd's `io.l5d.successRate`) or over time
 * (`io.l5d.successRateWindowed`). Times are ms of one monotonic clock.
 */
export class SuccessRate {
  readonly #options: SuccessRateOptions;
  #count = 0;
  #seen = 0;
  #succeeded = 0;
  #stamp = 0;

  constructor(options: SuccessRateOptions) {
    this.#options = options;
  }

  observe(success: boolean, now: number): void {
    const { over } = this.#options;
    const kept = Math.exp('ms' in over ? Math.min(0, this.#stamp - now) / over.ms : -1 / over.requests);
    this.#stamp = now;
    this.#count += 1;
    this.#seen = this.#seen * kept + 1;
    this.#succeeded = this.#succeeded * kept + (success ? 1 : 0);
  }

  /** Whether it is below what is asked for; never before there were enough requests. */
  get tooLow(): boolean {
    const { least, over } = this.#options;
    const enough = 'ms' in over ? this.#seen >= LEAST_REQUESTS : this.#count >= over.requests;
    return enough && this.#succeeded < least * this.#seen;
  }

  /** Forgets all. */
  reset(): void {
    this.#count = 0;
    this.#seen = 0;
    this.#succeeded = 0;
  }
}
