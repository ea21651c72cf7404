import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How often the event loop is to come by; what it comes later is its delay. */
const SAMPLE_MS = 10;
/** Whoever looks at least this often misses nothing, however many do. */
const WINDOW_MS = 60_000;

/** How late this thread's event loop is, of the last minute or two. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  readonly #now: () => number;
  #since: number;
  #longestBefore = 0;

  /** `now`: monotonic, ms. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
  }

  /** The longest that it stood still, and what 99 of 100 samples stay below; seconds. */
  read(): { longest: number; p99: number } {
    const late = (ns: number) => Math.max(0, ns / 1e6 - SAMPLE_MS) / 1_000;
    const current = late(this.#histogram.max);
    const p99 = late(this.#histogram.percentile(99));
    const longest = Math.max(current, this.#longestBefore);
    if (this.#now() - this.#since >= WINDOW_MS) {
      this.#longestBefore = current;
      this.#since = this.#now();
      this.#histogram.reset();
    }
    return { longest, p99 };
  }
}
