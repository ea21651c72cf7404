import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import { STATUS } from '../../webhook/annotations.ts';
import { getObject } from './connection.ts';
import { type MeshedPod, type Owner, ownerOf } from './pods.ts';

/** What makes stale pods, and so is to be restarted; a pod of nobody's stands for itself. */
export interface StaleWorkload {
  readonly namespace: string;
  readonly owner: Owner;
  readonly pods: readonly MeshedPod[];
  /** Why nodemesh cannot restart it, and what to do instead; undefined where it can. */
  readonly byHand: string | undefined;
}

interface Workload extends KubernetesObject {
  readonly spec?: {
    readonly paused?: boolean;
    readonly updateStrategy?: { readonly type?: string };
    readonly template?: {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> | null } | null;
    };
  };
}

const PLURALS: Readonly<Record<string, string>> = {
  Deployment: 'deployments',
  StatefulSet: 'statefulsets',
  DaemonSet: 'daemonsets',
};

/** Groups stale pods by what makes them: a ReplicaSet's by its Deployment. In the order of their names. Throws KubernetesError. */
export async function staleWorkloads(api: KubernetesApi, pods: readonly MeshedPod[]): Promise<StaleWorkload[]> {
  const groups = new Map<string, { readonly namespace: string; readonly owner: Owner; readonly pods: MeshedPod[] }>();
  const replicaSets = new Map<string, Owner>();
  for (const pod of pods) {
    const owner = await workloadOf(api, pod, replicaSets);
    const key = `${pod.namespace}/${owner.kind}/${owner.name}`;
    const group = groups.get(key) ?? { namespace: pod.namespace, owner, pods: [] };
    group.pods.push(pod);
    groups.set(key, group);
  }
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  return Promise.all(sorted.map(async (group) => ({ ...group, byHand: await obstacleOf(api, group) })));
}

async function workloadOf(api: KubernetesApi, pod: MeshedPod, replicaSets: Map<string, Owner>): Promise<Owner> {
  const { namespace, name, owner } = pod;
  if (owner === undefined) return { apiVersion: 'v1', kind: 'Pod', name };
  if (owner.kind !== 'ReplicaSet' || owner.apiVersion !== 'apps/v1') return owner;
  const key = `${namespace}/${owner.name}`;
  const known = replicaSets.get(key);
  if (known !== undefined) return known;
  const replicaSet = await getObject(api, `/apis/apps/v1/namespaces/${namespace}/replicasets/${owner.name}`);
  const found = (replicaSet === undefined ? undefined : ownerOf(replicaSet)) ?? owner;
  replicaSets.set(key, found);
  return found;
}

type Group = Pick<StaleWorkload, 'namespace' | 'owner'>;

async function obstacleOf(api: KubernetesApi, group: Group): Promise<string | undefined> {
  const { kind } = group.owner;
  const path = pathOf(group);
  if (path === undefined) {
    return kind === 'Job'
      ? 'a Job is not restarted; its next run will be injected'
      : `delete the pods of a ${kind} by hand`;
  }
  const workload = (await getObject(api, path)) as Workload | undefined;
  if (workload === undefined) return 'it is gone';
  if (workload.spec?.template?.metadata?.annotations?.[STATUS] !== undefined) {
    return 'its manifest itself was injected, and would make the same pods again: nodemesh uninject or inject it anew';
  }
  if (workload.spec?.paused === true) return `it is paused; kubectl -n ${group.namespace} rollout resume`;
  // kubectl's restart changes the template too, and waits in vain for pods to be replaced.
  if (workload.spec?.updateStrategy?.type === 'OnDelete')
    return 'its updateStrategy is OnDelete: delete its pods by hand';
  return undefined;
}

/** Undefined for a kind that has no rollout. */
function pathOf({ namespace, owner }: Group): string | undefined {
  const plural = owner.apiVersion === 'apps/v1' ? PLURALS[owner.kind] : undefined;
  return plural === undefined ? undefined : `/apis/apps/v1/namespaces/${namespace}/${plural}/${owner.name}`;
}

/** Restarts a workload as `kubectl rollout restart` does, by the same annotation. `now` is ms since 1970. Throws KubernetesError. */
export async function restart(api: KubernetesApi, group: Group, now: number): Promise<void> {
  const restartedAt = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z');
  const annotations = { 'kubectl.kubernetes.io/restartedAt': restartedAt };
  await api.request({
    method: 'PATCH',
    path: `${pathOf(group)}?fieldManager=nodemesh-rollout`,
    contentType: 'application/merge-patch+json',
    body: { spec: { template: { metadata: { annotations } } } },
  });
}
