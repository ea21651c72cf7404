import { FailureAccrual, type FailureAccrualOptions } from '../balancer/failure-accrual.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';

const MAX_PODS = 4_096;

/**
 * The failure accrual of each pod of this node, one for all routers, so that it learns from everyone's requests: those of other nodes
 * and those of this one. Routers whose configs differ in it keep their own.
 */
export class PodAccruals {
  readonly #random: () => number;
  /** The one that was asked for longest ago first. */
  readonly #byPod = new Map<string, FailureAccrual>();

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Of a pod as one of a Service: what fails there may serve another Service well. */
  find(
    endpoint: Endpoint,
    service: { namespace: string; service: string },
    options: FailureAccrualOptions,
  ): FailureAccrual {
    const pod = `${endpointKey(endpoint)} ${endpoint.pod ?? ''}`;
    const key = `${pod} ${service.namespace}/${service.service} ${JSON.stringify(options)}`;
    const accrual = this.#byPod.get(key) ?? new FailureAccrual(options, this.#random);
    this.#byPod.delete(key);
    this.#byPod.set(key, accrual);
    if (this.#byPod.size > MAX_PODS) {
      const [oldest] = this.#byPod.keys();
      this.#byPod.delete(oldest as string);
    }
    return accrual;
  }
}
