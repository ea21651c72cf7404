import { isIP } from 'node:net';
import type { KubernetesObject } from '../lib/kubernetes/types.ts';

/** How pods address the proxy of their node: by the node's name, or by its address, of which the family is known. */
export type ProxyAddress = { readonly by: 'nodeName' } | { readonly by: 'hostIP'; readonly family: 4 | 6 };

/** One node's name and its addresses of type InternalIP, in the node's own order: the first is what status.hostIP gives. */
export interface NodeAddresses {
  readonly name: string;
  readonly internalIps: readonly string[];
}

export interface ProxyAddressDecision {
  readonly address: ProxyAddress;
  /** Why, for the log: which node's name keeps the names from being used. */
  readonly why: string;
}

/** A Node as far as its addresses go. */
export function trimNode(node: KubernetesObject): NodeAddresses {
  const status = (node as { status?: { addresses?: readonly { type: string; address: string }[] | null } }).status;
  const addresses = status?.addresses ?? [];
  return {
    name: node.metadata.name,
    internalIps: addresses.filter((a) => a.type === 'InternalIP').map((a) => a.address),
  };
}

/**
 * `proxyAddress: auto` (DESIGN §4): by node name where every node's name resolves to that node, and by host IP elsewhere.
 * `resolved` has for each node's name the addresses that a pod's look-up gave, none where it failed. A name counts only
 * when all that it resolves to is the node's own and the address that the daemon listens on is among it; names of
 * cloud instances often resolve to other addresses, inside the cluster and out.
 */
export function decideProxyAddress(
  nodes: readonly NodeAddresses[],
  resolved: ReadonlyMap<string, readonly string[]>,
  ownIp: string | undefined,
): ProxyAddressDecision {
  const byHostIp: ProxyAddress = { by: 'hostIP', family: hostIpFamily(nodes, ownIp) };
  if (nodes.length === 0) return { address: byHostIp, why: 'no node is known' };
  for (const { name, internalIps } of nodes) {
    const found = resolved.get(name) ?? [];
    if (found.length === 0) return { address: byHostIp, why: `node name ${name} does not resolve` };
    const foreign = found.find((ip) => !internalIps.includes(ip));
    const primary = internalIps[0];
    if (foreign !== undefined || primary === undefined || !found.includes(primary)) {
      const why = `node name ${name} resolves to ${found.join(', ')}, its address is ${primary ?? 'not known'}`;
      return { address: byHostIp, why };
    }
  }
  return { address: { by: 'nodeName' }, why: `each of ${nodes.length} node names resolves to its node` };
}

/**
 * The family of status.hostIP, which a pod under admission does not have yet: that of the nodes' first addresses, else
 * that of the webhook's own pod (a kubelet lists a pod's addresses with its node's family first), else IPv4.
 */
export function hostIpFamily(nodes: readonly NodeAddresses[], ownIp: string | undefined): 4 | 6 {
  const families = nodes.map((node) => isIP(node.internalIps[0] ?? '')).filter((family) => family !== 0);
  if (families.length > 0) return families.every((family) => family === 6) ? 6 : 4;
  return isIP(ownIp ?? '') === 6 ? 6 : 4;
}
