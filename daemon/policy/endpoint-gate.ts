import { isIP } from 'node:net';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import type { Log } from '../../lib/log.ts';
import type { Counter, Family } from '../../lib/metrics.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { CallerSource } from './caller-sources.ts';
import { type Direction, explainVerdict, type Flow } from './network-policy.ts';
import type { PolicyView } from './policy-view.ts';

/** What becomes of a request that policies forbid: it is refused, or let through and told. */
export type PolicyMode = 'enforce' | 'audit';

/** A direction that is judged here, and how. */
export interface Duty {
  readonly direction: Direction;
  readonly mode: PolicyMode;
}

export interface GateOptions {
  readonly view: PolicyView;
  readonly nodeName: string;
  /** Whether an address is this node's own. */
  readonly isOwnNode: (address: string) => boolean;
  /** Whether an address is any node's, where pods on the host's network are. */
  readonly isNode: (address: string) => boolean;
  /** The router's label. */
  readonly router: string;
  /** By router, mode and direction. */
  readonly denied: Family<Counter>;
  readonly log: Log;
}

/** Where a gate stands. */
export interface GatedEndpoint {
  readonly ip: string;
  readonly port: number;
  /** Undefined outside the cluster. */
  readonly nodeName: string | undefined;
}

type Refusal = 'policy_denied' | 'not_synced';

/** What came of one source, and what it was made of. */
interface Judged {
  readonly version: number;
  readonly destination: PolicyPod | undefined;
  /** Of what was denied. */
  readonly counters: readonly Counter[];
  readonly refusal: Refusal | undefined;
}

const MAX_SOURCES = 4_096;

/**
 * Stands before one endpoint and judges who may send to it, as if each request had come straight from its source. A verdict
 * holds until policies, namespaces or one of the two pods change; a denial is logged when it is found, not with each request.
 */
export class EndpointGate {
  readonly #options: GateOptions;
  readonly #endpoint: GatedEndpoint;
  readonly #duties: readonly Duty[];
  readonly #judged = new Map<CallerSource, Judged>();

  constructor(options: GateOptions, endpoint: GatedEndpoint, duties: readonly Duty[]) {
    this.#options = options;
    this.#endpoint = endpoint;
    this.#duties = duties;
  }

  /** Why a request of that source is not let through; undefined where it is. */
  refusal(source: CallerSource): ProxyError | undefined {
    const { view } = this.#options;
    if (view.idle) return undefined;
    let judged = this.#judged.get(source);
    if (judged?.version !== view.version || judged.destination !== view.pod(this.#endpoint.ip)) {
      judged = this.#judge(source);
      if (this.#judged.size >= MAX_SOURCES) this.#judged.clear();
      this.#judged.set(source, judged);
    }
    for (const counter of judged.counters) counter.value += 1;
    return judged.refusal === undefined ? undefined : this.#error(judged.refusal, source);
  }

  #judge(source: CallerSource): Judged {
    const { view } = this.#options;
    const flow = this.#flow(source);
    const counters: Counter[] = [];
    let refusal: Refusal | undefined;
    for (const { direction, mode } of this.#duties) {
      if (direction === 'egress' && source.vouched) continue; // its own node's daemon has seen to it
      const found = this.#judgeDirection(direction, flow, source);
      if (found === undefined) continue;
      if (mode === 'enforce') refusal ??= found.refusal;
      if (found.why !== undefined) counters.push(this.#tell(direction, mode, flow, found.why));
    }
    return { version: view.version, destination: flow.destination.pod, counters, refusal };
  }

  /** Undefined where the direction is allowed; `why` where policies say no. */
  #judgeDirection(
    direction: Direction,
    flow: Flow,
    source: CallerSource,
  ): { refusal: Refusal; why?: string } | undefined {
    // Its address is published, and the watch of pods has not shown whose it is: its policies cannot be known.
    const destinationUnseen =
      flow.destination.pod === undefined &&
      this.#endpoint.nodeName !== undefined &&
      !this.#options.isNode(flow.destination.ip);
    if (direction === 'ingress' && destinationUnseen) return { refusal: 'not_synced' };
    const verdict = this.#options.view.judge(direction, flow);
    if (verdict === undefined) return { refusal: 'not_synced' };
    if (verdict.allowed) return undefined;
    if (direction === 'egress' ? destinationUnseen : source.unseen) return { refusal: 'not_synced' };
    return { refusal: 'policy_denied', why: explainVerdict(direction, verdict) };
  }

  #flow({ ip, pod }: CallerSource): Flow {
    const { view, isOwnNode, nodeName } = this.#options;
    const { ip: to, port } = this.#endpoint;
    const destination = { ip: to, pod: view.pod(to) };
    const fromOwnNode = pod === undefined && destination.pod?.nodeName === nodeName && isOwnNode(ip);
    const toOwnNode = destination.pod === undefined && pod?.nodeName === nodeName && isOwnNode(to);
    // The caller has come to its proxy by one family, and would have gone to the pod by the pod's.
    const from = isIP(ip) === isIP(to) ? ip : (pod?.ips.find((own) => isIP(own) === isIP(to)) ?? ip);
    return { source: { ip: from, pod }, destination, port, withinNode: fromOwnNode || toOwnNode };
  }

  #tell(direction: Direction, mode: PolicyMode, { source, destination, port }: Flow, why: string): Counter {
    const { log, router, denied } = this.#options;
    const about = { router, mode, direction, source: nameOf(source), destination: `${nameOf(destination)}:${port}` };
    log.warn(about, `${mode === 'enforce' ? 'refused' : 'would be refused'}: ${why}`);
    return denied.with(router, mode, direction);
  }

  #error(refusal: Refusal, { ip, pod }: CallerSource): ProxyError {
    const { ip: to, port } = this.#endpoint;
    const from = pod === undefined ? ip : `pod ${pod.namespace}/${pod.name}`;
    const what = `${from} to ${to.includes(':') ? `[${to}]` : to}:${port}`;
    if (refusal === 'policy_denied') return new ProxyError(refusal, `not allowed: from ${what}`);
    return new ProxyError(refusal, `whether policies allow it is not known yet: from ${what}`);
  }
}

function nameOf({ ip, pod }: Flow['source']): string {
  return pod === undefined ? ip : `${pod.namespace}/${pod.name} (${ip})`;
}
