import { monitorEventLoopDelay } from 'node:perf_hooks';

/** How often the event loop is to come by; what it comes later is its delay. */
const SAMPLE_MS = 10;

/** How late this thread's event loop is. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: SAMPLE_MS });

  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
  }

  /** Since it was begun anew: the longest that it stood still, and what 99 of 100 samples stay below; seconds. */
  read(): { longest: number; p99: number } {
    const { max } = this.#histogram;
    return { longest: late(max), p99: late(this.#histogram.percentile(99)) };
  }

  beginAnew(): void {
    this.#histogram.reset();
  }
}

function late(ns: number): number {
  return Math.max(0, ns / 1e6 - SAMPLE_MS) / 1_000;
}
