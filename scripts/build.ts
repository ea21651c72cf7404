/**
 * `npm run build`: bundles each process to one file in dist/app (the command to one and its parts), which the image carries as /app. Bundles start in a fraction
 * of the time and memory that the same code takes from node_modules.
 */
import { copyFile, mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { pageFiles } from '../console/page.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const OUT = `${ROOT}dist/app`;

/** Bundle → where its source starts. */
const BUNDLES = {
  daemon: 'daemon/main.ts',
  worker: 'daemon/workers/worker.ts', // a thread of the daemon's
  webhook: 'webhook/main.ts',
  nodemesh: 'cli/main.ts',
  helloworld: 'manifests/examples/helloworld.ts',
  'kubernetes-client': '@kubernetes/client-node',
  'otlp-exporter': 'daemon/telemetry/tracing/otlp-exporter.ts',
};

/** Some dependencies are CommonJS and `require` Node's own modules, which an ES module has to provide by itself. */
const REQUIRE = `import { createRequire as __createRequire } from 'node:module';
const require = __createRequire(import.meta.url);`;

/** What is imported on demand stays a file of its own, so that nobody parses 20 MB who does not need them. */
const ownBundles: Plugin = {
  name: 'own-bundles',
  setup({ onResolve }) {
    onResolve({ filter: /^@kubernetes\/client-node$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './kubernetes-client.js', external: true } : undefined,
    );
    onResolve({ filter: /\/otlp-exporter\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './otlp-exporter.js', external: true } : undefined,
    );
    onResolve({ filter: /^\.\.\/\w+\/main\.ts$/ }, ({ path }) => ({
      path: `./${path.split('/')[1]}.js`,
      external: true,
    }));
    // The playground starts processes from the sources: it is for a clone, and not in the image.
    onResolve({ filter: /playground\/main\.ts$/ }, ({ path }) => ({ path, external: true }));
  },
};

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
const { nodemesh, ...processes } = BUNDLES;
const options: BuildOptions = {
  absWorkingDir: ROOT,
  outdir: OUT,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  plugins: [ownBundles],
  banner: { js: REQUIRE },
  sourcemap: false,
  legalComments: 'linked',
  logLevel: 'warning',
};
await build({ ...options, entryPoints: processes });
// The command reads only the parts that a call needs: help would else wait for the parsing of all.
await build({ ...options, entryPoints: { nodemesh }, splitting: true, chunkNames: 'nodemesh-[name]-[hash]' });
// `nodemesh explain` reads the webhook's entries.
const ENTRIES = 'mutating-webhook-configuration.yaml';
await copyFile(`${ROOT}manifests/base/webhook/${ENTRIES}`, `${OUT}/${ENTRIES}`);
// The console's page, where lib/console/page-files.ts looks for it.
await mkdir(`${OUT}/console`);
for (const [name, { body }] of await pageFiles()) await writeFile(`${OUT}/console/${name}`, body);
await writeFile(`${OUT}/package.json`, '{"type": "module"}\n');
for (const name of Object.keys(BUNDLES)) {
  const { size } = await stat(`${OUT}/${name}.js`);
  console.log(`dist/app/${name}.js  ${Math.round(size / 1024)} KiB`);
}
