import { type Counts, INTERVAL_MS, INTERVALS, type Series } from './node-stats.ts';
import { percentile } from './percentile.ts';

/** Counts of several nodes, workloads or pods, added up. Sums alone: in whatever order they come, the result is the same. */
export class Tally {
  requests = 0;
  successes = 0;
  failures = 0;
  retries = 0;
  /** By upper bound, ms; Infinity for those above the last. Daemons of two versions may have other bounds. */
  readonly #latency = new Map<number, number>();
  readonly #requestSeries = new Array<number>(INTERVALS).fill(0);
  readonly #failureSeries = new Array<number>(INTERVALS).fill(0);

  add(counts: Counts & { readonly series: Series }, boundsMs: readonly number[]): void {
    this.requests += counts.requests;
    this.successes += counts.successes;
    this.failures += counts.failures;
    this.retries += counts.retries;
    counts.latency.forEach((count, i) => {
      if (count === 0) return;
      const bound = boundsMs[i] ?? Number.POSITIVE_INFINITY;
      this.#latency.set(bound, (this.#latency.get(bound) ?? 0) + count);
    });
    addEach(this.#requestSeries, counts.series.requests);
    addEach(this.#failureSeries, counts.series.failures);
  }

  /** Adds all of another one. */
  absorb(other: Tally): void {
    this.requests += other.requests;
    this.successes += other.successes;
    this.failures += other.failures;
    this.retries += other.retries;
    for (const [bound, count] of other.#latency) this.#latency.set(bound, (this.#latency.get(bound) ?? 0) + count);
    addEach(this.#requestSeries, other.#requestSeries);
    addEach(this.#failureSeries, other.#failureSeries);
  }

  /** 0..1; null where nothing was answered. */
  get successRate(): number | null {
    const answered = this.successes + this.failures;
    return answered === 0 ? null : this.successes / answered;
  }

  /** A second, of what was counted in `windowMs`. */
  rps(windowMs: number): number {
    return perSecond(this.requests, windowMs);
  }

  /** ms; `boundsMs` are all that any node has. */
  percentile(q: number, boundsMs: readonly number[]): number | null {
    const counts = [...boundsMs, Number.POSITIVE_INFINITY].map((bound) => this.#latency.get(bound) ?? 0);
    return percentile(boundsMs, counts, q);
  }

  /**
   * For a line over time. The rate of success is of requests begun and failures told in the same interval: one that began in the
   * interval before may count against this one, so it is never below 0.
   */
  get series(): { rps: number[]; successRate: (number | null)[] } {
    return {
      rps: this.#requestSeries.map((count) => perSecond(count, INTERVAL_MS)),
      successRate: this.#requestSeries.map((count, i) => {
        const failures = this.#failureSeries[i] ?? 0;
        const answered = Math.max(count, failures);
        return answered === 0 ? null : 1 - failures / answered;
      }),
    };
  }
}

export function perSecond(count: number, windowMs: number): number {
  return windowMs === 0 ? 0 : (count * 1_000) / windowMs;
}

/** From the newest on, so that a shorter series is a younger one. */
function addEach(sums: number[], counts: readonly number[]): void {
  const offset = sums.length - counts.length;
  counts.forEach((count, i) => {
    const at = i + offset;
    if (at >= 0) sums[at] = (sums[at] ?? 0) + count;
  });
}
