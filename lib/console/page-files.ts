import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';

const TYPES: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'console.js': 'text/javascript; charset=utf-8',
  'console.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
};

/** One file of the console's page, ready to be sent. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
  readonly br: Buffer;
  readonly gzip: Buffer;
  /** Without quotes and coding. */
  readonly tag: string;
}

export type PageFiles = ReadonlyMap<string, PageFile>;

/** Bytes by file name. */
type LoadPage = () => Promise<ReadonlyMap<string, Buffer>>;

/** The page, read at first use and kept. A load that failed is tried again by the next request. */
export class Page {
  readonly #load: LoadPage;
  #files: Promise<PageFiles> | undefined;

  constructor(load: LoadPage = loadPage) {
    this.#load = load;
  }

  /** Rejects with an Error that says what to do. */
  files(): Promise<PageFiles> {
    this.#files ??= this.#load()
      .then(ready)
      .catch((error: unknown) => {
        this.#files = undefined;
        throw error;
      });
    return this.#files;
  }
}

/** As `npm run build` laid them beside the bundle that this is part of; in a clone built from console/, which takes esbuild. */
async function loadPage(): Promise<ReadonlyMap<string, Buffer>> {
  if (!import.meta.filename.endsWith('.ts')) {
    const names = Object.keys(TYPES);
    const bodies = await Promise.all(names.map((name) => readFile(new URL(`./console/${name}`, import.meta.url))));
    return new Map(names.map((name, i) => [name, bodies[i] as Buffer]));
  }
  const sources = new URL('../../console/page.ts', import.meta.url).href;
  const { pageFiles } = (await import(sources)) as {
    pageFiles(): Promise<ReadonlyMap<string, { readonly body: Buffer }>>;
  };
  return new Map([...(await pageFiles())].map(([name, { body }]) => [name, body]));
}

async function ready(bodies: ReadonlyMap<string, Buffer>): Promise<PageFiles> {
  const files = [...bodies].map(async ([name, body]): Promise<[string, PageFile]> => {
    const tag = createHash('sha256').update(body).digest('base64url').slice(0, 22);
    const [br, zipped] = await Promise.all([promisify(brotliCompress)(body), promisify(gzip)(body)]);
    return [name, { type: TYPES[name] ?? 'application/octet-stream', body, br, gzip: zipped, tag }];
  });
  return new Map(await Promise.all(files));
}
