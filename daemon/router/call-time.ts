import { ProxyError } from '../http/proxy-error.ts';
import { type AskedDeadline, deadlineLines } from './deadline.ts';
import type { RoutePolicy } from './route-policy.ts';

/** Beyond this Node's timers fire at once; a call that takes 24 days may end then. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Hears of an attempt, or a whole call, that has not been answered in time. */
export interface TimeoutWatcher {
  onTimeout(error: ProxyError): void;
}

/**
 * How long one call may take: all of it (`totalTimeoutMs`, or the caller's own deadline if that is sooner) and each attempt.
 * It has one timer, for whichever ends first, and none where there is no limit: a timer a request is not free.
 * Times are ms of the router's clock.
 */
export class CallTime {
  readonly #attemptTimeoutMs: number | undefined;
  readonly #totalMs: number;
  readonly #until: number;
  readonly #byCaller: boolean;
  readonly #byGrpc: boolean;
  readonly #byL5d: boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(policy: RoutePolicy, startedAt: number, asked: AskedDeadline | undefined) {
    const { totalTimeoutMs = Number.POSITIVE_INFINITY, attemptTimeoutMs } = policy;
    this.#attemptTimeoutMs = attemptTimeoutMs;
    this.#byCaller = asked !== undefined && asked.leftMs <= totalTimeoutMs;
    this.#byGrpc = asked?.byGrpc === true;
    this.#byL5d = asked?.byL5d === true;
    this.#totalMs = this.#byCaller ? (asked as AskedDeadline).leftMs : totalTimeoutMs;
    this.#until = startedAt + this.#totalMs;
  }

  /** Whether all of the time is over. */
  over(now: number): boolean {
    return now >= this.#until;
  }

  /** What an attempt that begins now says of the time that is left. `peer`: to a daemon. */
  fieldLines(peer: boolean, now: number): string {
    if (this.#until === Number.POSITIVE_INFINITY) return '';
    return deadlineLines(this.#until - now, { byGrpc: this.#byGrpc, byL5d: this.#byL5d, peer });
  }

  /** An attempt begins. */
  startAttempt(watcher: TimeoutWatcher, now: number): void {
    const attemptMs = this.#attemptTimeoutMs;
    if (attemptMs === undefined && this.#until === Number.POSITIVE_INFINITY) return;
    const leftMs = this.#until - now;
    if (attemptMs === undefined || leftMs <= attemptMs) this.#set(leftMs, tellWhole, watcher);
    else this.#set(attemptMs, tellAttempt, watcher);
  }

  /** Calls `then` after a while; or `watcher`, where all of the time is over before. */
  wait(delayMs: number, now: number, then: () => void, watcher: TimeoutWatcher): void {
    const leftMs = this.#until - now;
    if (leftMs <= delayMs) this.#set(leftMs, tellWhole, watcher);
    else this.#set(delayMs, then, watcher);
  }

  /** The answer has begun, or nothing is waited for. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** What to answer when all of the time is over. */
  get wholeError(): ProxyError {
    const within = `no answer began within ${Math.round(this.#totalMs)} ms`;
    if (this.#byCaller) return new ProxyError('deadline_exceeded', `${within}, which the request itself gave`);
    return new ProxyError('total_timeout', within);
  }

  get attemptError(): ProxyError {
    return new ProxyError('attempt_timeout', `no answer began within ${this.#attemptTimeoutMs} ms`);
  }

  #set(ms: number, callback: (time: CallTime, watcher: TimeoutWatcher) => void, watcher: TimeoutWatcher): void {
    this.stop();
    this.#timer = setTimeout(callback, Math.min(Math.max(0, ms), MAX_TIMER_MS), this, watcher);
  }
}

function tellWhole(time: CallTime, watcher: TimeoutWatcher): void {
  watcher.onTimeout(time.wholeError);
}

function tellAttempt(time: CallTime, watcher: TimeoutWatcher): void {
  watcher.onTimeout(time.attemptError);
}
