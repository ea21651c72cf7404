import type { Endpoint, Path, RoutedEndpoint } from '../endpoint.ts';

export type Gateway = Extract<Path, { kind: 'gateway' }>;

/** The ready daemons by node, from the endpoints of their Service's incoming port. The first of a node is taken. */
export function gatewaysByNode(daemons: readonly Endpoint[]): ReadonlyMap<string, Gateway> {
  const gateways = new Map<string, Gateway>();
  for (const { ip, port, nodeName } of daemons) {
    if (nodeName !== undefined && !gateways.has(nodeName))
      gateways.set(nodeName, { kind: 'gateway', ip, port, nodeName });
  }
  return gateways;
}

/**
 * linkerd's io.l5d.k8s.daemonset, with two differences. The set stays one of pods, each with its daemon as gateway, so that
 * nine pods on one node and one on another get a tenth each (linkerd replaces pods by daemons, and each node gets half).
 * Pods are matched to daemons by node name, never by subnet.
 * Endpoints of `nodeName` itself need no gateway. Those whose node has no daemon, or that are on no node, are reached
 * straight under fallback `direct` and dropped under `fail`.
 */
export function daemonset(
  set: readonly RoutedEndpoint[],
  gateways: ReadonlyMap<string, Gateway>,
  nodeName: string,
  fallback: 'direct' | 'fail',
): RoutedEndpoint[] {
  const routed: RoutedEndpoint[] = [];
  for (const { endpoint } of set) {
    if (endpoint.nodeName === nodeName) {
      routed.push({ endpoint, path: { kind: 'self' } });
      continue;
    }
    const gateway = endpoint.nodeName === undefined ? undefined : gateways.get(endpoint.nodeName);
    if (gateway !== undefined) routed.push({ endpoint, path: gateway });
    else if (fallback === 'direct') routed.push({ endpoint, path: { kind: 'direct' } });
  }
  return routed;
}
