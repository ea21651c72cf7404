import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** One file of the page, as it is served. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
}

const SOURCES = fileURLToPath(new URL('.', import.meta.url));
const TYPES = {
  'index.html': 'text/html; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const;

/**
 * The page's files, by name: `index.html` is for `/`, all others are asked for under `assets/`, beside it. All addresses in
 * them are relative, so that the page also works below an API server's proxy path that ends in a slash.
 * Bundled in memory from the sources, which takes esbuild and thus a clone. Rejects with esbuild's error where they do not bundle.
 */
export async function pageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: SOURCES,
    entryPoints: [
      { in: 'main.tsx', out: 'console' },
      { in: 'console.css', out: 'console' },
    ],
    outdir: SOURCES,
    write: false,
    bundle: true,
    minify: true,
    platform: 'browser',
    target: ['chrome120', 'firefox121', 'safari17.4'],
    format: 'iife',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'eof',
    logLevel: 'warning',
  });
  const files = new Map<string, PageFile>();
  for (const name of ['index.html', 'icon.svg'] as const) {
    files.set(name, { type: TYPES[name], body: await readFile(`${SOURCES}${name}`) });
  }
  for (const name of ['console.js', 'console.css'] as const) {
    const file = outputFiles.find(({ path }) => path.endsWith(name));
    if (file === undefined) throw new Error(`console/main.tsx: bundling it gave no ${name}`);
    files.set(name, { type: TYPES[name], body: Buffer.from(file.contents) });
  }
  return files;
}
