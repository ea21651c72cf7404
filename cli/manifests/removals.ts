import { isMap, isSeq } from 'yaml';
import type { Uninjection } from '../uninjection.ts';
import { beginsItsLine, lineAfter, lineStart } from './lines.ts';
import type { Manifest, ManifestDocument } from './manifest.ts';
import { parsePointer } from './pointers.ts';
import type { Splice } from './splices.ts';
import {
  type CollectionTokens,
  endOf,
  itemOf,
  nodeAt,
  ownerOf,
  pairAt,
  startOf,
  tokensOf,
  valueStart,
} from './tokens.ts';
import type { PodTemplate } from './workloads.ts';

/**
 * An injection's way out as changes of the text that the pod stands in: exactly the lines and items that planAdditions
 * put there, and values that were empty become the text that they were.
 */
export function planRemovals(manifest: Manifest, template: PodTemplate, { remove, restore }: Uninjection): Splice[] {
  const { text } = manifest;
  const document = manifest.documents[template.document];
  if (document === undefined) throw new Error('the template is of another manifest');
  const splices: Splice[] = [];
  for (const [tokens, indices] of itemsToRemove(document, template, remove)) {
    for (const [from, to] of runsOf(indices)) splices.push(...removalOf(text, tokens, from, to));
  }
  for (const [pointer, was] of Object.entries(restore)) {
    const { map, key } = parentOf(document, template, pointer);
    const pair = isMap(map) ? pairAt(document, map, key) : undefined;
    const item = pair === undefined ? undefined : itemOf(pair);
    if (item !== undefined) splices.push({ start: valueStart(item), end: endOf(item), text: was });
  }
  return splices;
}

/** By collection, which of its items go. */
function itemsToRemove(
  document: ManifestDocument,
  template: PodTemplate,
  pointers: readonly string[],
): Map<CollectionTokens, number[]> {
  const found = new Map<CollectionTokens, number[]>();
  const lists = new Map<unknown, CollectionTokens>();
  for (const pointer of pointers) {
    const { map: parent, key } = parentOf(document, template, pointer);
    const owner = isMap(parent) ? ownerOf(document, parent, key) : parent;
    const tokens = lists.get(owner) ?? tokensOf(owner);
    if (tokens === undefined) continue;
    lists.set(owner, tokens);
    const pair = isMap(owner) ? pairAt(document, owner, key) : undefined;
    const index = isSeq(owner)
      ? Number(key)
      : tokens.items.findIndex((item) => pair !== undefined && item === itemOf(pair));
    found.set(tokens, [...(found.get(tokens) ?? []), index]);
  }
  return found;
}

function parentOf(document: ManifestDocument, template: PodTemplate, pointer: string) {
  const keys = parsePointer(pointer);
  const key = keys.pop() ?? '';
  return { map: nodeAt(document, [...template.path, ...keys]), key };
}

/** Takes neighbouring items out: whole lines where they begin a line, else the texts with what parts them from the next. */
function removalOf(text: string, { token, items }: CollectionTokens, from: number, to: number): Splice[] {
  const [first, last, next, previous] = [from, to, to + 1, from - 1].map((i) => items[i]);
  if (first === undefined || last === undefined) return [];
  const start = startOf(first);
  if (token.type !== 'flow-collection' && beginsItsLine(text, start)) {
    return items
      .slice(from, to + 1)
      .map((item) => removal(lineStart(text, startOf(item)), lineAfter(text, endOf(item))));
  }
  if (next !== undefined) return [removal(start, startOf(next))];
  return [removal(previous === undefined ? start : endOf(previous), endOf(last))];
}

/** Neighbouring numbers as ranges, both ends included. */
function runsOf(indices: readonly number[]): [from: number, to: number][] {
  const runs: [number, number][] = [];
  for (const index of [...indices].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] + 1 === index) last[1] = index;
    else runs.push([index, index]);
  }
  return runs;
}

function removal(start: number, end: number): Splice {
  return { start, end, text: '' };
}
