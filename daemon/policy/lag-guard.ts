const SAMPLE_MS = 100;
/** Later than this, whoever waits for an answer waits for the daemon more than for the application. */
const MAX_LAG_MS = 200;
/** Who is late without having used so much of the time was kept from it by others on the machine: refusing helps nobody then. */
const LEAST_BUSY = 0.3;

/**
 * Tells by a timer's lateness that the event loop has more to do than it can. One stall is none of that (a collected heap, a
 * machine that slept), and refusing those who waited through it would add failures to a delay: it takes two in a row.
 */
export class LagGuard {
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  readonly #cpuMs: () => number;
  #sampledAt = 0;
  #cpuAt = 0;
  #lateBefore = false;
  #lagging = false;

  /** `now`: monotonic, ms. `cpuMs`: what this process has used of the processors so far, ms. */
  constructor(now: () => number, cpuMs: () => number = processCpuMs) {
    this.#now = now;
    this.#cpuMs = cpuMs;
  }

  get lagging(): boolean {
    return this.#lagging;
  }

  start(): void {
    this.#sampledAt = this.#now();
    this.#cpuAt = this.#cpuMs();
    this.#timer = setInterval(() => this.sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look at the clock; due every 100 ms. */
  sample(): void {
    const now = this.#now();
    const cpuMs = this.#cpuMs();
    const elapsedMs = now - this.#sampledAt;
    const late = elapsedMs - SAMPLE_MS > MAX_LAG_MS && cpuMs - this.#cpuAt >= LEAST_BUSY * elapsedMs;
    this.#lagging = late && this.#lateBefore;
    this.#lateBefore = late;
    this.#sampledAt = now;
    this.#cpuAt = cpuMs;
  }
}

function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}
