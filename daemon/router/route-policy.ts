import { type BalancerConfig, DEFAULT_BALANCER } from '../balancer/balancer.ts';
import { type FailureAccrualOptions, POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { RetryBackoff } from '../balancer/retry-backoff.ts';
import { RETRY_BUDGET, type RetryBudgetOptions } from '../balancer/retry-budget.ts';
import type { ConnectionLimits } from '../client/connector.ts';
import type { AdaptiveLimitOptions } from '../policy/adaptive-limit.ts';
import { ResponseClassifier } from './response-classifier.ts';

/** What a router's `service` and `client` keys say of one destination. Times in ms, undefined: without limit. */
export interface RoutePolicy {
  /** From the request's head to the answer's, further attempts included (linkerd's `totalTimeoutMs`). */
  readonly totalTimeoutMs: number | undefined;
  /** From the beginning of one attempt to its answer's head (linkerd's `requestAttemptTimeoutMs`). */
  readonly attemptTimeoutMs: number | undefined;
  readonly retryBudget: RetryBudgetOptions;
  /** Of attempts that follow one that no application saw. */
  readonly requeueBudget: RetryBudgetOptions;
  /** Undefined: at once on another pod, and with a jittered exponential wait once all have been tried. */
  readonly retryBackoff: RetryBackoff | undefined;
  readonly classifier: ResponseClassifier;
  /** Undefined: as many connections as there are requests at a time, each kept for as long as the pool keeps them. */
  readonly connections: ConnectionLimits | undefined;
  readonly failureAccrual: FailureAccrualOptions;
  /** What cannot be connected to is out at once. */
  readonly failFast: boolean;
  readonly balancer: BalancerConfig;
  /** Limits what an outgoing router has wait for answers of one destination at a time; undefined: nothing does. */
  readonly adaptiveConcurrency: AdaptiveLimitOptions | undefined;
}

/**
 * linkerd's fifth would fail requests while half of a Service's pods are gone and not yet known to be: each then takes one more
 * attempt on average. With all of them gone, connections are twice the requests and ten a second, not MAX_ATTEMPTS times.
 */
export const REQUEUE_BUDGET: RetryBudgetOptions = { ttlSecs: 10, minRetriesPerSec: 10, percentCanRetry: 1 };

/** Where the config says nothing. */
export const DEFAULT_POLICY: RoutePolicy = {
  totalTimeoutMs: undefined,
  attemptTimeoutMs: undefined,
  retryBudget: RETRY_BUDGET,
  requeueBudget: REQUEUE_BUDGET,
  retryBackoff: undefined,
  classifier: new ResponseClassifier('io.l5d.http.nonRetryable5XX'),
  connections: undefined,
  failureAccrual: POD_ACCRUAL,
  failFast: false,
  balancer: DEFAULT_BALANCER,
  adaptiveConcurrency: undefined,
};
