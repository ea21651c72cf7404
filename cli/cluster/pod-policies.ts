import { MeshPolicySet } from '../../daemon/policy/mesh-policy.ts';
import { compilePolicy, NetworkPolicySet } from '../../daemon/policy/network-policy.ts';
import { unmetRequirement } from '../../lib/kubernetes/label-selector.ts';
import { trimMeshPolicy } from '../../lib/kubernetes/mesh-policy.ts';
import { trimNetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import { trimPod } from '../../lib/kubernetes/pod.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../../lib/kubernetes/types.ts';
import { messageOf } from '../host.ts';
import { listAll } from './list-all.ts';

/**
 * One line on the policies that select a pod, as daemons find them, by direction: what none selects is open. Where they may not be
 * read, the line says so.
 */
export async function policyLine(api: KubernetesApi, object: KubernetesObject): Promise<string> {
  const pod = trimPod(object);
  const namespace = encodeURIComponent(pod.namespace);
  const list = <T>(group: string, plural: string, trim: (object: KubernetesObject) => T | undefined) =>
    listAll(api, `${group}/namespaces/${namespace}/${plural}`, trim);
  if (pod.hostNetwork) return 'Policies: none is about pods on the network of their node';
  try {
    const policies = await list('/apis/networking.k8s.io/v1', 'networkpolicies', trimNetworkPolicy);
    const meshPolicies = await orNone(list('/apis/nodemesh.dev/v1alpha1', 'meshpolicies', trimMeshPolicy));
    const byService = meshPolicies.some(({ services }) => services !== undefined);
    const serving = byService ? await list('/api/v1', 'services', (service) => serviceOf(service, pod.labels)) : [];
    const set = new NetworkPolicySet(policies.map(compilePolicy));
    const isolating = (direction: 'ingress' | 'egress') => set.isolating(pod, direction).map(({ key }) => key);
    const requests = new MeshPolicySet(meshPolicies).selecting(pod, (service) => serving.includes(service));
    const parts = [
      `ingress ${named('NetworkPolicy', isolating('ingress'))}`,
      `egress ${named('NetworkPolicy', isolating('egress'))}`,
      `requests ${named('MeshPolicy', requests.map(({ namespace, name }) => `${namespace}/${name}`).sort())}`,
    ];
    return `Policies that select it: ${parts.join('; ')}`;
  } catch (error) {
    return `Policies that select it could not be read: ${messageOf(error)}`;
  }
}

function named(kind: string, keys: readonly string[]): string {
  return keys.length === 0 ? 'none' : `${kind} ${keys.join(', ')}`;
}

interface ApiService extends KubernetesObject {
  readonly spec?: { readonly selector?: Readonly<Record<string, string>> | null };
}

/** `namespace/name` of a Service whose selector takes a pod of those labels. */
function serviceOf({ metadata, spec }: ApiService, labels: Readonly<Record<string, string>>): string | undefined {
  const { selector } = spec ?? {};
  if (selector == null || Object.keys(selector).length === 0) return undefined;
  const matches = unmetRequirement({ matchLabels: selector }, labels) === undefined;
  return matches ? `${metadata.namespace ?? ''}/${metadata.name}` : undefined;
}

/** A cluster without the definition of MeshPolicy has none. */
async function orNone<T>(listed: Promise<T[]>): Promise<T[]> {
  try {
    return await listed;
  } catch (error) {
    if (error instanceof KubernetesError && error.status === 404) return [];
    throw error;
  }
}
