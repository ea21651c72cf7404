import { ProxyError } from '../http/proxy-error.ts';

/** So many requests begin at once in a slice, and afterwards in one turn of the event loop: some half a millisecond's work. */
export const AT_ONCE = 8;
export const SLICE_MS = 1;
/** So long after two callers have asked for something there may be two again. */
export const SHARED_MS = 10_000;
/** Whoever waits longer waits for others of the same caller: it asks for more than the daemon can do. */
export const MAX_WAIT_MS = 1_000;

/** A request that waits for its caller's turn. */
export interface WaitingRequest {
  /** When it arrived, ms; undefined once it has gone away. */
  readonly waitingSince: number | undefined;
  /** Called once, unless it has gone away. `refusal`: it has waited in vain. */
  begin(refusal: ProxyError | undefined): void;
}

/**
 * Shares the event loop out among callers. The loop serves sockets in the order in which they become readable, so one caller
 * with hundreds of requests would have everyone wait until all of them have been worked off. While few requests come, each
 * begins at once, and nobody is looked at; when many do, they queue by caller, and in every turn of the loop each caller in
 * its turn begins one, until the turn has enough. Nothing waits while the loop has nothing else to do, or has one caller's requests
 * alone: turns cost a few per cent of a request. Times are ms of one monotonic clock.
 */
export class CallerTurns {
  readonly #now: () => number;
  readonly #schedule: (turn: () => void) => void;
  /** In the order in which their turns come. */
  readonly #queues = new Map<string, WaitingRequest[]>();
  #sliceAt = Number.NEGATIVE_INFINITY;
  #begun = 0;
  #lastCaller = '';
  #sharedUntil = Number.NEGATIVE_INFINITY;

  /** `schedule` calls back when the loop has looked for what else there is to do (setImmediate). */
  constructor(now: () => number, schedule: (turn: () => void) => void) {
    this.#now = now;
    this.#schedule = schedule;
  }

  /** Whether a request of `caller` that arrives now begins at once; else `wait` is to follow. */
  atOnce(caller: string, now: number): boolean {
    if (caller !== this.#lastCaller) {
      if (this.#lastCaller !== '') this.#sharedUntil = now + SHARED_MS;
      this.#lastCaller = caller;
    }
    if (this.#queues.size > 0) return false;
    if (now >= this.#sharedUntil) return true;
    if (now - this.#sliceAt >= SLICE_MS) {
      this.#sliceAt = now;
      this.#begun = 0;
    }
    this.#begun += 1;
    return this.#begun <= AT_ONCE;
  }

  /** Has the request of `caller` (its address) begin when its turn comes. */
  wait(caller: string, request: WaitingRequest): void {
    if (this.#queues.size === 0) this.#schedule(this.#turn);
    const queue = this.#queues.get(caller);
    if (queue === undefined) this.#queues.set(caller, [request]);
    else queue.push(request);
  }

  readonly #turn = (): void => {
    const now = this.#now();
    let left = AT_ONCE;
    while (left > 0) {
      const [first] = this.#queues;
      if (first === undefined) return;
      const [caller, queue] = first;
      const request = queue.shift();
      this.#queues.delete(caller);
      if (queue.length > 0) this.#queues.set(caller, queue); // behind all others
      if (request?.waitingSince === undefined) continue;
      left -= 1;
      request.begin(now - request.waitingSince > MAX_WAIT_MS ? tooMany(caller) : undefined);
    }
    if (this.#queues.size > 0) this.#schedule(this.#turn);
  };
}

function tooMany(caller: string): ProxyError {
  return new ProxyError(
    'overloaded',
    `${caller} asks for more than its share of the daemon's time: this request waited ${MAX_WAIT_MS} ms for others of its own`,
  );
}
