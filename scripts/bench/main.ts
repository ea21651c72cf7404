/**
 * `npm run bench`: what a proxied request costs, in CPU time of the proxy's processes, through the daemon as shipped and
 * through others, on the same machine in the same run; writes docs/bench. With `--quick` it takes a few cases, less than a minute,
 * and writes nothing; with `--against <folder>` it compares with the daemon of another working tree alone, for before and after.
 * `npm run bench -- memory` measures memory, `-- soak` whether anything grows in an hour of mixed traffic, `-- webhook` what
 * a review takes, `-- workers` what a second thread brings, `-- neighbours` what a noisy caller costs the others, `-- failures [case …]`
 * what slow, failing and missing pods cost, `-- discovery` what the size of a cluster costs, `-- tls` what mutual TLS between two hops
 * costs, `-- telemetry` what counting and being scraped cost, `-- rotation` whether certificates and CAs that change all the time fail a request.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CASES } from './cases.ts';
import { barChart } from './chart.ts';
import { buildDaemon } from './daemon.ts';
import { type DiscoveryCase, type DiscoveryResult, measureDiscovery } from './discovery.ts';
import { discoveryChart, discoveryPage, discoveryTable, discoveryVerdicts } from './discovery-report.ts';
import { type Finding, page as failurePage, findingLine } from './failures/finding.ts';
import { CASES as FAILURE_CASES, measureFailures } from './failures.ts';
import { startGenerator } from './generator.ts';
import { measureMemory } from './memory.ts';
import { measureNeighbours } from './neighbours.ts';
import { familyCpuUs, machineCpuUs, Processes, usage } from './processes.ts';
import { type Circumstances, comparison, page, results, tables } from './report.ts';
import { measureRotation } from './rotation.ts';
import { medianOf, type RoundOptions, runRounds, type Series } from './rounds.ts';
import { soak } from './soak.ts';
import { DIRECT, startAll, startBoth } from './subjects.ts';
import { measureTelemetry } from './telemetry.ts';
import { measureTls } from './tls.ts';
import { verdictLine, verdicts } from './wanted.ts';
import { measureWebhook } from './webhook.ts';
import { measureWorkers } from './workers.ts';

const FULL: RoundOptions = { rounds: 5, seconds: 1.5, warmUpSeconds: 1.5, patienceSeconds: 120 };
const QUICK: RoundOptions = { rounds: 3, seconds: 0.4, warmUpSeconds: 0.4, patienceSeconds: 4 };
/** Many short rounds: what differs by a few per cent needs many. */
const AGAINST: RoundOptions = { rounds: 21, seconds: 0.5, warmUpSeconds: 1.5, patienceSeconds: 240 };
const QUICK_CASES = ['get-64', 'get-16k', 'paced-64'];
/** Each with one node for ten Services, and half as many pods that are replaced a minute as there are Services. */
const DISCOVERY = [
  { services: 100, churnSeconds: 20, workers: 1 },
  { services: 1_000, churnSeconds: 20, workers: 1 },
  { services: 10_000, churnSeconds: 60, workers: 1 },
  { services: 10_000, churnSeconds: 20, workers: 2 },
];
const ROOT = join(import.meta.dirname, '../..');
const OUT = join(ROOT, 'docs/bench');

const { values, positionals } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    against: { type: 'string' },
    minutes: { type: 'string' },
    rps: { type: 'string', default: '1000' },
  },
  allowPositionals: true,
});
const dir = mkdtempSync(join(tmpdir(), 'nodemesh-bench-'));
const processes = new Processes(dir, process.env);

try {
  if (!processes.pinned) print('taskset cannot pin to two cores: the load takes time from the proxies');
  if (positionals.includes('memory')) await memory();
  else if (positionals.includes('webhook')) await webhook();
  else if (positionals.includes('discovery')) await discovery();
  else if (positionals.includes('workers')) print(await measureWorkers(processes, dir, ROOT, foreignCpuUs));
  else if (positionals.includes('neighbours')) await neighbours();
  else if (positionals.includes('tls')) await tls();
  else if (positionals.includes('telemetry')) await telemetry();
  else if (positionals.includes('rotation')) await rotation();
  else if (positionals.includes('soak')) await soakLong();
  else if (positionals[0] === 'failures') await failures(positionals.slice(1));
  else await speed();
} finally {
  await processes.stop();
  rmSync(dir, { recursive: true });
}

async function memory(): Promise<void> {
  await measureMemory(processes, dir, ROOT, (verdict) => print(verdictLine(verdict)));
}

async function webhook(): Promise<void> {
  for (const verdict of await measureWebhook(processes, dir, ROOT, process.pid, print)) print(verdictLine(verdict));
}

async function neighbours(): Promise<void> {
  const tree = values.against === undefined ? ROOT : resolve(values.against);
  for (const verdict of await measureNeighbours(processes, dir, tree, print)) print(verdictLine(verdict));
}

/** Some cases alone replace what was found in them before. */
async function failures(only: readonly string[]): Promise<void> {
  const file = join(OUT, 'failures.json');
  const all: Record<string, readonly Finding[]> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  await measureFailures(processes, dir, ROOT, {
    only,
    foreignCpuUs: () => machineCpuUs() - familyCpuUs(process.pid),
    onRepeated: (why) => print(`done again: ${why}`),
    onFindings: (name, findings) => {
      all[name] = findings;
      for (const finding of findings) print(findingLine(finding));
    },
  });
  writeJson('failures.json', all);
  const date = new Date().toISOString().slice(0, 10);
  const where = `Last: ${date}, ${cpus()[0]?.model}, ${cpus().length} cores, Linux ${release()}, Node ${process.version}.`;
  const shown = FAILURE_CASES.flatMap(({ name }) => all[name] ?? []);
  writeFileSync(join(OUT, 'failures.md'), failurePage(shown, where));
}

async function discovery(): Promise<void> {
  const main = buildDaemon(ROOT);
  const [loadBefore = 0] = loadavg();
  const measured: DiscoveryResult[] = [];
  for (const { services, churnSeconds, workers } of DISCOVERY) {
    const shape = { services, nodes: services / 10 };
    const one: DiscoveryCase = { shape, podsPerMinute: services / 2, workers, churnSeconds };
    measured.push(await measureDiscovery(processes, dir, ROOT, main, one));
  }
  const [loadAfter = 0] = loadavg();
  print(discoveryTable(measured));
  for (const one of discoveryVerdicts(measured)) print(verdictLine(one));
  const date = new Date().toISOString().slice(0, 10);
  const machine = `${cpus()[0]?.model ?? ''}, Linux ${release()}, Node ${process.version}`;
  const load = `load average ${loadBefore.toFixed(2)} before, ${loadAfter.toFixed(2)} after`;
  writeJson('discovery.json', { date, machine, load, measured });
  const where = `\`npm run bench -- discovery\` on ${date}: ${machine}; the daemon on one core, ${load}.`;
  writeFileSync(join(OUT, 'discovery.md'), discoveryPage(measured, where));
  writeFileSync(
    join(OUT, 'discovery.svg'),
    discoveryChart(measured, `${cpus()[0]?.model ?? ''}; npm run bench -- discovery`),
  );
}

async function rotation(): Promise<void> {
  const options = { minutes: Number(values.minutes ?? 5), print };
  for (const verdict of await measureRotation(processes, dir, ROOT, options)) print(verdictLine(verdict));
}

async function tls(): Promise<void> {
  for (const verdict of await measureTls(processes, dir, ROOT, foreignCpuUs, print)) print(verdictLine(verdict));
}

async function telemetry(): Promise<void> {
  for (const verdict of await measureTelemetry(processes, dir, ROOT, foreignCpuUs, print)) print(verdictLine(verdict));
}

async function soakLong(): Promise<void> {
  const result = await soak(processes, dir, ROOT, {
    minutes: Number(values.minutes ?? 60),
    requestsPerSecond: Number(values.rps),
    onSample: ({ atS, fds, heapMb, rssMb }) =>
      print(`${atS} s: ${fds} open files, heap ${heapMb.toFixed(1)} MB, RSS ${rssMb.toFixed(1)} MB`),
  });
  for (const [kind, { done, wrong }] of Object.entries(result.requests)) print(`${kind}: ${done}, wrong: ${wrong}`);
  for (const one of result.verdicts) print(verdictLine(one));
  writeJson('soak.json', result);
}

async function speed(): Promise<void> {
  const { subjects, missing } =
    values.against === undefined
      ? await startAll(processes, dir, ROOT)
      : { subjects: await startBoth(processes, dir, ROOT, resolve(values.against)), missing: [] };
  if (missing.length > 0) print(`left out; to compare with them: apt-get install ${missing.join(' ')}`);
  const cases = values.quick ? CASES.filter((one) => QUICK_CASES.includes(one.name)) : CASES;
  const options = values.quick ? QUICK : values.against === undefined ? FULL : AGAINST;
  const [loadBefore = 0] = loadavg();
  const { series, failed, repeated, disturbed } = await runRounds(
    startGenerator(processes),
    cases,
    subjects,
    options,
    foreignCpuUs,
  );
  const where: Circumstances = {
    cpu: cpus()[0]?.model ?? '',
    kernel: release(),
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    rounds: options.rounds,
    seconds: options.seconds,
    loadBefore,
    loadAfter: loadavg()[0] ?? 0,
    samples: series.length * options.rounds,
    repeated,
    disturbed,
    pinned: processes.pinned,
  };
  print(
    `${where.cpu}, Linux ${where.kernel}, Node ${where.node}; medians of ${where.rounds} rounds of ${where.seconds} s`,
  );
  print(
    `load average ${where.loadBefore.toFixed(2)} before, ${where.loadAfter.toFixed(2)} after; of ${where.samples} samples ` +
      `${repeated} repeated and ${disturbed} kept though other programs ran\n`,
  );
  for (const line of failed) print(`left out: ${line}`);
  print(tables(series));
  if (values.against !== undefined) print(comparison(series));
  const checked = verdicts(series);
  for (const verdict of checked) print(verdictLine(verdict));
  if (values.against !== undefined || values.quick) return;
  writeJson('results.json', results(series, checked, where));
  writeFileSync(join(OUT, 'cpu-per-request.svg'), chart(series, where));
  writeFileSync(join(OUT, 'README.md'), page(series, checked, where, failed));
}

function writeJson(name: string, content: unknown): void {
  mkdirSync(OUT, { recursive: true });
  writeFileSync(join(OUT, name), `${JSON.stringify(content, null, 2)}\n`);
}

/** What programs other than these have used so far. */
function foreignCpuUs(): number {
  return machineCpuUs() - usage([process.pid]).cpuUs;
}

function chart(series: readonly Series[], where: Circumstances): string {
  const shown = series.filter((one) => one.case === CASES[0] && one.subject.name !== DIRECT);
  const bars = shown.map((one) => ({
    label: one.subject.name,
    value: medianOf(one, 'cpuUsPerRequest'),
    ours: one.subject.name.startsWith('nodemesh'),
  }));
  const subtitle = `64-byte answers, ${CASES[0]?.connections} keep-alive connections, one core; ${where.cpu}; npm run bench`;
  return barChart('CPU time per proxied GET', subtitle, bars);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
