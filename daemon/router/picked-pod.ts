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

  /** Whether it is out for its failures, or has as much to do as it bears: of both this daemon knows all senders'. */
  get reluctant(): boolean {
    return this.#hop.outForAll || this.#hop.full;
  }

  /**
   * Of one that is reluctant: throws ProxyError endpoint_out, unless the request is the one that is to find out whether it has
   * recovered, or endpoint_busy. So a pod that fails or is slow costs each sender a round trip, and nobody a failure.
   */
  refuse(now: number): void {
    const { isHere, hasOthers, name } = this.#checks;
    const hop = this.#hop;
    if (!isHere() || !hasOthers()) return;
    if (!hop.outForAll)
      throw new ProxyError(
        'endpoint_busy',
        `${name} answers more slowly than usual, and has as much to do as it bears`,
      );
    if (!hop.takeProbeForAll(now))
      throw new ProxyError('endpoint_out', `${name} fails, and others are asked instead`, hop.outForMs(now));
  }

  requested(): void {}

  withdrawRetry(): boolean {
    return false;
  }

  /** On a fresh connection to the same pod, once. */
  withdrawRequeue(): boolean {
    return true;
  }

  pick(): Hop {
    if (!this.#checks.isHere()) throw new ProxyError('endpoint_gone', this.#checks.refusal);
    return this.#hop;
  }
}
