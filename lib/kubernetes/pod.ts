import type { KubernetesObject } from './types.ts';

/** The annotation that the webhook writes to a pod that it injects, and to no other. */
export const INJECTION_STATUS = 'nodemesh.dev/status';

/** What nodemesh reads of a core/v1 Pod. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** One of each IP family; empty until the kubelet has made the pod's network. */
  readonly ips: readonly string[];
  readonly nodeName: string | undefined;
  readonly hostNetwork: boolean;
  readonly phase: string;
  readonly serviceAccount: string | undefined;
  /** Its deletion was asked for; it may still be answering requests. */
  readonly terminating: boolean;
  readonly ready: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly NamedPort[];
  /**
   * The name of the controller that it belongs to: of the Deployment where there is one, else of the ReplicaSet,
   * StatefulSet, DaemonSet, Job or whatever made it; its own where nothing did.
   */
  readonly workload: string;
  /** `namespace/workload`, made once: requests are counted by it. */
  readonly workloadKey: string;
  /** The webhook gave its containers a proxy. */
  readonly injected: boolean;
}

/** A TCP port that a container has given a name. */
export interface NamedPort {
  readonly name: string;
  readonly port: number;
}

interface OwnerReference {
  readonly kind: string;
  readonly name: string;
  readonly controller?: boolean;
}

interface ApiContainer {
  readonly restartPolicy?: string;
  readonly ports?:
    | readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[]
    | null;
}

interface ApiPod extends KubernetesObject {
  readonly metadata: KubernetesObject['metadata'] & { readonly ownerReferences?: readonly OwnerReference[] | null };
  readonly spec?: {
    readonly nodeName?: string;
    readonly hostNetwork?: boolean;
    readonly serviceAccountName?: string;
    readonly containers?: readonly ApiContainer[] | null;
    readonly initContainers?: readonly ApiContainer[] | null;
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[] | null;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[] | null;
  };
}

/** Takes a core/v1 Pod; gives what nodemesh reads of it, with the API's defaults filled in. */
export function trimPod(object: KubernetesObject): Pod {
  const { metadata, spec, status } = object as ApiPod;
  const ips = status?.podIPs?.map(({ ip }) => ip) ?? [status?.podIP ?? ''];
  const namespace = metadata.namespace ?? '';
  const workload = workloadOf(metadata);
  return {
    namespace,
    name: metadata.name,
    uid: metadata.uid ?? '',
    ips: ips.filter((ip) => ip !== ''),
    nodeName: spec?.nodeName === '' ? undefined : spec?.nodeName,
    hostNetwork: spec?.hostNetwork ?? false,
    phase: status?.phase ?? 'Pending',
    serviceAccount: spec?.serviceAccountName === '' ? undefined : spec?.serviceAccountName,
    terminating: metadata.deletionTimestamp != null,
    ready: status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false,
    labels: metadata.labels ?? {},
    ports: namedPorts(spec),
    workload,
    workloadKey: `${namespace}/${workload}`,
    injected: metadata.annotations?.[INJECTION_STATUS] !== undefined,
  };
}

/**
 * A Deployment names its ReplicaSets `<name>-<pod-template-hash>`, and their pods have that hash as a label (Kubernetes docs,
 * "Deployments"). A static pod's owner is its Node, which says nothing of what the pod is.
 */
function workloadOf({ name, labels, ownerReferences }: ApiPod['metadata']): string {
  const owner = ownerReferences?.find(({ controller }) => controller === true);
  if (owner === undefined || owner.kind === 'Node') return name;
  const hash = labels?.['pod-template-hash'];
  if (owner.kind !== 'ReplicaSet' || hash === undefined || !owner.name.endsWith(`-${hash}`)) return owner.name;
  return owner.name.slice(0, -hash.length - 1) || owner.name;
}

/** Of the containers that run beside each other: init containers that always restart (sidecars) are among them. */
function namedPorts(spec: ApiPod['spec']): NamedPort[] {
  const sidecars = spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? [];
  return [...(spec?.containers ?? []), ...sidecars].flatMap(({ ports }) =>
    (ports ?? []).flatMap(({ name, containerPort, protocol = 'TCP' }) =>
      name === undefined || name === '' || protocol !== 'TCP' ? [] : [{ name, port: containerPort }],
    ),
  );
}
