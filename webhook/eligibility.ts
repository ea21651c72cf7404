import { INJECT, type PodWishes } from './annotations.ts';
import type { PodView } from './pod-view.ts';

/** Why a pod, or one container of it, was injected or not. Ids are stable: metrics, logs and people's scripts use them. */
export type ReasonId =
  | 'namespace_enabled'
  | 'namespace_unknown'
  | 'pod_enabled'
  | 'pod_disabled'
  | 'not_enabled'
  | 'invalid_annotation'
  | 'host_network'
  | 'control_plane_namespace'
  | 'system_namespace'
  | 'mirror_pod'
  | 'windows'
  | 'virtual_node'
  | 'no_containers'
  | 'unsupported_kind'
  | 'already_injected'
  | 'pod_not_injected'
  | 'container_has_proxy'
  | 'container_has_env_from'
  | 'container_skipped'
  | 'container_invalid'
  | 'variable_conflict';

export interface Reason {
  readonly id: ReasonId;
  readonly text: string;
}

export interface Decision {
  readonly verdict: 'inject' | 'skip';
  /** Every reason that holds, never only the first; for `inject`, what asked for it. */
  readonly reasons: readonly Reason[];
}

/** Where the pod is being created. */
export interface Place {
  readonly namespace: string;
  /** Whether the namespace carries `mesh-inject=enabled`; undefined where that is not known. */
  readonly namespaceEnabled: boolean | undefined;
  /** The namespace of the mesh itself. */
  readonly ownNamespace: string;
}

/**
 * Decides whether a pod joins the mesh. What the pod says (annotation or label) wins over the namespace's label; nothing wins
 * over host network, system namespaces and the mesh's own.
 *
 * A namespace that is not known counts as labelled: the question is open only for reviews that came through the entry
 * whose namespaceSelector takes labelled namespaces, so the API server has matched the label, with a fresher eye than ours.
 */
export function decideInjection(pod: PodView, wishes: PodWishes, place: Place): Decision {
  const obstacles = [...obstaclesOf(pod, place), ...wishes.problems.map((text) => reason('invalid_annotation', text))];
  const wish = wishOf(wishes, place);
  if (wish.verdict === 'skip') obstacles.push(reason(wish.id, wish.text));
  if (obstacles.length > 0) return { verdict: 'skip', reasons: obstacles };
  return { verdict: 'inject', reasons: [reason(wish.id, wish.text)] };
}

function wishOf(wishes: PodWishes, place: Place): Reason & { readonly verdict: 'inject' | 'skip' } {
  if (wishes.inject === 'disabled') {
    return { verdict: 'skip', id: 'pod_disabled', text: `the pod itself says ${INJECT}: disabled` };
  }
  if (wishes.inject === 'enabled') {
    return { verdict: 'inject', id: 'pod_enabled', text: `the pod itself says ${INJECT}: enabled` };
  }
  const namespace = `namespace ${place.namespace}`;
  if (place.namespaceEnabled === undefined) {
    return {
      verdict: 'inject',
      id: 'namespace_unknown',
      text: `${namespace} is not known here yet; the API server matched its label`,
    };
  }
  return place.namespaceEnabled
    ? { verdict: 'inject', id: 'namespace_enabled', text: `${namespace} has label ${INJECT}=enabled` }
    : {
        verdict: 'skip',
        id: 'not_enabled',
        text: `neither ${namespace} (label ${INJECT}=enabled) nor the pod (label ${INJECT}=enabled) asks for it`,
      };
}

function obstaclesOf(pod: PodView, place: Place): Reason[] {
  const reasons: Reason[] = [];
  if (pod.hostNetwork) {
    reasons.push(
      reason('host_network', "the pod uses its host's network, where the mesh cannot tell it from the host"),
    );
  }
  if (place.namespace === place.ownNamespace) {
    reasons.push(reason('control_plane_namespace', `namespace ${place.namespace} is the mesh's own`));
  }
  if (place.namespace.startsWith('kube-')) {
    reasons.push(reason('system_namespace', `namespace ${place.namespace} belongs to Kubernetes itself`));
  }
  if (pod.mirror)
    reasons.push(reason('mirror_pod', 'the pod mirrors a static pod, which its kubelet alone can change'));
  if (pod.windows) reasons.push(reason('windows', 'the pod runs on Windows, where there is no daemon'));
  if (pod.virtualNode !== undefined) {
    reasons.push(reason('virtual_node', `the pod is meant for a node without a daemon (${pod.virtualNode})`));
  }
  if (!pod.containers.some((c) => c.list === 'containers')) {
    reasons.push(reason('no_containers', 'the pod has no containers'));
  }
  return reasons;
}

function reason(id: ReasonId, text: string): Reason {
  return { id, text };
}
