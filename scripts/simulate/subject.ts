import type { SimulatedHost, SimulatedPod } from './cluster.ts';
import type { Random } from './random.ts';

/** How an attempt ended: a status; the pod's process is not there, as its own daemon says; or nobody answers on its node. */
export type Outcome = number | 'refused' | 'unreachable';

/** What is done after an attempt, or instead of one: the next attempt now, or after a while (ms), or nothing more. */
export type Next = 'again' | 'over' | number;

/** One request on its way. Times are ms of the virtual clock. */
export interface Call {
  /** Where the next attempt goes; a number: nowhere before so many ms; undefined: nowhere at all. */
  attempt(now: number): SimulatedPod | number | undefined;
  ended(outcome: Outcome, latencyMs: number, now: number): Next;
}

/** What one node's proxy knows of the Service. */
export interface Caller {
  /** The ready pods are these now. */
  discovered(pods: readonly SimulatedPod[], now: number): void;
  call(now: number): Call;
}

export interface SubjectOptions {
  /** Whether a 5xx to a GET is tried again (linkerd's retryableRead5XX). */
  readonly retries: boolean;
  readonly random: Random;
  readonly now: () => number;
}

/** A way to choose pods and to deal with failures. */
export interface Subject {
  readonly name: string;
  readonly ours: boolean;
  /** One for each run; gives the proxy of each node. */
  start(options: SubjectOptions): (host: SimulatedHost) => Caller;
}

export function isFailure(outcome: Outcome): boolean {
  return typeof outcome !== 'number' || outcome >= 500;
}
