import { type Annotations, MIRROR_POD } from './annotations.ts';

/** One entry of a container's env as far as injection looks at it. */
export interface EnvView {
  readonly name: string;
  /** Undefined where the value comes from elsewhere (`valueFrom`). */
  readonly value: string | undefined;
  /** The pod field that `valueFrom.fieldRef` of version v1 names. */
  readonly fieldPath: string | undefined;
}

export type ContainerList = 'containers' | 'initContainers' | 'ephemeralContainers';

export interface ContainerView {
  readonly list: ContainerList;
  readonly index: number;
  readonly name: string;
  /** Undefined where it is not a list of objects: such a pod fails the API server's validation and is none of ours. */
  readonly env: readonly EnvView[] | undefined;
  readonly hasEnvFrom: boolean;
  /** The texts in which a kubelet expands `$(VAR)`, apart from env: command and args. */
  readonly commandLine: readonly string[];
  readonly portNames: readonly string[];
  /** What its exec probes run, one text a probe. */
  readonly probeCommands: readonly string[];
}

/** The controller that makes a pod, as the pod's ownerReferences name it. */
export interface OwnerView {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * A Pod as an admission review carries it. It is not validated yet (mutating admission comes first), its namespace may
 * be missing, its name is empty under generateName.
 */
export interface PodView {
  /** Its name, or `prefix-*****` as kubectl writes a name that is still to be generated. */
  readonly displayName: string;
  readonly owner: OwnerView | undefined;
  readonly hasMetadata: boolean;
  readonly hasAnnotations: boolean;
  readonly annotations: Annotations;
  readonly labels: Annotations;
  readonly hostNetwork: boolean;
  readonly mirror: boolean;
  readonly windows: boolean;
  /** What shows that the pod runs on a node that has no daemon, such as `label eks.amazonaws.com/fargate-profile`. */
  readonly virtualNode: string | undefined;
  /** Containers and init containers. */
  readonly containers: readonly ContainerView[];
  readonly ephemeralContainers: readonly ContainerView[];
}

/** Reads any JSON value as a Pod. Never throws: what has the wrong type counts as absent. */
export function viewPod(object: unknown): PodView {
  const pod = asRecord(object) ?? {};
  const metadata = asRecord(pod.metadata);
  const annotations = asRecord(metadata?.annotations);
  const spec = asRecord(pod.spec) ?? {};
  const marks = stringsOf(annotations ?? {});
  const labels = stringsOf(asRecord(metadata?.labels) ?? {});
  const os = asRecord(spec.os)?.name ?? asRecord(spec.nodeSelector)?.['kubernetes.io/os'];
  return {
    displayName: displayName(metadata ?? {}),
    owner: controllerOf(metadata ?? {}),
    hasMetadata: metadata !== undefined,
    hasAnnotations: annotations !== undefined,
    annotations: marks,
    labels,
    hostNetwork: spec.hostNetwork === true,
    mirror: marks[MIRROR_POD] !== undefined,
    windows: os === 'windows',
    virtualNode: virtualNodeOf(spec, labels),
    containers: [...viewContainers(spec, 'containers'), ...viewContainers(spec, 'initContainers')],
    ephemeralContainers: viewContainers(spec, 'ephemeralContainers'),
  };
}

/** The value as an object with string keys, or undefined. */
export function asRecord(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Without a prototype: `constructor` and `__proto__` are legal annotation keys and must not find anything else. */
function stringsOf(record: Readonly<Record<string, unknown>>): Annotations {
  const texts: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(record)) if (typeof value === 'string') texts[key] = value;
  return texts;
}

function displayName(metadata: Readonly<Record<string, unknown>>): string {
  const name = asText(metadata.name);
  if (name !== undefined && name !== '') return name;
  const prefix = asText(metadata.generateName);
  return prefix === undefined ? '' : `${prefix}*****`;
}

function controllerOf(metadata: Readonly<Record<string, unknown>>): OwnerView | undefined {
  const owners = asList(metadata.ownerReferences).map(asRecord);
  const controller = owners.find((owner) => owner?.controller === true);
  if (controller === undefined) return undefined;
  const [apiVersion, kind, name, uid] = (['apiVersion', 'kind', 'name', 'uid'] as const).map(
    (key) => asText(controller[key]) ?? '',
  );
  return { apiVersion: apiVersion ?? '', kind: kind ?? '', name: name ?? '', uid: uid ?? '' };
}

/** Nodes without kubelets of their own, where no DaemonSet runs: Virtual Kubelet, Azure, Alibaba and AWS name them so. */
const VIRTUAL_LABELS = ['eks.amazonaws.com/fargate-profile', 'alibabacloud.com/eci'];
const VIRTUAL_TAINTS = ['virtual-kubelet.io/provider', 'azure.com/aci', 'eks.amazonaws.com/compute-type'];

function virtualNodeOf(spec: Readonly<Record<string, unknown>>, labels: Annotations): string | undefined {
  const label = VIRTUAL_LABELS.find((key) => labels[key] !== undefined && labels[key] !== 'false');
  if (label !== undefined) return `label ${label}`;
  if (asRecord(spec.nodeSelector)?.type === 'virtual-kubelet') return 'nodeSelector type=virtual-kubelet';
  const keys = asList(spec.tolerations).map((toleration) => asText(asRecord(toleration)?.key));
  const taint = VIRTUAL_TAINTS.find((key) => keys.includes(key));
  return taint === undefined ? undefined : `toleration ${taint}`;
}

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'];

function texts(list: readonly unknown[]): string[] {
  return list.filter((item) => typeof item === 'string');
}

function viewContainers(spec: Readonly<Record<string, unknown>>, list: ContainerList): ContainerView[] {
  return asList(spec[list]).map((value, index) => {
    const container = asRecord(value);
    return {
      list,
      index,
      name: asText(container?.name) ?? '',
      env: container === undefined ? undefined : viewEnv(container.env),
      hasEnvFrom: asList(container?.envFrom).length > 0,
      commandLine: texts([...asList(container?.command), ...asList(container?.args)]),
      portNames: texts(asList(container?.ports).map((port) => asRecord(port)?.name)),
      probeCommands: PROBES.map((probe) => {
        const exec = asRecord(asRecord(container?.[probe])?.exec);
        return texts(asList(exec?.command)).join(' ');
      }).filter((command) => command !== ''),
    };
  });
}

function viewEnv(value: unknown): EnvView[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  const env: EnvView[] = [];
  for (const item of value) {
    const entry = asRecord(item);
    const name = asText(entry?.name);
    if (entry === undefined || name === undefined) return undefined;
    const source = asRecord(entry.valueFrom);
    const field = asRecord(source?.fieldRef);
    // The API server's defaulting writes apiVersion v1 into a fieldRef that has none.
    const version = field?.apiVersion ?? 'v1';
    env.push({
      name,
      value: source === undefined ? (asText(entry.value) ?? '') : undefined,
      fieldPath: version === 'v1' ? asText(field?.fieldPath) : undefined,
    });
  }
  return env;
}
