import type { ProxyErrorCode } from '../http/proxy-error.ts';

/** Attempts of one request, the first included. More than this finds no healthy pod that fewer would not have found. */
export const MAX_ATTEMPTS = 5;
/** Attempts of one request that may each have reached an application. */
export const MAX_TOUCHING_ATTEMPTS = 3;
/** Bodies up to this size are kept for a further attempt (linkerd2's limit). */
export const REPLAY_BYTES = 64 * 1024;
const BACKOFF_STEP_MS = 25;

/** Idempotent methods (RFC 9110 §9.2.2): what was sent twice does what was sent once. */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** `elsewhere` on another pod, `again` on a fresh connection to the same. */
export type RetryDecision = 'no' | 'again' | 'elsewhere';

/** How an attempt failed, as far as it matters for another. */
export interface FailedAttempt {
  readonly method: string;
  readonly code: ProxyErrorCode;
  /** No byte can have reached an application: nothing was sent, or the other daemon says so. */
  readonly untouched: boolean;
  /** A connection that had been idle was lost before any byte of an answer: the server closed it meanwhile (RFC 9112 §9.3.1). */
  readonly staleConnection: boolean;
  readonly attempts: number;
  /** How many of them may have reached an application, this one included. */
  readonly touching: number;
  /** The whole body so far is at hand to be sent again. */
  readonly replayable: boolean;
}

/**
 * Whether another attempt may be made, and where.
 * Only failures of the connection are tried again; what an application answered, it answered.
 */
export function decideRetry(failed: FailedAttempt): RetryDecision {
  if (failed.attempts >= MAX_ATTEMPTS || !failed.replayable) return 'no';
  if (failed.staleConnection) return 'again';
  if (failed.untouched) return 'elsewhere';
  if (failed.touching >= MAX_TOUCHING_ATTEMPTS) return 'no';
  return failed.code === 'upstream_reset' && IDEMPOTENT.has(failed.method) ? 'elsewhere' : 'no';
}

/** Wait before attempt number `attempts` (from 2) once every pod has been tried, ms. `random` gives numbers in [0, 1). */
export function retryDelayMs(attempts: number, random: () => number): number {
  return BACKOFF_STEP_MS * 2 ** (attempts - 2) * (0.5 + random());
}
