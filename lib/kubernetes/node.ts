import type { KubernetesObject } from './types.ts';

/** What nodemesh reads of a core/v1 Node: where it can be reached, and where it stands. */
export interface Node {
  readonly name: string;
  /** Of every type but names: InternalIP, ExternalIP. */
  readonly ips: readonly string[];
  /** Where its pods' addresses come from, and those of its own bridges to them; empty where the CNI plugin keeps them. */
  readonly podCIDRs: readonly string[];
  /** Its label `topology.kubernetes.io/zone`. */
  readonly zone: string | undefined;
}

const ZONE_LABEL = 'topology.kubernetes.io/zone';

interface ApiNode extends KubernetesObject {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] | null };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] | null };
}

/** Takes a core/v1 Node; gives what nodemesh reads of it. */
export function trimNode(object: KubernetesObject): Node {
  const { metadata, spec, status } = object as ApiNode;
  const addresses = status?.addresses ?? [];
  return {
    name: metadata.name,
    ips: addresses.filter(({ type }) => type.endsWith('IP')).map(({ address }) => address),
    podCIDRs: spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]),
    zone: metadata.labels?.[ZONE_LABEL],
  };
}
