/** linkerd's `retries.backoff`: the wait before each retry of what an application may have seen. Times in ms. */
export type RetryBackoff =
  | { readonly kind: 'constant'; readonly ms: number }
  | { readonly kind: 'jittered'; readonly minMs: number; readonly maxMs: number };

const BACKOFF_STEP_MS = 25;

/**
 * Wait before retry number `retry` (from 1), ms. `jittered` is spread from `minMs` to three times as much with each retry, up
 * to `maxMs` (decorrelated jitter, as finagle's). `random` gives numbers in [0, 1).
 */
export function backoffMs(backoff: RetryBackoff, retry: number, random: () => number): number {
  if (backoff.kind === 'constant') return backoff.ms;
  const { minMs, maxMs } = backoff;
  return minMs + random() * (Math.min(maxMs, Math.max(1, minMs) * 3 ** retry) - minMs);
}

/** Wait before attempt number `attempts` (from 2) once every pod has been tried, ms. `random` gives numbers in [0, 1). */
export function retryDelayMs(attempts: number, random: () => number): number {
  return BACKOFF_STEP_MS * 2 ** (attempts - 2) * (0.5 + random());
}
