import { STATUS } from '../webhook/annotations.ts';
import { containersOfStatus } from '../webhook/injection.ts';
import { asRecord, viewPod } from '../webhook/pod-view.ts';
import { formatPointer, parsePointer, valueAt } from './manifests/pointers.ts';

/** What takes an injection out of a pod again. Pointers (RFC 6901) are of the pod as it is, and do not move each other. */
export interface Uninjection {
  readonly remove: readonly string[];
  /** Values that injection found empty and replaced, and the texts that they were. */
  readonly restore: Readonly<Record<string, string>>;
  /** The containers that get rid of variables. */
  readonly containers: readonly string[];
}

/**
 * Reads from a pod's status annotation what injection added to it; undefined where the pod has none. Variables of those
 * names that are not there any more are left out; of two with one name the first is taken.
 */
export function planUninjection(pod: unknown): Uninjection | undefined {
  const { annotations, containers } = viewPod(pod);
  const status = annotations[STATUS];
  if (status === undefined) return undefined;
  const was = readReplaced(status);
  const added = containersOfStatus(annotations);
  const remove: string[] = [];
  const restore: Record<string, string> = {};
  const changed: string[] = [];
  const drop = (pointer: string) => {
    if (was[pointer] === undefined) remove.push(pointer);
    else restore[pointer] = was[pointer];
  };
  for (const { name, list, index, env = [] } of containers) {
    const names = new Set(added.get(name));
    const ours = env.flatMap((entry, i) => (names.delete(entry.name) ? [i] : []));
    const pointer = formatPointer(['spec', list, index, 'env']);
    if (ours.length === 0) continue;
    changed.push(name);
    if (ours.length === env.length) drop(pointer);
    else remove.push(...ours.map((i) => `${pointer}/${i}`));
  }
  dropStatus(pod, was, drop);
  return { remove, restore, containers: changed };
}

/** Whatever becomes empty with the annotation goes too: it came with it. */
function dropStatus(pod: unknown, was: Readonly<Record<string, string>>, drop: (pointer: string) => void): void {
  const metadata = asRecord(asRecord(pod)?.metadata) ?? {};
  const alone = Object.keys(asRecord(metadata.annotations) ?? {}).length === 1;
  if (!alone) drop(formatPointer(['metadata', 'annotations', STATUS]));
  else if (was['/metadata/annotations'] === undefined && Object.keys(metadata).length === 1) drop('/metadata');
  else drop('/metadata/annotations');
}

/** The status annotation of an injection with the texts that it replaced, if any. */
export function writeReplaced(status: string, was: Readonly<Record<string, string>>): string {
  return Object.keys(was).length === 0 ? status : JSON.stringify({ ...JSON.parse(status), was });
}

function readReplaced(status: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = Object.create(null);
  try {
    const was = asRecord(asRecord(JSON.parse(status))?.was) ?? {};
    for (const [pointer, text] of Object.entries(was)) if (typeof text === 'string') found[pointer] = text;
  } catch {
    // Not ours: nothing was replaced.
  }
  return found;
}

/** A copy of a pod as it would be had it not been injected; what was replaced becomes empty. */
export function withoutInjection(pod: unknown): unknown {
  const copy: unknown = structuredClone(pod);
  const plan = planUninjection(pod);
  if (plan !== undefined) applyUninjection(copy, plan);
  return copy;
}

/** Takes an injection out of a pod (changes it). What was replaced is taken out whole. */
export function applyUninjection(pod: unknown, { remove, restore }: Uninjection): void {
  // From the last one on, so that an item's removal moves none that is still to be removed.
  for (const pointer of [...remove, ...Object.keys(restore)].reverse()) removeAt(pod, pointer);
}

function removeAt(value: unknown, pointer: string): void {
  const keys = parsePointer(pointer);
  const last = keys.pop() ?? '';
  const parent = valueAt(value, keys);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else if (typeof parent === 'object' && parent !== null) delete (parent as Record<string, unknown>)[last];
}
