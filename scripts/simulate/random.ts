/** Gives numbers in [0, 1). */
export type Random = () => number;

/** Numbers in [0, 1) from a seed (mulberry32): the same seed, the same numbers. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A time between two events that come at random, `mean` on average. */
export function exponential(mean: number, random: Random): number {
  return -mean * Math.log(1 - random());
}
