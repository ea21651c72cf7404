import { unmetRequirement } from '../../lib/kubernetes/label-selector.ts';
import type { MeshPolicy, MeshPolicyRule, PathRule } from '../../lib/kubernetes/mesh-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import type { RequestHead } from '../http/message-head.ts';
import { splitRequestTarget } from '../http/request-target.ts';
import { comparablePath } from './comparable-path.ts';

/** What of a request MeshPolicies look at. */
export type JudgedRequest = Pick<RequestHead, 'method' | 'target' | 'host' | 'upgrade'>;

/** The policies that select a pod, and what of their rules is about one source. */
export interface RequestRules {
  /** `namespace/name`. */
  readonly policies: readonly string[];
  readonly rules: readonly MeshPolicyRule[];
  /** Whose each rule is. */
  readonly owners: readonly string[];
}

/** All MeshPolicies of a cluster at one time. Pods that one selects get what a rule allows, and no more. */
export class MeshPolicySet {
  readonly #byNamespace = new Map<string, MeshPolicy[]>();

  constructor(policies: Iterable<MeshPolicy>) {
    for (const policy of policies) {
      const beside = this.#byNamespace.get(policy.namespace);
      if (beside === undefined) this.#byNamespace.set(policy.namespace, [policy]);
      else beside.push(policy);
    }
  }

  /** The policies that select a pod. */
  selecting(pod: PolicyPod, serves: (service: string) => boolean): readonly MeshPolicy[] {
    return (this.#byNamespace.get(pod.namespace) ?? []).filter(({ namespace, services, podSelector }) =>
      services === undefined
        ? unmetRequirement(podSelector, pod.labels) === undefined
        : services.some((name) => serves(`${namespace}/${name}`)),
    );
  }

  /**
   * What a source may ask of a pod; undefined where no policy selects it. A Service's pods are its endpoints, by whatever name
   * they are called: `serves` tells them by `namespace/name`.
   */
  rulesFor(
    destination: PolicyPod,
    source: PolicyPod | undefined,
    serves: (service: string) => boolean,
  ): RequestRules | undefined {
    const selecting = this.selecting(destination, serves);
    if (selecting.length === 0) return undefined;
    const about = selecting.flatMap(({ namespace, name, rules }) =>
      rules.filter((rule) => isFrom(rule, source, namespace)).map((rule) => ({ rule, owner: `${namespace}/${name}` })),
    );
    return {
      policies: selecting.map(({ namespace, name }) => `${namespace}/${name}`).sort(),
      rules: about.map(({ rule }) => rule),
      owners: about.map(({ owner }) => owner),
    };
  }
}

/** Whether one of the rules allows a request. */
export function allowsRequest(rules: readonly MeshPolicyRule[], request: JudgedRequest): boolean {
  return allowingRule(rules, request) !== -1;
}

/** The place of the first rule that allows a request; -1 where none does. */
export function allowingRule(rules: readonly MeshPolicyRule[], request: JudgedRequest): number {
  if (rules.length === 0) return -1;
  const { method, upgrade } = request;
  // In a tunnel of HTTP/2 each request is its own, and nobody looks at them.
  const opaque = upgrade !== undefined && upgrade.toLowerCase() !== 'websocket';
  const path = rules.some(({ paths }) => paths !== undefined) ? pathOf(request) : undefined;
  return rules.findIndex(
    ({ methods, paths }) =>
      (methods === undefined || (methods.includes(method) && !opaque)) &&
      (paths === undefined || (path !== undefined && !opaque && paths.some((rule) => matches(rule, path)))),
  );
}

/** Undefined where there is none, as with CONNECT and `*`, or where servers disagree about it. */
function pathOf({ method, target, host }: JudgedRequest): string | undefined {
  return method === 'CONNECT' ? undefined : comparablePath(splitRequestTarget(method, target, host).path);
}

function matches(rule: PathRule, path: string): boolean {
  if ('exact' in rule) return path === rule.exact;
  const prefix = rule.prefix.replace(/\/$/, '');
  return path === prefix || path.startsWith(`${prefix}/`);
}

function isFrom({ from }: MeshPolicyRule, source: PolicyPod | undefined, own: string): boolean {
  if (from === undefined) return true;
  if (source === undefined) return false;
  return from.some(
    ({ namespaces, serviceAccounts, podSelector }) =>
      (namespaces ?? [own]).includes(source.namespace) &&
      (serviceAccounts === undefined || serviceAccounts.includes(source.serviceAccount ?? 'default')) &&
      unmetRequirement(podSelector, source.labels) === undefined,
  );
}
