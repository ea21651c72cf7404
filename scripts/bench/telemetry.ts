import { once } from 'node:events';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { CASES } from './cases.ts';
import { buildDaemon, startDaemon } from './daemon.ts';
import { startGenerator } from './generator.ts';
import { freePorts, type Processes, usage } from './processes.ts';
import { cpuRatio, cpuRatioQuartiles, type RoundOptions, runRounds, seriesLine } from './rounds.ts';
import { type Subject, startUpstream } from './subjects.ts';
import { type Verdict, verdict } from './wanted.ts';

const MEASURED = ['get-64', 'get-16k'];
/** Many short ones: what differs by a few per cent needs many. */
const ROUNDS: RoundOptions = { rounds: 31, seconds: 0.5, warmUpSeconds: 1.5, patienceSeconds: 60 };
const SCRAPE_MS = 5_000;
/** So many scrapes tell what one takes. */
const SCRAPES = 20;
/** Each of them has four series by itself, and three of its endpoints: 5 000 with `web`. */
const NAMES = Array.from({ length: 714 }, (_, i) => `service-${i}`);
const UNCOUNTED = 'nothing counted';

const SHIPPED = 'as shipped';

interface Variant {
  readonly name: string;
  /** Further keys of the config; `collector` takes traces. */
  readonly keys: (collector: string) => string;
  /** How much of the CPU of `beside` it may add, %. */
  readonly percent: number;
  readonly beside: string;
}

/** What of telemetry is measured. */
const VARIANTS: readonly Variant[] = [
  { name: SHIPPED, keys: () => '', percent: 5, beside: UNCOUNTED },
  {
    name: 'tracing at 1 %',
    keys: (collector) => `telemetry: [{kind: nodemesh.otlp, endpoint: "${collector}/v1/traces", sampleRate: 0.01}]`,
    percent: 3,
    beside: SHIPPED,
  },
];

/**
 * What telemetry costs: CPU per request of daemons as shipped that have 5 000 series and are scraped every five seconds, beside one whose
 * bundle counts nothing and is asked nothing. Most rounds have no scrape in them; so what scrapes take of a busy core is measured by
 * itself and added.
 */
export async function measureTelemetry(
  processes: Processes,
  dir: string,
  root: string,
  foreignCpuUs: () => number,
  print: (line: string) => void,
): Promise<Verdict[]> {
  const webPort = await startUpstream(processes);
  const shipped = buildDaemon(root);
  const start = async (name: string, main: string, keys: string): Promise<Subject & { adminPort: number }> => {
    const [port = 0, adminPort = 0] = await freePorts(2);
    const names = Object.fromEntries(NAMES.map((one) => [one, [webPort]]));
    const pid = await startDaemon(processes, main, { dir, router: 'outgoing', port, adminPort, webPort, names, keys });
    for (const host of NAMES) await ask(port, `http://${host}/64`);
    return { name, own: true, port, adminPort, pids: [pid] };
  };
  const uncounted = await start(UNCOUNTED, await buildUncounted(dir, root), '');
  const measured: Awaited<ReturnType<typeof start>>[] = [];
  const collector = createServer((request, response) => request.resume().on('end', () => response.end()));
  await once(collector.listen(0, '127.0.0.1'), 'listening');
  const traces = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
  for (const { name, keys } of VARIANTS) measured.push(await start(name, shipped, keys(traces)));
  const scrapePercent = new Map<string, number>();
  for (const { name, adminPort, pids } of measured) {
    for (let i = 0; i < SCRAPES; i += 1) await scrape(adminPort); // a daemon that has done nothing yet is slow
    const before = usage(pids).cpuUs;
    for (let i = 1; i < SCRAPES; i += 1) await scrape(adminPort);
    const last = await scrape(adminPort);
    const cpuMs = (usage(pids).cpuUs - before) / SCRAPES / 1_000;
    scrapePercent.set(name, (100 * cpuMs) / SCRAPE_MS);
    print(`${name}: ${last}; ${cpuMs.toFixed(1)} ms CPU a scrape`);
  }
  const scraping = (name: string, beside: string) => (scrapePercent.get(name) ?? 0) - (scrapePercent.get(beside) ?? 0);
  const scrapes = setInterval(() => {
    for (const { adminPort } of measured) scrape(adminPort).catch((error: unknown) => print(String(error)));
  }, SCRAPE_MS);
  try {
    const cases = CASES.filter(({ name }) => MEASURED.includes(name));
    const subjects = [uncounted, ...measured];
    const { series, repeated, disturbed } = await runRounds(
      startGenerator(processes),
      cases,
      subjects,
      ROUNDS,
      foreignCpuUs,
    );
    print(
      `${series.length * ROUNDS.rounds} samples, ${repeated} repeated, ${disturbed} kept though other programs ran`,
    );
    for (const one of series) print(seriesLine(one));
    return VARIANTS.flatMap(({ name, percent, beside }) =>
      cases.flatMap((one) => {
        const [own, base] = [name, beside].map((subject) =>
          series.find((entry) => entry.case === one && entry.subject.name === subject),
        );
        if (own === undefined || base === undefined) return [];
        const [low, high] = cpuRatioQuartiles(own, base).map((ratio) => (100 * (ratio - 1)).toFixed(1));
        const what = `CPU that is added, ${name}, ${one.name} (${low} to ${high})`;
        return [verdict(what, percent, 100 * (cpuRatio(own, base) - 1) + scraping(name, beside), ' %')];
      }),
    );
  } finally {
    clearInterval(scrapes);
    collector.close();
    collector.closeAllConnections();
  }
}

/** The daemon's bundle with the classes of uncounted.ts in place of those that count; gives its path. */
async function buildUncounted(dir: string, root: string): Promise<string> {
  const path = join(import.meta.dirname, 'uncounted.ts');
  const instead: Plugin = {
    name: 'uncounted',
    setup({ onResolve }) {
      onResolve({ filter: /router-observer\.ts$/ }, () => ({ path }));
      onResolve({ filter: /daemon-metrics\.ts$/ }, ({ importer }) =>
        importer.endsWith('pod-hop.ts') ? { path } : undefined,
      );
    },
  };
  const outfile = join(dir, 'uncounted', 'daemon.js');
  await build({
    entryPoints: [join(root, 'daemon/main.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['@kubernetes/client-node'],
    plugins: [instead],
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
    logLevel: 'warning',
  });
  return outfile;
}

/** What a scrape gave, and how long it took, as text. */
async function scrape(adminPort: number): Promise<string> {
  const startedAt = performance.now();
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const series = lines.filter((line) => !/_(bucket|sum|count)[{ ]/.test(line)).length;
  const histograms = lines.filter((line) => /_count[{ ]/.test(line)).length;
  const tookMs = performance.now() - startedAt;
  return `${series + histograms} series in ${lines.length} lines, scraped in ${tookMs.toFixed(1)} ms`;
}

async function ask(port: number, url: string): Promise<void> {
  const { host } = new URL(url);
  const [answer] = await once(get({ port, path: url, headers: { host } }), 'response');
  answer.resume();
  await once(answer, 'end');
}
