import type { ProxyError } from '../http/proxy-error.ts';
import type { Hop, Route } from './hop.ts';
import { type AttemptFailure, decideRetry, MAX_ATTEMPTS, type RetryDecision } from './retry.ts';

const NONE_TRIED: ReadonlySet<Hop> = new Set();

/** What follows a failed attempt. */
export interface NextAttempt {
  readonly decision: Exclude<RetryDecision, 'no'>;
  readonly cause: AttemptFailure;
  readonly untouched: boolean;
  /** What the failed attempt's application answered; 0 where it did not. */
  readonly status: number;
  /** What to answer where no further attempt can be made. */
  readonly error: ProxyError | undefined;
}

/** How an attempt failed, as `FailedAttempt` has it. */
export interface Failure {
  readonly cause: AttemptFailure;
  readonly untouched: boolean;
  readonly staleConnection?: boolean;
  readonly unread?: boolean;
  readonly status?: number;
  readonly error?: ProxyError | undefined;
}

/** The attempts of one call so far, and whether there may be another. */
export class Attempts {
  readonly #method: string;
  readonly #route: Route;
  readonly #elsewhere: boolean;
  #tried: Set<Hop> | undefined;
  count = 0;
  /** How many of them may have reached an application. */
  touching = 0;
  #last: Hop | undefined;
  /** The one that has refused it for having too much to do: nobody else may. */
  #busy: Hop | undefined;

  /** `elsewhere`: whether other pods may be tried at all. */
  constructor(method: string, route: Route, elsewhere: boolean) {
    this.#method = method;
    this.#route = route;
    this.#elsewhere = elsewhere;
  }

  /** The hop for the next one; undefined once all have been tried, after which it begins anew. Throws ProxyError as the route. */
  pick(): Hop | undefined {
    const hop = this.#route.pick(this.#tried ?? NONE_TRIED);
    if (hop === undefined) this.#tried = undefined;
    // Rather one that is busy than one that fails.
    this.#last = this.#busy !== undefined && (hop === undefined || hop.out) ? this.#busy : hop;
    return this.#last;
  }

  /** Whether the attempt that is counted last must get through to its pod: none may follow it, or another was too busy. */
  get insisting(): boolean {
    return this.count >= MAX_ATTEMPTS || this.#busy !== undefined;
  }

  /** Leaves a hop out of the next picks. */
  exclude(hop: Hop): void {
    this.#tried ??= new Set();
    this.#tried.add(hop);
  }

  /** The last one failed: what follows, undefined where nothing does. Takes it out of the budget of its kind. */
  after(failure: Failure, replayable: boolean): NextAttempt | undefined {
    const { cause, untouched, staleConnection = false, unread = false, status = 0, error } = failure;
    if (!untouched && !staleConnection) this.touching += 1;
    if (cause === 'endpoint_busy') this.#busy = this.#last;
    const decision = decideRetry(
      {
        method: this.#method,
        cause,
        untouched,
        staleConnection,
        unread,
        attempts: this.count,
        touching: this.touching,
        replayable,
      },
      this.#route.policy.classifier,
    );
    if (decision === 'no' || !this.#affords(decision, cause, untouched)) return undefined;
    return { decision, cause, untouched, status, error };
  }

  #affords(decision: 'again' | 'elsewhere', cause: AttemptFailure, untouched: boolean): boolean {
    if (decision === 'again') return this.#route.withdrawRequeue();
    if (!this.#elsewhere) return false;
    // What no application saw adds nothing to its load; an overloaded daemon's load is another matter.
    return untouched && cause !== 'overloaded' ? this.#route.withdrawRequeue() : this.#route.withdrawRetry();
  }
}
