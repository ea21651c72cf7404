import { isIP } from 'node:net';
import type { ResolvedCaller } from '../../lib/explain.ts';
import type { ClusterState } from '../discovery/cluster-state.ts';
import type { ProxyError } from '../http/proxy-error.ts';
import { canonicalAddress } from '../http/request-target.ts';
import type { Callers } from '../policy/callers.ts';

export interface CallerQuestion {
  readonly callers: Callers;
  readonly state: ClusterState;
  readonly nodeName: string;
}

/** Who calls, as far as `from` says it. */
export interface FoundCaller {
  readonly caller: ResolvedCaller;
  /** Undefined where `from` names no pod. */
  readonly address: string | undefined;
  readonly namespace: string | undefined;
  /** What its requests are refused with, whatever they ask for. */
  readonly refusal: ProxyError | undefined;
}

/**
 * Finds a caller by `from`: a pod's IP, `namespace/pod`, or a namespace alone. Whether it is served is asked of the router's own
 * `callers`; nobody is waited for.
 */
export function findCaller(from: string | undefined, question: CallerQuestion): FoundCaller {
  if (from === undefined || from === '') {
    return unsaid('nobody is said to call (from): short names mean nothing, and policies are not judged', undefined);
  }
  if (isIP(from) !== 0) return atAddress(canonicalAddress(from), question);
  const [namespace = '', pod] = from.split('/');
  if (pod !== undefined) return named(namespace, pod, question);
  const text = `a namespace alone: names mean what they mean to its pods; which pod calls is not known, nor its policies`;
  return unsaid(text, namespace);
}

function unsaid(why: string, namespace: string | undefined): FoundCaller {
  const nobody = { ip: null, pod: null, workload: null, node: null };
  const caller = { ...nobody, namespace: namespace ?? null, known: namespace !== undefined, why };
  return { caller, address: undefined, namespace, refusal: undefined };
}

function named(namespace: string, name: string, question: CallerQuestion): FoundCaller {
  const { state, nodeName } = question;
  const pod = state.localPodNamed(namespace, name) ?? state.policies.podNamed(namespace, name);
  const [ip] = pod?.ips ?? [];
  if (ip !== undefined) return atAddress(ip, question);
  const why = `no pod ${namespace}/${name} with an address of its own is known on node ${nodeName}: ask the daemon of its node`;
  const found = unsaid(why, namespace);
  return { ...found, caller: { ...found.caller, pod: name, known: false } };
}

function atAddress(ip: string, { callers, state, nodeName }: CallerQuestion): FoundCaller {
  const served = callers.known(ip);
  const pod = state.localPod(ip) ?? state.policies.pod(ip);
  const owner = pod ?? state.addressOwner(ip);
  const caller = {
    ip,
    namespace: owner?.namespace ?? null,
    pod: pod?.name ?? null,
    workload: state.localPod(ip)?.workload ?? null,
    node: owner?.nodeName ?? null,
    known: served !== undefined,
  };
  const found = { address: ip, namespace: served === undefined ? owner?.namespace : served.namespace };
  if (served !== undefined) {
    const why =
      served.namespace === undefined
        ? `allowedClients lets ${ip} in; it is no pod, so short names mean nothing`
        : `by its address, a pod of node ${nodeName}`;
    return { ...found, caller: { ...caller, why }, refusal: undefined };
  }
  const refusal = callers.refusal(ip);
  const elsewhere = owner?.nodeName !== undefined && owner.nodeName !== nodeName;
  const why = elsewhere
    ? `it is on node ${owner.nodeName}: its requests go to that node's daemon, so ask that one`
    : refusal.message;
  return { ...found, caller: { ...caller, why }, refusal };
}
