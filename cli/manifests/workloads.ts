import { asRecord, asText } from '../../webhook/pod-view.ts';
import type { Manifest } from './manifest.ts';
import { type Path, valueAt } from './pointers.ts';

/** A pod, or the template of one, within a manifest. */
export interface PodTemplate {
  /** Which of the manifest's documents. */
  readonly document: number;
  /** From the document's root to the object that has the pod's `metadata` and `spec`. */
  readonly path: Path;
  /** `Deployment/web`. */
  readonly workload: string;
  /** As its manifest says; undefined where it is left to whoever applies it. */
  readonly namespace: string | undefined;
  /** What stands at `path`. */
  readonly pod: unknown;
}

/** Where each kind keeps its pod. The group counts too: other groups have a Job or a Deployment of another shape. */
const TEMPLATES: readonly { readonly group: RegExp; readonly kinds: readonly string[]; readonly path: Path }[] = [
  { group: /^$/, kinds: ['Pod'], path: [] },
  { group: /^$/, kinds: ['PodTemplate'], path: ['template'] },
  { group: /^$/, kinds: ['ReplicationController'], path: ['spec', 'template'] },
  {
    group: /^(apps|extensions)$/,
    kinds: ['Deployment', 'ReplicaSet', 'StatefulSet', 'DaemonSet'],
    path: ['spec', 'template'],
  },
  { group: /^batch$/, kinds: ['Job'], path: ['spec', 'template'] },
  { group: /^batch$/, kinds: ['CronJob'], path: ['spec', 'jobTemplate', 'spec', 'template'] },
];

/** Every pod and pod template of a manifest, in its order, Lists looked into. Documents of other kinds give none. */
export function findPods(manifest: Manifest): PodTemplate[] {
  return manifest.documents.flatMap(({ value }, document) => podsOf(value).map((found) => ({ document, ...found })));
}

export type Found = Omit<PodTemplate, 'document'>;

/** The same of one object. */
export function podsOf(object: unknown): Found[] {
  return podsIn(object, [], undefined);
}

interface Type {
  readonly apiVersion: string;
  readonly kind: string;
}

function podsIn(value: unknown, path: Path, inherited: Type | undefined): Found[] {
  const object = asRecord(value);
  if (object === undefined) return [];
  const apiVersion = asText(object.apiVersion) ?? inherited?.apiVersion ?? '';
  const kind = asText(object.kind) ?? inherited?.kind ?? '';
  if (kind.endsWith('List') && Array.isArray(object.items)) {
    // The items of a DeploymentList need not say that they are Deployments.
    const itemType = kind === 'List' ? undefined : { apiVersion, kind: kind.slice(0, -'List'.length) };
    return object.items.flatMap((item, i) => podsIn(item, [...path, 'items', i], itemType));
  }
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const place = TEMPLATES.find((template) => template.kinds.includes(kind) && template.group.test(group));
  if (place === undefined) return [];
  const pod = valueAt(object, place.path);
  if (asRecord(pod) === undefined) return [];
  const metadata = asRecord(object.metadata);
  const name = asText(metadata?.name) ?? asText(metadata?.generateName) ?? '';
  const namespace = asText(metadata?.namespace);
  return [{ path: [...path, ...place.path], workload: `${kind}/${name}`, namespace, pod }];
}
