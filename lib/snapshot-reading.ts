import type { HistogramSnapshot } from './metrics-snapshot.ts';
import { percentile } from './stats/percentile.ts';

/** The labels of a series in a snapshot by its label text, e.g. `router="outgoing",dst_service="world"`. */
export function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = Object.create(null);
  for (const [, name, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name as string] = (value as string).replace(/\\(.)/g, (_, one) => (one === 'n' ? '\n' : one));
  }
  return labels;
}

/** Two histograms of the same bounds as one. */
export function sumHistograms(a: HistogramSnapshot, b: HistogramSnapshot): HistogramSnapshot {
  return combine(a, b, (one, other) => one + other);
}

/** What `later` has observed since `earlier`; all of it where it has begun anew since. */
export function subtractHistogram(later: HistogramSnapshot, earlier: HistogramSnapshot): HistogramSnapshot {
  if (later.count < earlier.count) return later;
  return combine(later, earlier, (one, other) => Math.max(0, one - other));
}

/** `percentile` of what a histogram has observed; undefined where that is nothing. */
export function quantileOf(histogram: HistogramSnapshot, quantile: number): number | undefined {
  return percentile(histogram.bounds, bucketsOf(histogram), quantile) ?? undefined;
}

/** Observations by bound, and one number more for those above the last. */
export function bucketsOf({ counts, count }: HistogramSnapshot): number[] {
  let above = count;
  for (const one of counts) above -= one;
  return [...counts, above];
}

function combine(
  a: HistogramSnapshot,
  b: HistogramSnapshot,
  by: (one: number, other: number) => number,
): HistogramSnapshot {
  return {
    bounds: a.bounds,
    counts: a.counts.map((count, i) => by(count, b.counts[i] ?? 0)),
    sum: by(a.sum, b.sum),
    count: by(a.count, b.count),
  };
}
