import { ProxyError } from '../http/proxy-error.ts';
import type { Endpoint } from '../naming/endpoint.ts';
import type { Hop, Route } from './hop.ts';
import type { LocalPodHop } from './pod-hop.ts';
import type { RoutePolicy } from './route-policy.ts';

interface PickedPodChecks {
  readonly isHere: () => boolean;
  /** Whether its Service has other pods. */
  readonly hasOthers: () => boolean;
  /** The pod and its Service, for who reads the error. */
  readonly name: string;
  /** What to say where it is not here. */
  readonly refusal: string;
}

/** The pod that a peer picked, as long as it is one of this node's. */
export class PickedPod implements Route {
  readonly ip: string;
  /** Its name, where it is known: an address passes from pod to pod. */
  readonly pod: string | undefined;
  readonly policy: RoutePolicy;
  readonly #hop: LocalPodHop;
  readonly #checks: PickedPodChecks;

  constructor(endpoint: Endpoint, hop: LocalPodHop, policy: RoutePolicy, checks: PickedPodChecks) {
    this.ip = endpoint.ip;
    this.pod = endpoint.pod;
    this.policy = policy;
    this.#hop = hop;
    this.#checks = checks;
  }

  /** Whether it is out for its failures, of which this daemon has seen all senders'. */
  get out(): boolean {
    return this.#hop.out;
  }

  /**
   * Of one that is out: throws ProxyError endpoint_out, unless the request is the one that is to find out whether it has recovered, or
   * its sender has no other pod to go to. So a pod that fails costs each sender one round trip, and nobody a failure.
   */
  refuse(now: number): void {
    const { isHere, hasOthers, name } = this.#checks;
    if (!isHere() || !hasOthers() || this.#hop.takeProbe(now)) return;
    throw new ProxyError('endpoint_out', `${name} fails, and others are asked instead`, this.#hop.outForMs(now));
  }

  requested(): void {}

  withdrawRetry(): boolean {
    return false;
  }

  pick(): Hop {
    if (!this.#checks.isHere()) throw new ProxyError('endpoint_gone', this.#checks.refusal);
    return this.#hop;
  }
}
