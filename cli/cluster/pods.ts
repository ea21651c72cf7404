import { trimPod } from '../../lib/kubernetes/pod.ts';
import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import { STATUS } from '../../webhook/annotations.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { labelEnables } from '../../webhook/mutation.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { type Staleness, stalenessOf } from '../staleness.ts';
import { listAll } from './list-all.ts';

export interface Owner {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
}

/** A running pod as far as the mesh has to do with it. */
export interface MeshedPod {
  readonly namespace: string;
  readonly name: string;
  readonly nodeName: string | undefined;
  readonly injected: boolean;
  /** Undefined where a new pod would be the same, or where its namespace is not labelled. */
  readonly stale: Staleness | undefined;
  readonly owner: Owner | undefined;
}

/** The names of the namespaces that carry the label. */
export async function labelledNamespaces(api: KubernetesApi): Promise<ReadonlySet<string>> {
  const names = await listAll(api, '/api/v1/namespaces', ({ metadata }) =>
    labelEnables(metadata.labels) ? metadata.name : undefined,
  );
  return new Set(names);
}

/**
 * The pods of a namespace, or of all, that are in the mesh or should be. Each is judged as it is read and only the judgement is
 * kept: a cluster has a hundred thousand. Without settings, none is taken to be stale.
 */
export async function meshedPods(
  api: KubernetesApi,
  settings: InjectionSettings | undefined,
  namespace?: string,
): Promise<MeshedPod[]> {
  const labelled = await labelledNamespaces(api);
  const path = namespace === undefined ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  return listAll(api, path, (object) => {
    const { phase, terminating, nodeName, namespace, name } = trimPod(object);
    if (terminating || phase === 'Succeeded' || phase === 'Failed') return undefined;
    const injected = object.metadata.annotations?.[STATUS] !== undefined;
    const place = { namespace, namespaceEnabled: true, ownNamespace: MESH_NAMESPACE };
    const judged = settings !== undefined && labelled.has(namespace);
    const stale = judged ? stalenessOf(object, place, settings) : undefined;
    if (!injected && stale === undefined) return undefined;
    return { namespace, name, nodeName, injected, stale, owner: ownerOf(object) };
  });
}

/** The controller of an object, by its ownerReferences. */
export function ownerOf({ metadata }: KubernetesObject): Owner | undefined {
  const { ownerReferences } = metadata as { ownerReferences?: readonly (Owner & { controller?: boolean })[] };
  const owner = ownerReferences?.find(({ controller }) => controller === true);
  return owner === undefined ? undefined : { apiVersion: owner.apiVersion, kind: owner.kind, name: owner.name };
}
