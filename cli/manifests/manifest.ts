import {
  type Document,
  isCollection,
  isDocument,
  parseAllDocuments,
  type ScalarTag,
  visit,
  type YAMLParseError,
} from 'yaml';

/** One thing that is wrong with a manifest, and where in its text; the message says `file:line:column: what`. */
export class ManifestError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ManifestError';
  }
}

/** A text of one or more documents, YAML or JSON, as it was read. */
export interface Manifest {
  /** Only named in messages. */
  readonly file: string;
  readonly text: string;
  readonly documents: readonly ManifestDocument[];
}

export interface ManifestDocument {
  readonly tree: Document.Parsed;
  /** The document's value as a JSON value of its own: what its aliases share is there once for each. */
  readonly value: unknown;
}

/** Aliases that a document may resolve; hostile texts grow without end (billion laughs). */
const MAX_ALIASES = 1000;

/**
 * Parses a text as kubectl does: YAML 1.1 with merge keys, of which JSON is a part. Throws ManifestError with one line an
 * error: bad YAML, and keys that stand twice in a map, of which it is not clear which is meant.
 */
export function parseManifest(file: string, text: string): Manifest {
  try {
    const trees = parseTrees(text);
    const faults = trees.flatMap((tree) => (tree.errors.length > 0 ? tree.errors.map(faultOf) : faultsOfNodes(tree)));
    if (faults.length > 0) {
      throw new ManifestError(faults.map(({ offset, what }) => `${at(file, text, offset)}: ${what}`).join('\n'));
    }
    return { file, text, documents: trees.map((tree) => ({ tree, value: jsonOf(tree, file, text) })) };
  } catch (error) {
    // The parser and what follows it go down by recursion.
    if (error instanceof RangeError) throw new ManifestError(`${file}:1:1: it is nested too deeply`);
    throw error;
  }
}

function parseTrees(text: string): Document.Parsed[] {
  const parsed = parseAllDocuments(text, {
    version: '1.1',
    // A plain date is a string to Kubernetes.
    customTags: (tags) => tags.filter((tag) => (tag as ScalarTag).tag !== 'tag:yaml.org,2002:timestamp'),
    keepSourceTokens: true,
    prettyErrors: false,
    logLevel: 'silent',
  });
  return [...parsed].filter((document) => isDocument(document));
}

interface Fault {
  readonly offset: number;
  readonly what: string;
}

function faultOf({ pos: [offset], message }: YAMLParseError): Fault {
  return { offset, what: message.replaceAll('\n', ' ') };
}

/** What the parser takes, and JSON cannot say. */
function faultsOfNodes(tree: Document.Parsed): Fault[] {
  const faults: Fault[] = [];
  visit(tree, {
    Pair: (_, { key }) => {
      if (!isCollection(key)) return;
      faults.push({
        offset: key.range?.[0] ?? 0,
        what: 'a key is a map or a list; if this is a template, render it first',
      });
    },
    Alias: (_, alias) => {
      if (alias.resolve(tree) !== undefined) return;
      faults.push({
        offset: alias.range?.[0] ?? 0,
        what: `alias *${alias.source} has no anchor &${alias.source} before it`,
      });
    },
  });
  return faults;
}

function jsonOf(tree: Document.Parsed, file: string, text: string): unknown {
  try {
    return JSON.parse(JSON.stringify(tree.toJS({ maxAliasCount: MAX_ALIASES }) ?? null));
  } catch (error) {
    if (error instanceof RangeError) throw error;
    throw new ManifestError(`${at(file, text, tree.range[0])}: ${error instanceof Error ? error.message : error}`);
  }
}

/** An offset in a text as people write it: `file:line:column`, both from 1. */
export function at(file: string, text: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return `${file}:${line}:${offset - before.lastIndexOf('\n')}`;
}
