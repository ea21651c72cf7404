/** The value below which `share` (0 to 1) of an ascending list lies; NaN of an empty one. */
export function quantile(ascending: ArrayLike<number>, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}

/** The middle one of some numbers, in any order; of two middle ones their mean. NaN of none. */
export function median(numbers: readonly number[]): number {
  const ascending = Float64Array.from(numbers).sort();
  const middle = ascending.length >> 1;
  const upper = ascending[middle] ?? Number.NaN;
  return ascending.length % 2 === 1 ? upper : (upper + (ascending[middle - 1] ?? Number.NaN)) / 2;
}
