import { FailureAccrual, type FailureAccrualOptions } from '../balancer/failure-accrual.ts';
import { QueueLimit } from '../balancer/queue-limit.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';

const MAX_PODS = 4_096;

/** What a daemon knows of a pod of its node. */
export interface LocalPod {
  readonly accrual: FailureAccrual;
  readonly queue: QueueLimit;
  /** The balanced ways to it, which are told when it is out, for so many ms. */
  readonly ways: Set<{ leaveOut(ms: number, now: number): void }>;
}

/**
 * What is known of each pod of this node, once for all routers, so that it is learnt from everyone's requests: those of other nodes
 * and those of this one. Routers whose configs differ in failure accrual keep their own.
 */
export class LocalPods {
  readonly #random: () => number;
  /** The one that was asked for longest ago first. */
  readonly #byPod = new Map<string, LocalPod>();

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** A pod as one of a Service: what fails there may serve another Service well. */
  find(endpoint: Endpoint, of: { namespace: string; service: string }, options: FailureAccrualOptions): LocalPod {
    const pod = `${endpointKey(endpoint)} ${endpoint.pod ?? ''}`;
    const key = `${pod} ${of.namespace}/${of.service} ${JSON.stringify(options)}`;
    const known = this.#byPod.get(key) ?? {
      accrual: new FailureAccrual(options, this.#random),
      queue: new QueueLimit(),
      ways: new Set(),
    };
    this.#byPod.delete(key);
    this.#byPod.set(key, known);
    if (this.#byPod.size > MAX_PODS) {
      const [oldest] = this.#byPod.keys();
      this.#byPod.delete(oldest as string);
    }
    return known;
  }
}
