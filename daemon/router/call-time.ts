import { ProxyError } from '../http/proxy-error.ts';
import { type AskedDeadline, deadlineExceeded, deadlineLines } from './deadline.ts';
import type { RoutePolicy } from './route-policy.ts';

/** Beyond this Node's timers fire at once; a call that takes 24 days may end then. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
const NEVER = Number.POSITIVE_INFINITY;

/** No connection takes longer to stand, so that before its last moments a binding time-out needs no timer: connecting, then TLS. */
const LONGEST_CONNECT_MS = 6_000;

/** What an attempt waits for before it can be sent. */
export type Acquiring = 'nothing' | 'connecting' | 'place';

/** Hears of an attempt, or a whole call, that has not been answered in time. */
export interface TimeoutWatcher {
  onTimeout(error: ProxyError): void;
  /** What the attempt is to be sent on has not been had in time, unless it has been since. */
  onBindingTimeout(): void;
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
    const { totalTimeoutMs = NEVER, attemptTimeoutMs } = policy;
    this.#attemptTimeoutMs = attemptTimeoutMs;
    this.#byCaller = asked !== undefined && asked.leftMs <= totalTimeoutMs;
    this.#byGrpc = asked?.byGrpc === true;
    this.#byL5d = asked?.byL5d === true;
    this.#totalMs = this.#byCaller ? (asked as AskedDeadline).leftMs : totalTimeoutMs;
    this.#until = startedAt + this.#totalMs;
  }

  /** Whether its attempts have to be watched though nothing is acquired for them. */
  get limited(): boolean {
    return this.#attemptTimeoutMs !== undefined || this.#until !== NEVER;
  }

  /** Whether all of the time is over. */
  over(now: number): boolean {
    return now >= this.#until;
  }

  /** What an attempt that begins now says of the time that is left. `peer`: to a daemon. */
  fieldLines(peer: boolean, now: number): string {
    if (this.#until === NEVER) return '';
    return deadlineLines(this.#until - now, { byGrpc: this.#byGrpc, byL5d: this.#byL5d, peer });
  }

  /**
   * Watches over an attempt that began at `startedAt`. `bindingUntil`: until when it may be `acquiring` what it is sent on; after
   * that it may be sent on all the same by now, so that whoever hears of it has to look.
   */
  watchAttempt(
    watcher: TimeoutWatcher,
    {
      now,
      startedAt,
      bindingUntil,
      acquiring,
    }: { now: number; startedAt: number; bindingUntil: number; acquiring: Acquiring },
  ): void {
    const attemptMs = this.#attemptTimeoutMs;
    const leftMs = this.#until - now;
    const attemptLeftMs = attemptMs === undefined ? NEVER : startedAt + attemptMs - now;
    let bindingLeftMs = acquiring === 'nothing' ? NEVER : bindingUntil - now;
    if (acquiring === 'connecting' && bindingLeftMs >= LONGEST_CONNECT_MS) bindingLeftMs = NEVER;
    if (bindingLeftMs < leftMs && bindingLeftMs < attemptLeftMs) this.#set(bindingLeftMs, tellBinding, watcher);
    else if (leftMs <= attemptLeftMs && leftMs !== NEVER) this.#set(leftMs, tellWhole, watcher);
    else if (attemptLeftMs !== NEVER) this.#set(attemptLeftMs, tellAttempt, watcher);
    else this.stop();
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
    if (this.#byCaller) return deadlineExceeded(this.#totalMs);
    return new ProxyError('total_timeout', `no answer began within ${this.#totalMs} ms`);
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

function tellBinding(_time: CallTime, watcher: TimeoutWatcher): void {
  watcher.onBindingTimeout();
}

function tellAttempt(time: CallTime, watcher: TimeoutWatcher): void {
  watcher.onTimeout(time.attemptError);
}
