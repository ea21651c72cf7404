import type { AdmissionRequest } from './admission-review.ts';
import { INJECT, readWishes } from './annotations.ts';
import { decideInjection, type Reason } from './eligibility.ts';
import { type InjectionSettings, planInjection } from './injection.ts';
import { type AddOperation, patchOf } from './json-patch.ts';
import { asRecord, type PodView, viewPod } from './pod-view.ts';

/** What is known when a review is answered, apart from the review. */
export interface MutationContext {
  readonly ownNamespace: string;
  /** Whether the pod's namespace carries the label; undefined where that is not known. */
  readonly namespaceEnabled: boolean | undefined;
  readonly settings: InjectionSettings;
}

export interface Mutation {
  readonly decision: 'inject' | 'skip';
  /** The first one is the one that is counted. */
  readonly reasons: readonly Reason[];
  readonly patch: readonly AddOperation[];
  readonly warnings: readonly string[];
  readonly pod: PodView | undefined;
}

/** Whether a review is about a pod that is being created; everything else is allowed as it is. */
export function isPodCreation(request: AdmissionRequest): boolean {
  const { kind, operation, subResource, object } = request;
  return kind === '/v1/Pod' && operation === 'CREATE' && subResource === '' && object !== null && object !== undefined;
}

/** Whether the namespace's label has a say in a review: a pod's own annotation, where it is valid, decides alone. */
export function namespaceMatters(request: AdmissionRequest): boolean {
  if (!isPodCreation(request)) return false;
  const wish = asRecord(asRecord(asRecord(request.object)?.metadata)?.annotations)?.[INJECT];
  return wish !== 'enabled' && wish !== 'disabled';
}

/** Decides a review and makes its patch: eligibility, then injection, then the patch. Pure; throws nothing on any JSON. */
export function mutate(request: AdmissionRequest, context: MutationContext): Mutation {
  if (!isPodCreation(request)) {
    const text = `only the creation of Pods is of interest, not ${request.operation} of ${request.kind}`;
    return { decision: 'skip', reasons: [{ id: 'unsupported_kind', text }], patch: [], warnings: [], pod: undefined };
  }
  const pod = viewPod(request.object);
  const wishes = readWishes(pod.annotations);
  const { namespace } = request;
  const { ownNamespace, namespaceEnabled, settings } = context;
  const decision = decideInjection(pod, wishes, { namespace, namespaceEnabled, ownNamespace });
  if (decision.verdict === 'skip') {
    const warnings =
      wishes.inject === 'enabled' ? decision.reasons.map((r) => `not injected: ${r.text}`) : wishes.problems;
    return { decision: 'skip', reasons: decision.reasons, patch: [], warnings, pod };
  }
  const injection = planInjection(pod, wishes, namespace, settings);
  const patch = patchOf(pod, injection);
  return {
    decision: patch.length > 0 ? 'inject' : 'skip',
    reasons: patch.length > 0 ? [...decision.reasons, ...injection.reasons] : injection.reasons,
    patch,
    warnings: injection.warnings,
    pod,
  };
}

/** The value of the namespace label as a decision. */
export function labelEnables(labels: Readonly<Record<string, string>> | undefined): boolean {
  return labels !== undefined && Object.hasOwn(labels, INJECT) && labels[INJECT] === 'enabled';
}
