import type { RoutedEndpoint } from '../endpoint.ts';

/**
 * linkerd's io.l5d.k8s.localnode: keeps the endpoints that run on this node. By node name only; linkerd's default compares
 * /24 subnets, which many networks do not follow.
 */
export function localnode(set: readonly RoutedEndpoint[], nodeName: string): RoutedEndpoint[] {
  return set.filter(({ endpoint }) => endpoint.nodeName === nodeName);
}
