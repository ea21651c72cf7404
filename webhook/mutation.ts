import type { AdmissionRequest } from './admission-review.ts';
import { INJECT, readWishes, STATUS } from './annotations.ts';
import { decideInjection, type Reason } from './eligibility.ts';
import { type InjectionSettings, planInjection } from './injection.ts';
import { type AddOperation, envPatchOf, patchOf } from './json-patch.ts';
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
  /** Names of the containers that get the proxy. */
  readonly containers: readonly string[];
}

const UNCHANGED = { decision: 'skip', patch: [], warnings: [], containers: [] } as const;

/** What a review asks, as far as it concerns injection: a pod's creation, or debug containers that join a running one. */
export type Occasion = 'creation' | 'ephemeralContainers';

/** Undefined where a review is about anything else; that is allowed as it is. */
export function occasionOf(request: AdmissionRequest): Occasion | undefined {
  const { kind, operation, subResource, object } = request;
  if (kind !== '/v1/Pod' || object === null || object === undefined) return undefined;
  if (operation === 'CREATE' && subResource === '') return 'creation';
  return operation === 'UPDATE' && subResource === 'ephemeralcontainers' ? 'ephemeralContainers' : undefined;
}

/** Whether the namespace's label has a say in a review: what a pod itself says, where it is valid, decides alone. */
export function namespaceMatters(request: AdmissionRequest): boolean {
  if (occasionOf(request) !== 'creation') return false;
  const metadata = asRecord(asRecord(request.object)?.metadata);
  return ![asRecord(metadata?.annotations)?.[INJECT], asRecord(metadata?.labels)?.[INJECT]].some(
    (wish) => wish === 'enabled' || wish === 'disabled',
  );
}

/**
 * Decides a review and makes its patch: eligibility, then injection, then the patch. Debug containers get what the pod's
 * own got: they are injected where the pod was, as its status annotation says, and nothing else of the pod is touched,
 * since an API server drops all else of such an update. Pure; throws nothing on any JSON.
 */
export function mutate(request: AdmissionRequest, context: MutationContext): Mutation {
  const occasion = occasionOf(request);
  if (occasion === undefined) {
    const text = `only the creation of Pods is of interest, not ${request.operation} of ${request.kind}`;
    return { ...UNCHANGED, reasons: [{ id: 'unsupported_kind', text }], pod: undefined };
  }
  const pod = viewPod(request.object);
  const wishes = readWishes(pod.annotations, pod.labels);
  const { namespace } = request;
  const { ownNamespace, settings } = context;
  const joining = occasion === 'ephemeralContainers';
  // A pod's own injection settled what its namespace has to say.
  const namespaceEnabled = joining ? true : context.namespaceEnabled;
  const decision = decideInjection(pod, wishes, { namespace, namespaceEnabled, ownNamespace });
  if (decision.verdict === 'skip') {
    const warnings =
      wishes.inject === 'enabled' ? decision.reasons.map((r) => `not injected: ${r.text}`) : wishes.problems;
    return { ...UNCHANGED, reasons: decision.reasons, warnings, pod };
  }
  if (joining && pod.annotations[STATUS] === undefined) {
    const text = 'the pod itself was not injected when it was created, so its debug containers are not';
    return { ...UNCHANGED, reasons: [{ id: 'pod_not_injected', text }], pod };
  }
  const present = joining ? viewPod(request.oldObject).ephemeralContainers.length : 0;
  if (joining && pod.ephemeralContainers.length <= present) {
    return { ...UNCHANGED, reasons: [{ id: 'already_injected', text: 'no debug container joins the pod' }], pod };
  }
  const injection = joining
    ? planInjection({ ...pod, containers: pod.ephemeralContainers.slice(present) }, wishes, namespace, settings)
    : planInjection(pod, wishes, namespace, settings);
  const patch = joining ? envPatchOf(pod, injection) : patchOf(pod, injection);
  return {
    decision: patch.length > 0 ? 'inject' : 'skip',
    reasons: patch.length > 0 ? [...decision.reasons, ...injection.reasons] : injection.reasons,
    patch,
    warnings: joining ? [] : injection.warnings,
    pod,
    containers: injection.insertions.map(({ container }) => container),
  };
}

/** The value of the namespace label as a decision. */
export function labelEnables(labels: Readonly<Record<string, string>> | undefined): boolean {
  return labels !== undefined && Object.hasOwn(labels, INJECT) && labels[INJECT] === 'enabled';
}
