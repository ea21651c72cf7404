import {
  type CST,
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml';
import type { ManifestDocument } from './manifest.ts';
import type { Path } from './pointers.ts';

/** A collection's own token, and its items' tokens without what is only space or comment. */
export interface CollectionTokens {
  readonly token: CST.BlockMap | CST.BlockSequence | CST.FlowCollection;
  readonly items: readonly CST.CollectionItem[];
}

/**
 * The node that a path leads to: aliases are followed to what they stand for, and a key that a map does not have itself is
 * looked for in what it merges (`<<`). Undefined where the path leads nowhere.
 */
export function nodeAt(document: ManifestDocument, path: Path): Node | undefined {
  let node = resolved(document, document.tree.contents);
  for (const key of path) {
    const next: unknown = isSeq(node)
      ? node.items[Number(key)]
      : isMap(node)
        ? pairAt(document, node, key)?.value
        : undefined;
    node = resolved(document, next);
  }
  return node;
}

/** The pair of a key in a map, or in what the map merges. */
export function pairAt(document: ManifestDocument, map: YAMLMap, key: string | number): Pair | undefined {
  const owner = ownerOf(document, map, key);
  return owner === undefined ? undefined : ownPair(owner, key);
}

/** The map that has a key itself: this one, or one that it merges. */
export function ownerOf(document: ManifestDocument, map: YAMLMap, key: string | number): YAMLMap | undefined {
  if (ownPair(map, key) !== undefined) return map;
  for (const pair of map.items) {
    if (!isScalar(pair.key) || pair.key.source !== '<<') continue;
    const merged = resolved(document, pair.value);
    for (const source of isSeq(merged) ? merged.items.map((item) => resolved(document, item)) : [merged]) {
      const owner = isMap(source) ? ownerOf(document, source, key) : undefined;
      if (owner !== undefined) return owner;
    }
  }
  return undefined;
}

function ownPair(map: YAMLMap, key: string | number): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key));
}

function resolved(document: ManifestDocument, node: unknown): Node | undefined {
  if (isAlias(node)) return node.resolve(document.tree);
  return isCollection(node) || isScalar(node) ? node : undefined;
}

/** The tokens of a map or list; undefined for any other node. */
export function tokensOf(node: Node | undefined): CollectionTokens | undefined {
  if (!isCollection(node)) return undefined;
  const token = node.srcToken;
  if (token?.type !== 'block-map' && token?.type !== 'block-seq' && token?.type !== 'flow-collection') return undefined;
  return { token, items: token.items.filter((item) => firstToken(item) !== undefined) };
}

/** The token of a pair: its key, what is between, and its value. */
export function itemOf(pair: Pair): CST.CollectionItem | undefined {
  return isPair(pair) ? pair.srcToken : undefined;
}

const BLANK = new Set(['space', 'comment', 'newline', 'comma']);

/** Where an item begins: its dash or key, with an anchor or tag before it; past commas, spaces and comments. */
export function startOf(item: CST.CollectionItem): number {
  return firstToken(item)?.offset ?? 0;
}

function firstToken(item: CST.CollectionItem): { readonly offset: number } | undefined {
  return item.start.find((token) => !BLANK.has(token.type)) ?? item.key ?? item.sep?.find(isMeant) ?? item.value;
}

/** Where an item ends, without the spaces and comments after it. A block scalar ends at the start of the next line. */
export function endOf(item: CST.CollectionItem): number {
  const { value } = item;
  if (isWritten(value)) return endOfToken(value);
  return valueStart(item);
}

/** Where the value of a pair may begin: after the colon and the value's anchor or tag. For a list's item, after the dash. */
export function valueStart(item: CST.CollectionItem): number {
  const before = item.sep?.findLast(isMeant);
  if (before !== undefined) return before.offset + before.source.length;
  if (item.key != null) return endOfToken(item.key);
  const dash = item.start.findLast(isMeant);
  return dash === undefined ? 0 : dash.offset + dash.source.length;
}

/** Whether a pair has its colon; a key alone in a flow map has none. */
export function hasColon(item: CST.CollectionItem): boolean {
  return item.sep?.some((token) => token.type === 'map-value-ind') === true;
}

function isMeant(token: CST.SourceToken): boolean {
  return !BLANK.has(token.type);
}

/** An empty value may have a token without text. */
function isWritten(token: CST.Token | null | undefined): token is CST.Token {
  return token != null && !('source' in token && token.source === '' && token.type !== 'block-scalar');
}

function endOfToken(token: CST.Token): number {
  switch (token.type) {
    case 'block-map':
    case 'block-seq': {
      const last = token.items.findLast((item) => firstToken(item) !== undefined);
      return last === undefined ? token.offset : endOf(last);
    }
    case 'flow-collection': {
      const close = token.end.find((end) => end.type === 'flow-map-end' || end.type === 'flow-seq-end');
      return close === undefined ? token.offset : close.offset + close.source.length;
    }
    case 'block-scalar': {
      const header = token.props.at(-1);
      const start =
        header === undefined ? token.offset : header.offset + ('source' in header ? header.source.length : 0);
      return start + token.source.length;
    }
    default:
      return token.offset + ('source' in token ? token.source.length : 0);
  }
}
