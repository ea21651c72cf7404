import { constants, copyFile, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CommandError, type Host, messageOf } from '../host.ts';

export interface Source {
  /** As messages name it: `-` is standard input. */
  readonly file: string;
  readonly text: string;
}

/** What stands beside a file while it is replaced: its new text, and a copy of it as it was. */
const NEW = '.nodemesh';
const OLD = '.nodemesh-before';
const MANIFEST = /\.(ya?ml|json)$/;

/**
 * Reads manifests: files, folders with all that is in them and below (`.yaml`, `.yml`, `.json`, in the order of their
 * names; what begins with a dot is passed over), and `-` for standard input. Throws CommandError with one line for each
 * that cannot be read; a URL is not, and the line says what to do.
 */
export async function readSources(paths: readonly string[], host: Host): Promise<Source[]> {
  const problems: string[] = [];
  const noted = async <T>(path: string, read: () => Promise<T[]>): Promise<T[]> => {
    try {
      return await read();
    } catch (error) {
      problems.push(`${path}: ${messageOf(error)}`);
      return [];
    }
  };
  const sources: Source[] = [];
  for (const path of paths) {
    if (path === '-') {
      sources.push(...(await noted('stdin', async () => [{ file: 'stdin', text: decode(await host.read()) }])));
      continue;
    }
    for (const file of await noted(path, () => filesOf(path))) {
      sources.push(...(await noted(file, async () => [{ file, text: decode(await readFile(file)) }])));
    }
  }
  if (problems.length > 0) throw new CommandError(problems.join('\n'));
  return sources;
}

async function filesOf(path: string): Promise<string[]> {
  if (/^https?:\/\//.test(path))
    throw new Error('only files are read here; fetch it first: curl -fsSL <url> | nodemesh … -');
  if (!(await stat(path)).isDirectory()) return [path];
  const entries = (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
  const found: string[] = [];
  for (const name of entries) {
    const inner = join(path, name);
    if ((await stat(inner)).isDirectory()) found.push(...(await filesOf(inner)));
    else if (MANIFEST.test(name)) found.push(inner);
  }
  return found;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error('it is not UTF-8 text');
  }
}

/**
 * Puts new texts in place of files: all are written beside them first, and only then do they take the files' places by `move`;
 * where one cannot, those before it are put back. Throws CommandError; the files are then as they were, or it names those
 * that are not.
 */
export async function replaceFiles(changes: readonly Source[], move: typeof rename = rename): Promise<void> {
  // One file may have been named twice, by a link: its new text is the same both times.
  const texts = new Map<string, string>();
  const made: string[] = [];
  const moved: string[] = [];
  try {
    for (const { file, text } of changes) texts.set(await realpath(file), text);
    for (const [file, text] of texts) {
      await writeFile(`${file}${NEW}`, text, { mode: (await stat(file)).mode, flag: 'wx' });
      made.push(`${file}${NEW}`);
      await copyFile(file, `${file}${OLD}`, constants.COPYFILE_EXCL);
      made.push(`${file}${OLD}`);
    }
    for (const file of texts.keys()) {
      await move(`${file}${NEW}`, file);
      moved.push(file);
    }
  } catch (error) {
    const lost: string[] = [];
    for (const file of moved) await move(`${file}${OLD}`, file).catch(() => lost.push(file));
    const keep = new Set(lost.map((file) => `${file}${OLD}`));
    await removeAll(made.filter((file) => !keep.has(file)));
    if (lost.length === 0) throw new CommandError(`nothing was written: ${messageOf(error)}`);
    const kept = lost.map((file) => `${file} was written and cannot be put back; as it was it is in ${file}${OLD}`);
    throw new CommandError([messageOf(error), ...kept].join('\n'));
  }
  await removeAll(made);
}

async function removeAll(files: readonly string[]): Promise<void> {
  await Promise.all(files.map((file) => rm(file, { force: true })));
}

/** Texts as one stream of documents; one text alone stays as it is. */
export function joinTexts(texts: readonly string[]): string {
  return texts.reduce((all, text) => (all === '' ? text : `${all.replace(/\n?$/, '\n')}---\n${text}`), '');
}
