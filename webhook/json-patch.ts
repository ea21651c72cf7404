import { STATUS } from './annotations.ts';
import type { EnvInsertion, Injection } from './injection.ts';
import type { PodView } from './pod-view.ts';

/** The one operation of RFC 6902 that injection needs. */
export interface AddOperation {
  readonly op: 'add';
  /** JSON Pointer (RFC 6901). */
  readonly path: string;
  readonly value: unknown;
}

/**
 * An injection as a JSON Patch of the pod: only insertions, so that nothing of the user's is rewritten and no other
 * webhook's change is undone (a whole-list `add` would replace the list; a generic diff rewrites every shifted entry).
 * Gives no operation where the injection inserts nothing.
 */
export function patchOf(pod: PodView, injection: Injection): AddOperation[] {
  if (injection.status === undefined) return [];
  return [...envPatchOf(pod, injection), annotate(pod, injection.status)];
}

/** The same without the mark that an injection leaves in the pod's annotations. */
export function envPatchOf(pod: PodView, injection: Injection): AddOperation[] {
  return injection.insertions.flatMap((insertion) => envOperations(pod, insertion));
}

function envOperations(pod: PodView, insertion: EnvInsertion): AddOperation[] {
  const { list, index, at, env } = insertion;
  const path = `/spec/${list}/${index}/env`;
  const container = [...pod.containers, ...pod.ephemeralContainers].find((c) => c.list === list && c.index === index);
  const present = container?.env ?? [];
  if (present.length === 0) return [{ op: 'add', path, value: env }];
  return env.map((value, i) => ({ op: 'add', path: `${path}/${at + i}`, value }));
}

function annotate(pod: PodView, status: string): AddOperation {
  const annotations = { [STATUS]: status };
  if (!pod.hasMetadata) return { op: 'add', path: '/metadata', value: { annotations } };
  if (!pod.hasAnnotations) return { op: 'add', path: '/metadata/annotations', value: annotations };
  return { op: 'add', path: `/metadata/annotations/${escapePointer(STATUS)}`, value: status };
}

function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
