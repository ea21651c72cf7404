import type { ProxyErrorCode } from '../http/proxy-error.ts';
import { isIdempotent, type ResponseClassifier } from './response-classifier.ts';

/** Attempts of one request, the first included. More than this finds no healthy pod that fewer would not have found. */
export const MAX_ATTEMPTS = 5;
/** Attempts of one request that may each have reached an application. */
export const MAX_TOUCHING_ATTEMPTS = 3;

/** `elsewhere` on another pod, `again` on a fresh connection to the same. */
export type RetryDecision = 'no' | 'again' | 'elsewhere';

/** Why an attempt failed: an error of the mesh's, or the application answered, and its answer is a failure. */
export type AttemptFailure = ProxyErrorCode | 'failure_answered';

/** How an attempt failed, as far as it matters for another. */
export interface FailedAttempt {
  readonly method: string;
  readonly cause: AttemptFailure;
  /** No byte can have reached an application: nothing was sent, or the other daemon says so. */
  readonly untouched: boolean;
  /**
   * A connection that had been idle was lost before any byte of an answer: the server has closed it meanwhile, or has died of
   * the request (RFC 9112 §9.3.1).
   */
  readonly staleConnection: boolean;
  readonly attempts: number;
  /** How many of them may have reached an application, this one included. */
  readonly touching: number;
  /** The whole body so far is at hand to be sent again. */
  readonly replayable: boolean;
}

/** Whether another attempt may be made, and where. What an application answered is tried again only as the classifier says. */
export function decideRetry(failed: FailedAttempt, classifier: ResponseClassifier): RetryDecision {
  if (failed.attempts >= MAX_ATTEMPTS || !failed.replayable) return 'no';
  if (failed.staleConnection && isIdempotent(failed.method)) return 'again';
  if (failed.untouched) return 'elsewhere';
  if (failed.touching >= MAX_TOUCHING_ATTEMPTS) return 'no';
  return mayTouchAgain(failed, classifier) ? 'elsewhere' : 'no';
}

function mayTouchAgain({ method, cause }: FailedAttempt, classifier: ResponseClassifier): boolean {
  switch (cause) {
    case 'failure_answered':
      return classifier.mayRetry(method);
    case 'upstream_reset':
    case 'attempt_timeout':
      return isIdempotent(method) || classifier.mayRetry(method);
    default:
      return false;
  }
}
