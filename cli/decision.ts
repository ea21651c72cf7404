import type { InjectionSettings } from '../webhook/injection.ts';
import { type Mutation, mutate } from '../webhook/mutation.ts';

/** Where a pod would be created. */
export interface PodPlace {
  readonly namespace: string;
  /** Whether its namespace asks for injection; undefined where that is not known. */
  readonly namespaceEnabled: boolean | undefined;
  /** The namespace of the mesh itself. */
  readonly ownNamespace: string;
}

/** What the webhook would do to a pod if it were created now: its own decision and patch. `pod` may be a template. */
export function decide(pod: unknown, place: PodPlace, settings: InjectionSettings): Mutation {
  const { namespace, namespaceEnabled, ownNamespace } = place;
  const what = { kind: '/v1/Pod', subResource: '', operation: 'CREATE', namespace, object: pod, oldObject: null };
  const review = { apiVersion: 'admission.k8s.io/v1', uid: '', dryRun: true, ...what };
  return mutate(review, { ownNamespace, namespaceEnabled, settings });
}
