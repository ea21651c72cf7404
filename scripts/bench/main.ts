/**
 * `npm run bench`: what one proxied 64-byte GET costs, in CPU time of the proxy's process, against http-proxy and plain
 * node:http on the same machine in the same run. Rounds are interleaved, so that a slow moment meets all alike; the median
 * round counts. `npm run bench -- --against <folder>` also runs the daemon of another working tree, for before and after.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { quantile, runLoad } from './load.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '50' },
    against: { type: 'string' },
  },
});
const UPSTREAM_PORT = 17_080;
const root = join(import.meta.dirname, '../..');
const dir = mkdtempSync(join(tmpdir(), 'nodemesh-bench-'));
const children: ChildProcess[] = [];

interface Subject {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
  readonly cpuUs: number[];
  readonly rate: number[];
  readonly p99Ms: number[];
}

/** CPU time of a process so far, µs, over all its threads (proc(5), stat fields 14 and 15). */
function cpuUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / ticksPerSecond;
}
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

async function start(script: string, args: string[], isReady: (text: string) => boolean): Promise<number> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let seen = '';
  for await (const piece of child.stdout) {
    seen += piece;
    if (isReady(seen)) break;
  }
  child.stdout.resume();
  if (child.pid === undefined || !isReady(seen)) throw new Error(`${script} did not start`);
  return child.pid;
}

async function startDaemon(tree: string, port: number): Promise<number> {
  const config = join(dir, `${port}.yaml`);
  writeFileSync(
    config,
    `admin: {port: ${port + 1000}}
namers: [{kind: io.l5d.fs, rootDir: ${join(dir, 'disco')}}]
routers: [{protocol: http, label: outgoing, servers: [{port: ${port}}]}]
`,
  );
  return start(join(tree, 'daemon/main.ts'), [config], (text) => text.includes('daemon runs'));
}

async function measure(subject: Subject, seconds: number): Promise<void> {
  const before = cpuUs(subject.pid);
  const result = await runLoad({
    port: subject.port,
    connections: Number(values.connections),
    seconds,
    request:
      'GET http://web/path HTTP/1.1\r\nHost: web\r\nUser-Agent: bench/1\r\nAccept: */*\r\nProxy-Connection: keep-alive\r\n\r\n',
  });
  if (result.failures > 0) throw new Error(`${subject.name}: ${result.failures} requests failed`);
  subject.cpuUs.push((cpuUs(subject.pid) - before) / result.requests);
  subject.rate.push(result.requests / result.seconds);
  subject.p99Ms.push(quantile(result.latenciesMs, 0.99));
}

function median(numbers: readonly number[]): number {
  return quantile(Float64Array.from(numbers).sort(), 0.5);
}

try {
  execFileSync('mkdir', [join(dir, 'disco')]);
  writeFileSync(join(dir, 'disco', 'web'), `127.0.0.1 ${UPSTREAM_PORT}\n`);
  const ready = (text: string) => text.includes('ready');
  await start(join(import.meta.dirname, 'upstream.ts'), [String(UPSTREAM_PORT)], ready);
  const baseline = (kind: string, port: number) =>
    start(join(import.meta.dirname, 'baseline.ts'), [kind, String(port), String(UPSTREAM_PORT)], ready);
  const subject = (name: string, port: number, pid: number): Subject => ({
    name,
    port,
    pid,
    cpuUs: [],
    rate: [],
    p99Ms: [],
  });
  const subjects = [subject('nodemesh', 17_140, await startDaemon(root, 17_140))];
  if (values.against !== undefined)
    subjects.push(subject('nodemesh, other tree', 17_150, await startDaemon(values.against, 17_150)));
  subjects.push(subject('node:http + Agent', 17_160, await baseline('node', 17_160)));
  subjects.push(subject('http-proxy', 17_170, await baseline('http-proxy', 17_170)));
  for (const one of subjects) await measure(one, 1);
  for (const one of subjects) for (const list of [one.cpuUs, one.rate, one.p99Ms]) list.length = 0;
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const one of subjects) await measure(one, Number(values.seconds));
  }
  const own = median((subjects[0] as Subject).cpuUs);
  for (const one of subjects) {
    const cpu = median(one.cpuUs);
    process.stdout.write(
      `${one.name.padEnd(22)} ${cpu.toFixed(1).padStart(7)} µs CPU/request  ×${(cpu / own).toFixed(2)}  ` +
        `${Math.round(median(one.rate))} requests/s  p99 ${median(one.p99Ms).toFixed(2)} ms\n`,
    );
  }
} finally {
  for (const child of children) child.kill('SIGKILL');
  await Promise.all(
    children.map((child) => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined)),
  );
  rmSync(dir, { recursive: true });
}
