const SAMPLE_MS = 100;
/** Later than this, whoever waits for an answer waits for the daemon more than for the application. */
const MAX_LAG_MS = 200;

/**
 * Tells by a timer's lateness that the event loop has more to do than it can. One stall is none of that (a collected heap, a
 * machine that slept), and refusing those who waited through it would add failures to a delay: it takes two in a row.
 */
export class LagGuard {
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #sampledAt = 0;
  #lateBefore = false;
  #lagging = false;

  /** `now`: monotonic, ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  start(): void {
    this.#sampledAt = this.#now();
    this.#timer = setInterval(() => this.sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look at the clock; due every 100 ms. */
  sample(): void {
    const now = this.#now();
    const late = now - this.#sampledAt - SAMPLE_MS > MAX_LAG_MS;
    this.#lagging = late && this.#lateBefore;
    this.#lateBefore = late;
    this.#sampledAt = now;
  }
}
