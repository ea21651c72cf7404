import type { MeshView } from './mesh-view.ts';

export interface HintContext extends Omit<MeshView, 'hints' | 'at' | 'services' | 'total'> {
  readonly labelledNamespaces: number | undefined;
  readonly searchError: string | undefined;
}

/** What to do where there is nothing to see yet: the first thing that is missing, since nothing after it can be there. */
export function hints({ scope, nodes, pods, edges, windowMs, labelledNamespaces, searchError }: HintContext): string[] {
  if (nodes.length === 0) return [searchError ?? NO_DAEMON];
  const silent = nodes.filter(({ error }) => error !== null);
  if (silent.length === nodes.length) {
    return [`No daemon answers (${nodes.length} asked). ${silent[0]?.name}: ${silent[0]?.error}`];
  }
  const few = silent.length === 0 ? [] : [`${silent.length} of ${nodes.length} daemons do not answer: see the nodes.`];
  if (edges.length > 0 || pods.some(({ rps }) => rps > 0)) return few;
  return [...few, nothingYet({ scope, pods, windowMs, labelledNamespaces })];
}

const NO_DAEMON =
  'No daemon was found behind Service nodemesh-daemon. See whether the DaemonSet has pods: kubectl -n nodemesh get daemonset,pods -o wide';

function nothingYet({
  scope,
  pods,
  windowMs,
  labelledNamespaces,
}: Pick<HintContext, 'scope' | 'pods' | 'windowMs' | 'labelledNamespaces'>): string {
  const injected = pods.filter((pod) => pod.injected).length;
  if (injected === 0 && labelledNamespaces === 0) {
    return 'No namespace asks for the mesh. Label one: kubectl label namespace NAME mesh-inject=enabled; then restart its pods: kubectl -n NAME rollout restart deployment';
  }
  if (injected === 0) {
    const where = scope.kind === 'node' ? ` on node ${scope.node}` : '';
    return `No pod${where} was injected: pods get the proxy when they are created. Restart those of a labelled namespace: kubectl -n NAME rollout restart deployment; why a pod was left alone: nodemesh explain NAMESPACE/POD`;
  }
  const seconds = Math.round(windowMs / 1_000);
  return `${injected} ${injected === 1 ? 'pod is' : 'pods are'} in the mesh, and none has sent a request through it in the last ${seconds} s. Let one call another by its Service's name over plain HTTP; HTTPS and clients that ignore http_proxy go past the mesh.`;
}
