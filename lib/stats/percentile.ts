/**
 * The value below which a share `q` (0..1) of what a histogram has counted lies, as Prometheus' histogram_quantile has it: linear
 * within a bucket, whose lower end is the bound before it (0 for the first); the last bound where the value is above it.
 * `bounds` are upper bounds, rising; `counts` one number a bound, not cumulative, and one more for those above the last.
 * Null where nothing was counted.
 */
export function percentile(bounds: readonly number[], counts: readonly number[], q: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0 || bounds.length === 0) return null;
  const rank = q * total;
  let below = 0;
  for (let i = 0; i < bounds.length; i += 1) {
    const count = counts[i] ?? 0;
    if (count > 0 && below + count >= rank) {
      const lower = i === 0 ? 0 : (bounds[i - 1] as number);
      return lower + ((bounds[i] as number) - lower) * Math.max(0, (rank - below) / count);
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}
