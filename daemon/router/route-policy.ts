import { type BalancerConfig, DEFAULT_BALANCER } from '../balancer/balancer.ts';
import { type FailureAccrualOptions, POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { RetryBackoff } from '../balancer/retry-backoff.ts';
import { RETRY_BUDGET, type RetryBudgetOptions } from '../balancer/retry-budget.ts';
import type { AdaptiveLimitOptions } from '../policy/adaptive-limit.ts';
import { ResponseClassifier } from './response-classifier.ts';

/** What a router's `service` and `client` keys say of one destination. Times in ms, undefined: without limit. */
export interface RoutePolicy {
  /** From the request's head to the answer's, further attempts included (linkerd's `totalTimeoutMs`). */
  readonly totalTimeoutMs: number | undefined;
  /** From the beginning of one attempt to its answer's head (linkerd's `requestAttemptTimeoutMs`). */
  readonly attemptTimeoutMs: number | undefined;
  readonly retryBudget: RetryBudgetOptions;
  /** Undefined: at once on another pod, and with a jittered exponential wait once all have been tried. */
  readonly retryBackoff: RetryBackoff | undefined;
  readonly classifier: ResponseClassifier;
  readonly failureAccrual: FailureAccrualOptions;
  readonly balancer: BalancerConfig;
  /** Limits what an outgoing router has wait for answers of one destination at a time; undefined: nothing does. */
  readonly adaptiveConcurrency: AdaptiveLimitOptions | undefined;
}

/** Where the config says nothing. */
export const DEFAULT_POLICY: RoutePolicy = {
  totalTimeoutMs: undefined,
  attemptTimeoutMs: undefined,
  retryBudget: RETRY_BUDGET,
  retryBackoff: undefined,
  classifier: new ResponseClassifier('io.l5d.http.nonRetryable5XX'),
  failureAccrual: POD_ACCRUAL,
  balancer: DEFAULT_BALANCER,
  adaptiveConcurrency: undefined,
};
