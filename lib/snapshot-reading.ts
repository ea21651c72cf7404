import type { HistogramSnapshot } from './metrics-snapshot.ts';

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

/**
 * The value below which so much of what was observed lies, interpolated within its bucket as PromQL's histogram_quantile does;
 * the last bound for whatever is above it; undefined where nothing was observed. `quantile`: 0 to 1.
 */
export function quantileOf({ bounds, counts, count }: HistogramSnapshot, quantile: number): number | undefined {
  if (count === 0) return undefined;
  const rank = quantile * count;
  let below = 0;
  for (let i = 0; i < bounds.length; i += 1) {
    const inBucket = counts[i] ?? 0;
    const from = bounds[i - 1] ?? 0;
    const to = bounds[i] as number;
    if (inBucket > 0 && below + inBucket >= rank) return from + ((to - from) * Math.max(0, rank - below)) / inBucket;
    below += inBucket;
  }
  return bounds.at(-1);
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
