export interface BackoffLimits {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * Delay before try number `attempt` (0 = the first retry), in ms: exponential from `minMs`, capped at `maxMs`, with
 * equal jitter (half fixed, half random), so that many clients of one server that went away do not return as one.
 * `random` gives numbers in [0, 1).
 */
export function jitteredBackoffMs(attempt: number, limits: BackoffLimits, random: () => number): number {
  const ceiling = Math.min(limits.maxMs, limits.minMs * 2 ** Math.min(attempt, 30));
  return ceiling / 2 + (random() * ceiling) / 2;
}
