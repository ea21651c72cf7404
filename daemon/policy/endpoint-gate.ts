import { isIP } from 'node:net';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import type { Log } from '../../lib/log.ts';
import type { Counter, Family } from '../../lib/metrics.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { CallerSource } from './caller-sources.ts';
import { allowingRule, type JudgedRequest, type RequestRules } from './mesh-policy.ts';
import { type Direction, explainVerdict, type Flow, type Verdict } from './network-policy.ts';
import type { PolicyView } from './policy-view.ts';
import { type PolicyMode, type Refusal, RequestJudge, VERB } from './request-judge.ts';

/** A direction that is judged here, and how. */
export interface Duty {
  readonly direction: Direction;
  readonly mode: PolicyMode;
}

/** Judges in the directions that are not `off`. */
export function dutiesOf(egress: PolicyMode | 'off', ingress: PolicyMode | 'off'): Duty[] {
  const modes = { egress, ingress };
  return (['egress', 'ingress'] as const).flatMap((direction) => {
    const mode = modes[direction];
    return mode === 'off' ? [] : [{ direction, mode }];
  });
}

export interface GateOptions {
  readonly view: PolicyView;
  readonly nodeName: string;
  /** Whether an address is this node's own. */
  readonly isOwnNode: (address: string) => boolean;
  /** Whether an address is any node's, where pods on the host's network are. */
  readonly isNode: (address: string) => boolean;
  /** Whether an address is one of a Service's, by `namespace/name`; `endpointsVersion` changes when that may have. */
  readonly serves: (service: string, ip: string) => boolean;
  readonly endpointsVersion: () => number;
  /** The router's label. */
  readonly router: string;
  /** By router, mode and direction (`request`: by MeshPolicies). */
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

/** What one direction's NetworkPolicies, or MeshPolicies (`request`), say of a request: for people. */
export interface PolicyFinding {
  readonly of: Direction | 'request';
  readonly mode: PolicyMode;
  /** Undefined: allowed. */
  readonly refusal: Refusal | undefined;
  /** `namespace/name` of what decided. */
  readonly policies: readonly string[];
}

/** What came of one source, and what it was made of. */
interface Judged {
  readonly version: number;
  readonly endpointsVersion: number;
  readonly destination: PolicyPod | undefined;
  /** Of what was denied. */
  readonly counters: readonly Counter[];
  readonly refusal: Refusal | undefined;
  readonly requests: RequestJudge | undefined;
}

/** Of one endpoint; some hundred bytes each. */
const MAX_SOURCES = 1_024;

/**
 * Stands before one endpoint and judges who may send to it, as if each request had come straight from its source: by
 * NetworkPolicies, then by MeshPolicies. What is found of a source holds until policies, namespaces or one of the two pods
 * change; a denial is logged when it is found, not with each request.
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
  refusal(source: CallerSource, request: JudgedRequest): ProxyError | undefined {
    const { view } = this.#options;
    if (view.idle) return undefined;
    let judged = this.#judged.get(source);
    if (
      judged?.version !== view.version ||
      judged.destination !== view.pod(this.#endpoint.ip) ||
      judged.endpointsVersion !== this.#endpointsVersion
    ) {
      judged = this.#judge(source);
      if (this.#judged.size >= MAX_SOURCES) this.#judged.clear();
      this.#judged.set(source, judged);
    }
    for (const counter of judged.counters) counter.value += 1;
    const refusal = judged.refusal ?? judged.requests?.refusal(request);
    return refusal === undefined ? undefined : this.#error(refusal, source);
  }

  /** Only where verdicts depend on it: endpoints change often. */
  get #endpointsVersion(): number {
    const { view, endpointsVersion } = this.#options;
    return view.asksServices ? endpointsVersion() : 0;
  }

  #judge(source: CallerSource): Judged {
    const { view } = this.#options;
    const flow = this.#flow(source);
    const counters: Counter[] = [];
    let refusal: Refusal | undefined;
    for (const { direction, mode } of this.#duties) {
      if (direction === 'egress' && source.vouched) continue; // its own node's daemon has seen to it
      const found = this.#judgeDirection(direction, flow, source);
      if (found.refusal === undefined) continue;
      if (mode === 'enforce') refusal ??= found.refusal;
      if (found.refusal === 'not_synced' || found.verdict === undefined) continue;
      counters.push(this.#tell(direction, mode, flow, explainVerdict(direction, found.verdict)));
    }
    const made = { version: view.version, endpointsVersion: this.#endpointsVersion, destination: flow.destination.pod };
    return { ...made, counters, refusal, requests: refusal === undefined ? this.#requests(flow, source) : undefined };
  }

  /** What decides about a request of that source, as `refusal` would find it; nothing is counted, logged or kept. */
  explain(source: CallerSource, request: JudgedRequest): readonly PolicyFinding[] {
    if (this.#options.view.idle) return [];
    const flow = this.#flow(source);
    const findings: PolicyFinding[] = [];
    for (const { direction, mode } of this.#duties) {
      if (direction === 'egress' && source.vouched) continue;
      const { refusal, verdict } = this.#judgeDirection(direction, flow, source);
      findings.push({ of: direction, mode, refusal, policies: verdict?.policies ?? [] });
    }
    const ruled = this.#requestRules(flow);
    if (ruled === undefined) return findings;
    const { mode, rules } = ruled;
    const at = rules === undefined || source.unseen ? undefined : allowingRule(rules.rules, request);
    const allowing = rules?.owners[at ?? -1];
    const refusal = at === undefined ? 'not_synced' : allowing === undefined ? 'policy_denied' : undefined;
    const policies = allowing === undefined ? (rules?.policies ?? []) : [allowing];
    return [...findings, { of: 'request', mode, refusal, policies }];
  }

  /** What MeshPolicies let the source ask, by whoever answers for ingress; undefined where they have nothing to say. */
  #requestRules(flow: Flow): { mode: PolicyMode; rules: RequestRules | undefined } | undefined {
    const { view, serves } = this.#options;
    const mode = this.#duties.find(({ direction }) => direction === 'ingress')?.mode;
    if (mode === undefined) return undefined;
    const rules = view.requestRules(flow, (service) => serves(service, flow.destination.ip));
    return rules === 'all' ? undefined : { mode, rules };
  }

  /** Judges the source's requests, where MeshPolicies have something to say. */
  #requests(flow: Flow, source: CallerSource): RequestJudge | undefined {
    const { denied, router } = this.#options;
    const ruled = this.#requestRules(flow);
    if (ruled === undefined) return undefined;
    const { mode, rules } = ruled;
    const log = this.#options.log.child(this.#about(flow));
    const options = { mode, rules, unseen: source.unseen, counter: denied.with(router, mode, 'request'), log };
    return new RequestJudge(options);
  }

  /** `refusal` undefined where the direction is allowed; `verdict`: what policies say, where that is known. */
  #judgeDirection(
    direction: Direction,
    flow: Flow,
    source: CallerSource,
  ): { refusal: Refusal | undefined; verdict?: Verdict } {
    // Its address is published, and the watch of pods has not shown whose it is: its policies cannot be known.
    const destinationUnseen =
      flow.destination.pod === undefined &&
      this.#endpoint.nodeName !== undefined &&
      !this.#options.isNode(flow.destination.ip);
    if (direction === 'ingress' && destinationUnseen) return { refusal: 'not_synced' };
    const verdict = this.#options.view.judge(direction, flow);
    if (verdict === undefined) return { refusal: 'not_synced' };
    if (verdict.allowed) return { refusal: undefined, verdict };
    if (direction === 'egress' ? destinationUnseen : source.unseen) return { refusal: 'not_synced' };
    return { refusal: 'policy_denied', verdict };
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

  #tell(direction: Direction, mode: PolicyMode, flow: Flow, why: string): Counter {
    const { log, router, denied } = this.#options;
    log.warn({ ...this.#about(flow), mode, direction }, `${VERB[mode]}: ${why}`);
    return denied.with(router, mode, direction);
  }

  #about({ source, destination, port }: Flow): object {
    const { router } = this.#options;
    return { router, source: nameOf(source), destination: `${nameOf(destination)}:${port}` };
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
