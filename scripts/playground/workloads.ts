import { createHash } from 'node:crypto';
import { isReady, type NodeObject, type PodObject, type PodTemplate, type WorkloadObject } from './objects.ts';

const TEMPLATE_HASH = 'pod-template-hash';
/** apiserver's generateName alphabet: no vowels, so that no word comes out, and nothing that reads like something else. */
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;

/** What a controller wants done to the pods of one workload. */
export interface Plan {
  readonly create: readonly PodObject[];
  readonly remove: readonly PodObject[];
}

/**
 * The next step towards a Deployment's state. `pods` are those it owns. ReplicaSets are skipped: a pod carries its
 * template's hash itself. A changed template rolls with maxSurge 1 and maxUnavailable 0: one new pod at a time, one old
 * pod less for each new one that is ready. `random` gives numbers in [0, 1) for the names' endings.
 */
export function planDeployment(deployment: WorkloadObject, pods: readonly PodObject[], random: () => number): Plan {
  const wanted = deployment.spec.replicas ?? 1;
  const hash = templateHash(deployment.spec.template);
  const alive = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const current = alive.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] === hash);
  const old = alive.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] !== hash).sort(unreadyFirst);
  const room = old.length === 0 ? wanted : Math.min(wanted, wanted + 1 - old.length);
  const missing = Math.max(0, room - current.length);
  const create = Array.from({ length: missing }, () =>
    podOf(deployment, `${deployment.metadata.name}-${hash}-${suffix(random)}`, { [TEMPLATE_HASH]: hash }),
  );
  const surplus = [...current].sort(unreadyFirst).slice(0, Math.max(0, current.length - wanted));
  const spared = Math.max(0, wanted - current.filter(isReady).length);
  return { create, remove: [...surplus, ...old.slice(0, Math.max(0, old.length - spared))] };
}

/** One pod on each node, bound by name; a pod whose template or node is gone leaves first. */
export function planDaemonSet(
  daemonSet: WorkloadObject,
  pods: readonly PodObject[],
  nodes: readonly NodeObject[],
  random: () => number,
): Plan {
  const hash = templateHash(daemonSet.spec.template);
  const alive = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const names = new Set(nodes.map((node) => node.metadata.name));
  const remove = alive.filter(
    (pod) => pod.metadata.labels?.[TEMPLATE_HASH] !== hash || !names.has(pod.spec.nodeName ?? ''),
  );
  const taken = new Set(pods.map((pod) => pod.spec.nodeName));
  const create = [...names]
    .filter((name) => !taken.has(name))
    .map((nodeName) => {
      const pod = podOf(daemonSet, `${daemonSet.metadata.name}-${suffix(random)}`, { [TEMPLATE_HASH]: hash });
      return { ...pod, spec: { ...pod.spec, nodeName } };
    });
  return { create, remove };
}

/** The node with the fewest pods of the same owner, then with the fewest pods at all, then the first. Undefined: no nodes. */
export function pickNode(pod: PodObject, pods: readonly PodObject[], nodes: readonly NodeObject[]): string | undefined {
  const owner = ownerUid(pod);
  const load = (node: NodeObject): readonly [number, number] => {
    const here = pods.filter((other) => other.spec.nodeName === node.metadata.name);
    return [here.filter((other) => ownerUid(other) === owner).length, here.length];
  };
  let best: { name: string; load: readonly [number, number] } | undefined;
  for (const node of nodes) {
    const candidate = { name: node.metadata.name, load: load(node) };
    const lighter =
      best === undefined ||
      candidate.load[0] < best.load[0] ||
      (candidate.load[0] === best.load[0] && candidate.load[1] < best.load[1]);
    if (lighter) best = candidate;
  }
  return best?.name;
}

/** The uid of the object that controls a pod. */
export function ownerUid(pod: PodObject): string | undefined {
  return pod.metadata.ownerReferences?.find((owner) => owner.controller)?.uid;
}

/** The numbers that `kubectl get deployments` shows. */
export function deploymentStatus(deployment: WorkloadObject, pods: readonly PodObject[]): object {
  const hash = templateHash(deployment.spec.template);
  const ready = pods.filter(isReady).length;
  return {
    observedGeneration: deployment.metadata.generation ?? 1,
    replicas: pods.length,
    updatedReplicas: pods.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] === hash).length,
    readyReplicas: ready,
    availableReplicas: ready,
  };
}

/** The numbers that `kubectl get daemonsets` shows. */
export function daemonSetStatus(daemonSet: WorkloadObject, pods: readonly PodObject[], nodes: number): object {
  const hash = templateHash(daemonSet.spec.template);
  const ready = pods.filter(isReady).length;
  return {
    observedGeneration: daemonSet.metadata.generation ?? 1,
    desiredNumberScheduled: nodes,
    currentNumberScheduled: pods.length,
    updatedNumberScheduled: pods.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] === hash).length,
    numberReady: ready,
    numberAvailable: ready,
    numberMisscheduled: 0,
  };
}

function podOf(owner: WorkloadObject, name: string, labels: Readonly<Record<string, string>>): PodObject {
  const { template } = owner.spec;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: owner.metadata.namespace ?? 'default',
      labels: { ...template.metadata?.labels, ...labels },
      ...(template.metadata?.annotations === undefined ? {} : { annotations: template.metadata.annotations }),
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name,
          uid: owner.metadata.uid ?? '',
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: template.spec,
  };
}

/** Of the template's meaning, not its text: a patch may write the same keys in another order. */
function templateHash(template: PodTemplate): string {
  const text = JSON.stringify(template, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
  return createHash('sha256').update(text).digest('hex').slice(0, 10);
}

function suffix(random: () => number): string {
  return Array.from({ length: SUFFIX_LENGTH }, () => NAME_LETTERS[Math.floor(random() * NAME_LETTERS.length)]).join('');
}

function unreadyFirst(a: PodObject, b: PodObject): number {
  return Number(isReady(a)) - Number(isReady(b));
}
