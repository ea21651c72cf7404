/**
 * Part of `npm run lint`: checks which folder imports which (ARCHITECTURE.md), and who may touch the process. Prints one line a
 * fault and exits 1 if there is any.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What each folder's sources may import from, beside themselves. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  console: ['lib'], // what it is shown, as types
  webhook: ['lib'],
  daemon: ['lib'],
  cli: ['lib', 'webhook', 'daemon', 'scripts', 'package.json'], // `nodemesh playground` starts scripts/playground
  scripts: ['lib', 'console', 'webhook', 'daemon'],
  manifests: [], // the examples know nothing of nodemesh
};

/** Processes and scripts start here, and what is preloaded into one; everything else is handed what it needs. */
const ENTRY_POINTS = [
  /^(?:daemon|webhook|cli|scripts\/\w+)\/main\.ts$/,
  /^scripts\/[^/]+\.ts$/,
  /^scripts\/playground\/exit-with-parent\.ts$/,
  /^scripts\/bench\/(?:api-server|baseline|generator-process|soak-load|upstream|failures\/application)\.ts$/, // processes of their own
  /^manifests\/examples\/[^/]+\.ts$/,
];

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g;
const PROCESS =
  /(?:\bfrom\s+'node:process'|(?<![\w.'"`/-])process\.(?:env|argv|exit|exitCode|on|once|kill|stdout|stderr|cwd|pid)\b)/;

const faults: string[] = [];
for (const folder of Object.keys(ARROWS)) {
  const files = await readdir(join(ROOT, folder), { recursive: true }).catch(() => []);
  for (const file of files.filter((name) => /\.tsx?$/.test(name)).sort()) {
    const path = join(folder, file);
    const text = withoutComments(await readFile(join(ROOT, path), 'utf8'));
    checkImports(path, folder, text);
    if (!ENTRY_POINTS.some((entry) => entry.test(path)) && PROCESS.test(text)) {
      faults.push(`${path}: uses process; only an entry point (main.ts) does, and hands on what others need`);
    }
  }
}
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;

function checkImports(path: string, folder: string, text: string): void {
  for (const [, specifier = ''] of text.matchAll(IMPORT)) {
    if (!specifier.startsWith('.')) continue;
    const target = relative(ROOT, join(ROOT, dirname(path), specifier));
    const [to = ''] = target.split('/');
    if (to !== folder && !ARROWS[folder]?.includes(to)) {
      faults.push(
        `${path}: imports ${target}; ${folder}/ may import ${[folder, ...(ARROWS[folder] ?? [])].join(', ')}`,
      );
    }
  }
}

/** Comments may speak of anything. Strings that hold `//` (URLs) lose their end, which neither check looks for. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '');
}
