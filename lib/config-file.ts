import { LineCounter, parseDocument } from 'yaml';
import { type core, z } from 'zod';
import { nearestKey } from './nearest-key.ts';

/** One thing that is wrong with a config file: `where` is a path such as `routers[0].servers[0].port`. */
export interface ConfigProblem {
  readonly where: string;
  readonly what: string;
}

/** Everything that is wrong with one config file, found in one reading. `message` holds one line a problem. */
export class ConfigError extends Error {
  readonly file: string;
  readonly problems: readonly ConfigProblem[];

  constructor(file: string, problems: readonly ConfigProblem[]) {
    super(problems.map((p) => (p.where === '' ? `${file}: ${p.what}` : `${file}: ${p.where}: ${p.what}`)).join('\n'));
    this.name = 'ConfigError';
    this.file = file;
    this.problems = problems;
  }
}

/**
 * Reads a YAML (or JSON) text as a config of the given schema. `file` is only named in messages.
 * Throws ConfigError with every problem of the whole text: bad YAML, unknown keys (with the nearest known key), wrong
 * types, and whatever `check` adds across keys. Rule: linkerd 1.x refuses unknown properties at start; so do we.
 */
export function parseConfig<Schema extends z.ZodType>(
  file: string,
  text: string,
  schema: Schema,
  check: (config: z.output<Schema>) => ConfigProblem[] = () => [],
): z.output<Schema> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    throw new ConfigError(
      file,
      document.errors.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return { where: `line ${line}, column ${col}`, what: `not valid YAML: ${error.message.replaceAll('\n', ' ')}` };
      }),
    );
  }
  const parsed = schema.safeParse(document.toJS() ?? {});
  if (!parsed.success)
    throw new ConfigError(
      file,
      parsed.error.issues.flatMap((issue) => explainIssue(issue, schema)),
    );
  const problems = check(parsed.data);
  if (problems.length > 0) throw new ConfigError(file, problems);
  return parsed.data;
}

/** Writes a path as people write it: `routers[0].servers[1].port`. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

function explainIssue(issue: core.$ZodIssue, schema: z.ZodType): ConfigProblem[] {
  if (issue.code !== 'unrecognized_keys') return [{ where: formatPath(issue.path), what: issue.message }];
  const known = knownKeysAt(schema, issue.path);
  return issue.keys.map((key) => {
    const nearest = nearestKey(key, known);
    const hint = nearest === undefined ? `; known keys: ${known.join(', ')}` : `; did you mean "${nearest}"?`;
    return { where: formatPath([...issue.path, key]), what: `unknown key${hint}` };
  });
}

/** The keys that a schema knows at a path; for a union by `kind`, those of every member. */
function knownKeysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const here = unwrap(schema);
  const [head, ...rest] = path;
  if (here instanceof z.ZodUnion) {
    return [...new Set(here.options.flatMap((option) => knownKeysAt(option as z.ZodType, path)))];
  }
  if (head === undefined) return here instanceof z.ZodObject ? Object.keys(here.shape) : [];
  if (here instanceof z.ZodArray) return knownKeysAt(here.element as z.ZodType, rest);
  if (here instanceof z.ZodObject) {
    const next = here.shape[String(head)] as z.ZodType | undefined;
    return next === undefined ? [] : knownKeysAt(next, rest);
  }
  return [];
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return unwrap(schema.unwrap() as z.ZodType);
  }
  if (schema instanceof z.ZodPipe) return unwrap(schema.in as z.ZodType);
  return schema;
}
