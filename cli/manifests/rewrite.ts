import { isDeepStrictEqual } from 'node:util';
import jsonPatch, { type Operation } from 'fast-json-patch';
import { STATUS } from '../../webhook/annotations.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import type { AddOperation } from '../../webhook/json-patch.ts';
import { asRecord } from '../../webhook/pod-view.ts';
import { decide } from '../decision.ts';
import { applyUninjection, planUninjection, writeReplaced } from '../uninjection.ts';
import { type Additions, planAdditions } from './additions.ts';
import { at, type Manifest, ManifestError, parseManifest } from './manifest.ts';
import { parsePointer, valueAt } from './pointers.ts';
import { planRemovals } from './removals.ts';
import { type Splice, SpliceConflict, spliceText } from './splices.ts';
import { nodeAt } from './tokens.ts';
import { findPods, type PodTemplate } from './workloads.ts';

/** What became of one pod or template. */
export interface PodReport {
  /** `file:line:column`. */
  readonly where: string;
  readonly workload: string;
  /** The containers that were changed; none where the pod stays as it is. */
  readonly containers: readonly string[];
  readonly reasons: readonly { readonly id: string; readonly text: string }[];
  readonly warnings: readonly string[];
}

export interface Rewritten {
  readonly text: string;
  readonly pods: readonly PodReport[];
}

export interface InjectOptions {
  readonly settings: InjectionSettings;
  /** For what says no namespace itself. */
  readonly namespace: string;
  readonly ownNamespace: string;
}

/**
 * Injects every pod and pod template of a manifest as the webhook would in a labelled namespace, and changes nothing else
 * of the text. Throws ManifestError: bad YAML, a container without a name, or a text that cannot be changed so that
 * only this becomes of it.
 */
export function injectManifest(file: string, text: string, options: InjectOptions): Rewritten {
  const manifest = parseManifest(file, text);
  const wanted = manifest.documents.map(({ value }) => structuredClone(value));
  const splices: Splice[] = [];
  const pods = findPods(manifest).map((template) => {
    refuseNameless(manifest, template);
    const namespace = template.namespace ?? options.namespace;
    const place = { namespace, namespaceEnabled: true, ownNamespace: options.ownNamespace };
    const { patch, reasons, warnings } = decide(template.pod, place, options.settings);
    const { additions, operations } = additionsOf(manifest, template, patch);
    splices.push(...additions.splices);
    const pod = valueAt(wanted[template.document], template.path);
    jsonPatch.applyPatch(pod, structuredClone(operations) as Operation[]);
    const containers = [...new Set(patch.flatMap(({ path }) => containerOf(template.pod, path)))];
    return { ...identify(manifest, template), containers, reasons, warnings };
  });
  return { text: changed(manifest, splices, wanted, []), pods };
}

/**
 * Takes out of every pod and pod template what injection put there, by its status annotation, and changes nothing else of the
 * text. Throws ManifestError: bad YAML, or a text that cannot be changed so that only this becomes of it.
 */
export function uninjectManifest(file: string, text: string): Rewritten {
  const manifest = parseManifest(file, text);
  const wanted = manifest.documents.map(({ value }) => structuredClone(value));
  const splices: Splice[] = [];
  const emptied: Emptied[] = [];
  const pods = findPods(manifest).map((template) => {
    const plan = planUninjection(template.pod);
    const report = { ...identify(manifest, template), warnings: [] };
    if (plan === undefined) {
      const reasons = [{ id: 'not_injected', text: `it has no annotation ${STATUS}` }];
      return { ...report, containers: [], reasons };
    }
    splices.push(...planRemovals(manifest, template, plan));
    applyUninjection(valueAt(wanted[template.document], template.path), plan);
    emptied.push(...Object.keys(plan.restore).map((pointer) => ({ template, pointer })));
    return { ...report, containers: plan.containers, reasons: [] };
  });
  return { text: changed(manifest, splices, wanted, emptied), pods };
}

/** The text with its changes, which must parse as what is wanted: text and patch are made apart, and this compares them. */
function changed(
  manifest: Manifest,
  splices: readonly Splice[],
  wanted: unknown[],
  emptied: readonly Emptied[],
): string {
  const { file, text } = manifest;
  if (splices.length === 0) return text;
  let rewritten: string;
  try {
    rewritten = spliceText(text, splices);
  } catch (error) {
    if (!(error instanceof SpliceConflict)) throw error;
    throw new ManifestError(`${at(file, text, error.offset)}: ${error.message}; write it out for each`);
  }
  const values = parsedAgain(manifest, rewritten);
  for (const { template, pointer } of emptied)
    keepEmpty(wanted[template.document], values[template.document], template, pointer);
  const differs = wanted.findIndex((value, i) => !isDeepStrictEqual(value, values[i]));
  if (differs >= 0 || values.length !== wanted.length) throw misfit(manifest, Math.max(differs, 0));
  return rewritten;
}

/** A value that becomes what it was before injection: some form of empty. */
interface Emptied {
  readonly template: PodTemplate;
  readonly pointer: string;
}

function keepEmpty(wanted: unknown, value: unknown, { path }: PodTemplate, pointer: string): void {
  const keys = [...path, ...parsePointer(pointer)];
  const found = valueAt(value, keys);
  const parent = asRecord(valueAt(wanted, keys.slice(0, -1))) as Record<string, unknown> | undefined;
  const isEmpty = found === null || (typeof found === 'object' && Object.keys(found).length === 0);
  if (isEmpty && parent !== undefined) parent[keys.at(-1) ?? ''] = found;
}

function parsedAgain(manifest: Manifest, text: string): unknown[] {
  try {
    return parseManifest(manifest.file, text).documents.map(({ value }) => value);
  } catch {
    throw misfit(manifest, 0);
  }
}

function misfit({ file, text, documents }: Manifest, document: number): ManifestError {
  const offset = documents[document]?.tree.contents?.range?.[0] ?? 0;
  return new ManifestError(
    `${at(file, text, offset)}: this document cannot be changed in place: containers that share a text by an alias or a merge key, and that would become different, are a common cause; write them out`,
  );
}

function additionsOf(
  manifest: Manifest,
  template: PodTemplate,
  patch: readonly AddOperation[],
): { readonly additions: Additions; readonly operations: readonly AddOperation[] } {
  const additions = planAdditions(manifest, template, patch);
  if (Object.keys(additions.was).length === 0) return { additions, operations: patch };
  const operations = patch.map(({ op, path, value }) => {
    const isStatus = typeof value === 'string' && parsePointer(path).at(-1) === STATUS;
    return { op, path, value: isStatus ? writeReplaced(value, additions.was) : withReplaced(value, additions.was) };
  });
  return { additions: planAdditions(manifest, template, operations), operations };
}

/** The value of an operation in which the status annotation, if it is there, also says what was replaced. */
function withReplaced(value: unknown, was: Readonly<Record<string, string>>): unknown {
  const record = asRecord(value);
  if (record === undefined) return value;
  if (record.annotations !== undefined) return { ...record, annotations: withReplaced(record.annotations, was) };
  const status = record[STATUS];
  return typeof status === 'string' ? { ...record, [STATUS]: writeReplaced(status, was) } : value;
}

function identify(manifest: Manifest, template: PodTemplate): Pick<PodReport, 'where' | 'workload'> {
  const document = manifest.documents[template.document];
  const node = document === undefined ? undefined : nodeAt(document, template.path);
  return { where: at(manifest.file, manifest.text, node?.range?.[0] ?? 0), workload: template.workload };
}

function refuseNameless(manifest: Manifest, template: PodTemplate): void {
  for (const list of ['containers', 'initContainers']) {
    const containers = valueAt(template.pod, ['spec', list]);
    if (!Array.isArray(containers)) continue;
    const nameless = containers.findIndex((container) => typeof asRecord(container)?.name !== 'string');
    if (nameless < 0) continue;
    const document = manifest.documents[template.document];
    const node = document === undefined ? undefined : nodeAt(document, [...template.path, 'spec', list, nameless]);
    const { where, workload } = identify(manifest, template);
    const place = node?.range == null ? where : at(manifest.file, manifest.text, node.range[0]);
    throw new ManifestError(`${place}: ${workload}: spec.${list}[${nameless}] has no name`);
  }
}

function containerOf(pod: unknown, pointer: string): string[] {
  const [spec, list = '', index = ''] = parsePointer(pointer);
  const name = spec === 'spec' ? valueAt(pod, ['spec', list, index, 'name']) : undefined;
  return typeof name === 'string' ? [name] : [];
}
