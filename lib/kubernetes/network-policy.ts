import type { LabelSelector } from './label-selector.ts';
import type { KubernetesObject } from './types.ts';

/** Whom one rule is about: pods by labels, or addresses. Only what the object gives is there: absent and empty differ. */
export interface PolicyPeer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] };
}

export interface PolicyPort {
  /** `TCP`, `UDP`, `SCTP`. */
  readonly protocol: string;
  /** A number, or the name of a port of the destination's containers; undefined: every port. */
  readonly port: number | string | undefined;
  /** The last one of a range. */
  readonly endPort: number | undefined;
}

/** What a policy allows: of empty `peers` everyone, of empty `ports` every port. */
export interface PolicyRule {
  readonly peers: readonly PolicyPeer[];
  readonly ports: readonly PolicyPort[];
}

/** What nodemesh reads of a networking.k8s.io/v1 NetworkPolicy. */
export interface NetworkPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly podSelector: LabelSelector;
  /** Undefined where the policy says nothing of that direction, and so isolates nobody for it. */
  readonly ingress: readonly PolicyRule[] | undefined;
  readonly egress: readonly PolicyRule[] | undefined;
}

interface ApiPeer {
  readonly podSelector?: LabelSelector | null;
  readonly namespaceSelector?: LabelSelector | null;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] | null } | null;
}

interface ApiRule {
  readonly from?: readonly ApiPeer[] | null;
  readonly to?: readonly ApiPeer[] | null;
  readonly ports?:
    | readonly {
        readonly protocol?: string | null;
        readonly port?: number | string | null;
        readonly endPort?: number;
      }[]
    | null;
}

interface ApiNetworkPolicy extends KubernetesObject {
  readonly spec?: {
    readonly podSelector?: LabelSelector | null;
    readonly policyTypes?: readonly string[] | null;
    readonly ingress?: readonly ApiRule[] | null;
    readonly egress?: readonly ApiRule[] | null;
  };
}

/**
 * Takes a NetworkPolicy; gives what nodemesh reads of it, with the API's defaults filled in: without policyTypes it is about
 * ingress, and about egress too where it has an egress rule. A section of a type that is not named is left out.
 */
export function trimNetworkPolicy(object: KubernetesObject): NetworkPolicy {
  const { metadata, spec = {} } = object as ApiNetworkPolicy;
  const egress = spec.egress ?? [];
  const defaults = egress.length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  const types = spec.policyTypes == null || spec.policyTypes.length === 0 ? defaults : spec.policyTypes;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    podSelector: spec.podSelector ?? {},
    ingress: types.includes('Ingress') ? (spec.ingress ?? []).map((rule) => trimRule(rule, rule.from)) : undefined,
    egress: types.includes('Egress') ? egress.map((rule) => trimRule(rule, rule.to)) : undefined,
  };
}

function trimRule({ ports }: ApiRule, peers: readonly ApiPeer[] | null | undefined): PolicyRule {
  return {
    peers: (peers ?? []).map(({ podSelector, namespaceSelector, ipBlock }) => ({
      ...(podSelector == null ? {} : { podSelector }),
      ...(namespaceSelector == null ? {} : { namespaceSelector }),
      ...(ipBlock == null ? {} : { ipBlock: { cidr: ipBlock.cidr, except: ipBlock.except ?? [] } }),
    })),
    ports: (ports ?? []).map(({ protocol, port, endPort }) => ({
      protocol: protocol ?? 'TCP',
      port: port ?? undefined,
      endPort,
    })),
  };
}
