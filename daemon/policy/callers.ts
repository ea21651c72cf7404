import type { ClusterState } from '../discovery/cluster-state.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { ClientAccess } from './client-access.ts';

/** A pod may call before the watch has shown it: it gets this long to appear. */
const APPEARANCE_MS = 2_000;
/** A stranger is not waited for again within this time. */
const REMEMBER_STRANGER_MS = 10_000;
const MAX_STRANGERS = 4_096;

/** Who is served: all undefined where the address is no pod's. */
export interface KnownCaller {
  readonly namespace: string | undefined;
  readonly workload: string | undefined;
  /** `namespace/workload`. */
  readonly workloadKey: string | undefined;
}

export interface CallersOptions {
  readonly access: ClientAccess;
  readonly state: ClusterState;
  readonly nodeName: string;
  /** Whether this node's pods have been read once. */
  readonly podsKnown: () => boolean;
  readonly now: () => number;
}

/** Decides by source address whom an outgoing router serves (DESIGN §3). */
export class Callers {
  readonly #options: CallersOptions;
  readonly #strangers = new Map<string, number>();

  constructor(options: CallersOptions) {
    this.#options = options;
  }

  /** Undefined where the address is not (yet) one that is served. */
  known(address: string): KnownCaller | undefined {
    const { access, state } = this.#options;
    const pod = access.localPods ? state.localPod(address) : undefined;
    if (pod !== undefined) return pod;
    return access.admits(address) ? ANYBODY : undefined;
  }

  /**
   * Waits for a pod that has just started to appear in the watch. Rejects with ProxyError not_local_pod where it does not,
   * where the address is known to be of another node, or was waited for in vain a moment ago; and not_synced where this
   * node's pods have never been read.
   */
  async appear(address: string): Promise<KnownCaller> {
    const { state, now } = this.#options;
    const deadline = now() + APPEARANCE_MS;
    while (this.#worthWaiting(address) && now() < deadline) {
      await state.nextPodChange(deadline - now());
      const found = this.known(address);
      if (found !== undefined) return found;
    }
    const refusal = this.refusal(address);
    if (refusal.code === 'not_local_pod') this.#remember(address);
    throw refusal;
  }

  /** What a caller at an address that is not known is refused with, once it was waited for. */
  refusal(address: string): ProxyError {
    const { podsKnown, nodeName } = this.#options;
    if (!podsKnown()) return new ProxyError('not_synced', "this node's pods have not been read yet");
    return new ProxyError('not_local_pod', `${address} is not the address of a pod of node ${nodeName}`);
  }

  #worthWaiting(address: string): boolean {
    const { access, state, nodeName, now } = this.#options;
    if (!access.localPods) return false;
    const owner = state.addressOwner(address);
    if (owner?.nodeName !== undefined && owner.nodeName !== nodeName) return false;
    const refusedAt = this.#strangers.get(address);
    return refusedAt === undefined || now() - refusedAt > REMEMBER_STRANGER_MS;
  }

  #remember(address: string): void {
    if (this.#strangers.size >= MAX_STRANGERS) this.#strangers.clear();
    this.#strangers.set(address, this.#options.now());
  }
}

const ANYBODY: KnownCaller = { namespace: undefined, workload: undefined, workloadKey: undefined };
