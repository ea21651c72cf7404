import { isCollection, isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml';
import type { AddOperation } from '../../webhook/json-patch.ts';
import { flowText, itemLines, pairLines, scalarText } from './layout.ts';
import { aboveComments, beginsItsLine, lineAfter, lineStart, linesToPut } from './lines.ts';
import { at, type Manifest, type ManifestDocument, ManifestError } from './manifest.ts';
import { formatPointer, type Path, parsePointer } from './pointers.ts';
import type { Splice } from './splices.ts';
import {
  type CollectionTokens,
  endOf,
  hasColon,
  itemOf,
  nodeAt,
  pairAt,
  startOf,
  tokensOf,
  valueStart,
} from './tokens.ts';
import type { PodTemplate } from './workloads.ts';

export interface Additions {
  readonly splices: readonly Splice[];
  /** What stood where an empty value was replaced (`[]`, `{}`, nothing), by its JSON Pointer within the pod. */
  readonly was: Readonly<Record<string, string>>;
}

/**
 * The `add` operations of a pod's patch (RFC 6902) as changes of the text that the pod stands in. Lines and items are
 * put in between what is there, in the style of the collection that they join; only an empty or scalar value gives way
 * to another. Throws ManifestError where the text's form leaves no place for an addition.
 */
export function planAdditions(manifest: Manifest, template: PodTemplate, patch: readonly AddOperation[]): Additions {
  const document = manifest.documents[template.document];
  if (document === undefined) throw new Error('the template is of another manifest');
  const plan = new AdditionPlan(manifest, document, template.path);
  for (const operation of patch) plan.add(operation);
  return plan.finish();
}

/** Items put into one list: each is where it is in the list as it becomes, the others are of the list as it is. */
type Slot = { readonly from: number } | { readonly value: unknown };

class AdditionPlan {
  readonly #manifest: Manifest;
  readonly #document: ManifestDocument;
  readonly #base: Path;
  readonly #splices: Splice[] = [];
  readonly #was: Record<string, string> = {};
  readonly #lists = new Map<string, { readonly tokens: CollectionTokens; readonly slots: Slot[] }>();

  constructor(manifest: Manifest, document: ManifestDocument, base: Path) {
    this.#manifest = manifest;
    this.#document = document;
    this.#base = base;
  }

  add({ path, value }: AddOperation): void {
    const keys = parsePointer(path);
    const parent = this.#node(keys.slice(0, -1));
    const key = keys.at(-1) ?? '';
    if (isSeq(parent)) this.#addItem(keys.slice(0, -1), parent, Number(key), value);
    else this.#addKey(keys.slice(0, -1), key, value);
  }

  finish(): Additions {
    for (const { tokens, slots } of this.#lists.values()) this.#putItems(tokens, slots);
    return { splices: this.#splices, was: this.#was };
  }

  #addItem(list: Path, node: Node, index: number, value: unknown): void {
    const pointer = formatPointer(list);
    let known = this.#lists.get(pointer);
    if (known === undefined) {
      const tokens = this.#tokens(node, list);
      known = { tokens, slots: tokens.items.map((_, from) => ({ from })) };
      this.#lists.set(pointer, known);
    }
    known.slots.splice(index, 0, { value });
  }

  #addKey(parents: Path, key: string, value: unknown): void {
    const parent = this.#node(parents);
    // What is empty gives way as a whole, together with what is put into it.
    if (!isMap(parent) || parent.items.length === 0) {
      const own = parents.at(-1);
      if (own === undefined) this.#refuse(parents, 'it is empty');
      this.#addKey(parents.slice(0, -1), String(own), { [key]: value });
      return;
    }
    const pair = pairAt(this.#document, parent, key);
    if (pair === undefined) this.#splices.push(this.#newPair(parents, parent, key, value));
    else this.#replace([...parents, key], pair, value);
  }

  #replace(path: Path, pair: Pair, value: unknown): void {
    const { text } = this.#manifest;
    const item = itemOf(pair);
    const node = this.#node(path);
    const empty =
      node === undefined || (isScalar(node) && node.value === null) || (isCollection(node) && node.items.length === 0);
    if (item === undefined || !hasColon(item) || (!empty && !isScalar(node)))
      this.#refuse(path, 'its form is not understood');
    const [start, end] = [valueStart(item), endOf(item)];
    if (empty) this.#was[formatPointer(path)] = text.slice(start, end);
    this.#splices.push({ start, end, text: ` ${typeof value === 'string' ? scalarText(value) : flowText(value)}` });
  }

  #newPair(parents: Path, parent: YAMLMap, key: string, value: unknown): Splice {
    const { text } = this.#manifest;
    const { token, items } = this.#tokens(parent, parents);
    const [first] = items;
    if (first === undefined || first.key == null || first.start.some(({ type }) => type === 'explicit-key-ind')) {
      this.#refuse(parents, 'its first key is not a simple one');
    }
    const start = startOf(first);
    if (token.type === 'flow-collection') {
      return insertion(start, `${JSON.stringify(key)}: ${flowText(value)},${gapIn(text, token.offset, start) || ' '}`);
    }
    const column = ' '.repeat(start - lineStart(text, start));
    const lines = pairLines(key, value, this.#listIndent()).map((line) => column + line);
    const named = items.find((item) => item.key != null && 'source' in item.key && item.key.source === 'name');
    const after = named ?? (beginsItsLine(text, start) ? undefined : first);
    const offset = after === undefined ? aboveComments(text, lineStart(text, start)) : lineAfter(text, endOf(after));
    return insertion(offset, linesToPut(text, offset, lines));
  }

  #putItems({ token, items }: CollectionTokens, slots: readonly Slot[]): void {
    const { text } = this.#manifest;
    const starts = items.map(startOf);
    const [first = token.offset] = starts;
    if (token.type !== 'flow-collection' && !beginsItsLine(text, first)) {
      throw new ManifestError(`${at(this.#manifest.file, text, first)}: this list does not begin on a line of its own`);
    }
    const column = ' '.repeat(first - lineStart(text, first));
    let before = 0;
    let group: unknown[] = [];
    for (const slot of [...slots, { from: items.length }]) {
      if ('value' in slot) {
        group.push(slot.value);
        continue;
      }
      const previous = items[before - 1];
      if (group.length > 0 && token.type === 'flow-collection') {
        const gap = gapIn(text, token.offset, first) || ' ';
        const next = starts[before];
        if (next !== undefined) {
          this.#splices.push(insertion(next, group.map((value) => `${flowText(value)},${gap}`).join('')));
        } else if (previous !== undefined) {
          this.#splices.push(insertion(endOf(previous), group.map((value) => `,${gap}${flowText(value)}`).join('')));
        }
      } else if (group.length > 0) {
        const lines = group.flatMap((value) => itemLines(value, this.#listIndent())).map((line) => column + line);
        const offset =
          previous === undefined ? aboveComments(text, lineStart(text, first)) : lineAfter(text, endOf(previous));
        this.#splices.push(insertion(offset, linesToPut(text, offset, lines)));
      }
      group = [];
      before = slot.from + 1;
    }
  }

  /** How far the manifest moves its lists in, by that of the containers. */
  #listIndent(): number {
    const { text } = this.#manifest;
    const spec = this.#node(['spec']);
    const pair = isMap(spec) ? pairAt(this.#document, spec, 'containers') : undefined;
    const item = pair === undefined ? undefined : itemOf(pair);
    const [first] = tokensOf(this.#node(['spec', 'containers']))?.items ?? [];
    if (item === undefined || first === undefined) return 0;
    const column = (offset: number) => offset - lineStart(text, offset);
    return Math.min(Math.max(column(startOf(first)) - column(startOf(item)), 0), 4);
  }

  #node(path: Path): Node | undefined {
    return nodeAt(this.#document, [...this.#base, ...path]);
  }

  #tokens(node: Node, path: Path): CollectionTokens {
    return tokensOf(node) ?? this.#refuse(path, 'its form is not understood');
  }

  #refuse(path: Path, why: string): never {
    const { file, text } = this.#manifest;
    const offset = this.#node(path)?.range?.[0] ?? this.#node([])?.range?.[0] ?? 0;
    throw new ManifestError(
      `${at(file, text, offset)}: nothing can be added to ${formatPointer(path) || 'this object'}: ${why}; write it out as a map`,
    );
  }
}

function insertion(offset: number, text: string): Splice {
  return { start: offset, end: offset, text };
}

/** The space between a flow collection's bracket and its first item, which its writer would also put between items. */
function gapIn(text: string, bracket: number, first: number): string {
  const gap = text.slice(bracket + 1, first);
  return /^\s*$/.test(gap) ? gap : '';
}
