import type { Pod } from '../../lib/kubernetes/pod.ts';
import { count, type Finding, failure, few, ok, warning } from './finding.ts';

/** A pod that was injected, by where it runs. */
export interface InjectedPod {
  /** `namespace/name`. */
  readonly name: string;
  readonly nodeName: string;
}

/** `webhook.replicas`: two webhooks at least, on nodes of their own where there are two. */
export function judgeReplicas(pods: readonly Pod[], nodes: number): Finding {
  const id = 'webhook.replicas';
  const ready = pods.filter(serves);
  const places = new Set(ready.map(({ nodeName }) => nodeName));
  const hint = 'kubectl -n nodemesh get pods -o wide -l app.kubernetes.io/component=webhook';
  if (pods.length === 0) return failure(id, 'there is no webhook pod', hint);
  if (ready.length === 0) return failure(id, `none of ${count(pods.length, 'webhook pod')} is ready`, hint);
  if (ready.length === 1)
    return warning(id, 'one webhook pod is ready: while it restarts, pods start uninjected', hint);
  if (places.size === 1 && nodes > 1) {
    return warning(
      id,
      `all ${ready.length} webhook pods are on node ${[...places][0]}, and would be gone with it`,
      hint,
    );
  }
  return ok(id, `${ready.length} webhook pods are ready, on ${count(places.size, 'node')}`);
}

/** `daemon.nodes`: where an injected pod runs, a daemon is ready; without it the pod reaches nothing. */
export function judgeDaemons(daemons: readonly Pod[], injected: readonly InjectedPod[]): Finding[] {
  const id = 'daemon.nodes';
  const served = new Set(daemons.filter(serves).map(({ nodeName }) => nodeName));
  const stranded = Map.groupBy(
    injected.filter(({ nodeName }) => !served.has(nodeName)),
    ({ nodeName }) => nodeName,
  );
  if (stranded.size === 0) {
    const nodes = new Set(injected.map(({ nodeName }) => nodeName)).size;
    const where = `on ${count(nodes, 'node')}, each with a ready daemon`;
    return [ok(id, nodes === 0 ? 'no pod is injected yet' : `${count(injected.length, 'injected pod')} ${where}`)];
  }
  return [...stranded].map(([node, pods]) =>
    failure(
      id,
      `node ${node} has ${count(pods.length, 'injected pod')} and no ready daemon: ${few(pods.map(({ name }) => name))}`,
      `kubectl -n nodemesh get pods -o wide -l app.kubernetes.io/component=daemon --field-selector spec.nodeName=${node}`,
    ),
  );
}

function serves({ ready, terminating, nodeName }: Pod): boolean {
  return ready && !terminating && nodeName !== undefined;
}
