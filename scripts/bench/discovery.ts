import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import type { ApiServerOrder, ApiServerReport, ApiServerStart } from './api-server.ts';
import { type DiscoveryDaemon, startDiscoveryDaemon } from './discovery-daemon.ts';
import { Probe } from './probe.ts';
import { BOTH_CPUS, freePorts, LOAD_CPU, type Processes, usage } from './processes.ts';
import { quantile } from './statistics.ts';
import type { ClusterShape } from './synthetic-cluster.ts';

const MB = 1024 ** 2;
const POLL_MS = 25;
const FLIPS = 50;
const FLIP_PAUSE_MS = 150;
const FLIP_PATIENCE_MS = 5_000;
const SETTLE_MS = 3_000;
const SYNC_PATIENCE_MS = 60_000;

/** How large a cluster, how busy, and what reads it. */
export interface DiscoveryCase {
  readonly shape: ClusterShape;
  readonly podsPerMinute: number;
  readonly workers: number;
  readonly churnSeconds: number;
  readonly nodeArgs?: readonly string[];
}

/** What one daemon took to read one cluster. Times in ms, memory in MB. */
export interface DiscoveryResult {
  readonly services: number;
  readonly endpoints: number;
  readonly nodes: number;
  readonly workers: number;
  readonly listedMb: number;
  /** From the start of the process to readiness. */
  readonly syncMs: number;
  readonly syncCpuMs: number;
  /** Of the time to readiness, what other programs on the same core took. */
  readonly syncWaitMs: number;
  readonly syncStallMs: number;
  readonly peakRssMb: number;
  /** After the churn. */
  readonly rssMb: number;
  readonly podsPerMinute: number;
  readonly eventsPerMinute: number;
  readonly churnCpuMsPerMinute: number;
  readonly churnStallMs: number;
  /** From a changed slice on the wire to the first answer of its new endpoint. */
  readonly changeP50Ms: number;
  readonly changeP99Ms: number;
  readonly changes: number;
  readonly failures: number;
  /** Everything read again because the server's history was gone. */
  readonly relistCpuMs: number;
  readonly relistStallMs: number;
  readonly relistRssMb: number;
}

/** Runs one case with a fresh API server and a fresh daemon of the build at `main`. */
export async function measureDiscovery(
  processes: Processes,
  dir: string,
  root: string,
  main: string,
  one: DiscoveryCase,
): Promise<DiscoveryResult> {
  const [apiPort = 0, podPort = 0, port = 0, incoming = 0, admin = 0] = await freePorts(5);
  const probe = await Probe.start(podPort);
  const authority = await createAuthority(Date.now());
  const { 'tls.key': key, 'tls.crt': cert } = await createServingCertificate(authority, ['localhost'], Date.now());
  const start: ApiServerStart = { port: apiPort, shape: one.shape, probe: probe.place, key, cert };
  const script = join(import.meta.dirname, 'api-server.ts');
  const child = processes.start(process.execPath, [script, JSON.stringify(start)], { cpu: LOAD_CPU, ipc: true });
  const api = new ApiServer(child);
  await processes.listening(child, apiPort);
  const daemon = await startDiscoveryDaemon(processes, main, {
    dir,
    root,
    apiPort,
    ca: authority['ca.crt'],
    nodeName: 'ip-10-0-0-7.eu-west-1.compute.internal',
    ports: [port, incoming, admin],
    workers: one.workers,
    nodeArgs: one.nodeArgs ?? [],
    ...(one.workers > 1 ? { cpu: BOTH_CPUS } : {}),
  });
  try {
    return await measured(one, api, daemon, probe);
  } finally {
    probe.stop();
    daemon.stop();
    child.disconnect();
  }
}

async function measured(
  { shape, podsPerMinute, workers, churnSeconds }: DiscoveryCase,
  api: ApiServer,
  daemon: DiscoveryDaemon,
  probe: Probe,
): Promise<DiscoveryResult> {
  const { pid, port, startedAt } = daemon;
  await ready(daemon, startedAt + SYNC_PATIENCE_MS);
  const syncMs = performance.now() - startedAt;
  const syncCpuMs = usage([pid]).cpuUs / 1_000;
  const syncWaitMs = waitedMs(pid);
  await sleep(SETTLE_MS);
  const syncStallMs = await worstStallMs(daemon);
  const synced = await api.order({ kind: 'count' });
  const listed = await objectsKnown(daemon);

  const before = await api.order({ kind: 'churn', podsPerMinute });
  const [cpuBefore, churnedAt] = [usage([pid]).cpuUs, performance.now()];
  await sleep(churnSeconds * 1_000);
  const minutes = (performance.now() - churnedAt) / 60_000;
  const churnCpuMsPerMinute = (usage([pid]).cpuUs - cpuBefore) / 1_000 / minutes;
  const churned = await api.order({ kind: 'count' });
  const changes: number[] = [];
  for (let i = 0; i < FLIPS; i += 1) {
    changes.push(await flip(api, probe, port));
    await sleep(FLIP_PAUSE_MS);
  }
  const churnStallMs = await worstStallMs(daemon);
  const after = await api.order({ kind: 'count' });
  const rssMb = usage([pid]).rssBytes / MB;
  const peakRssMb = highWaterMb(pid);

  const relistBefore = usage([pid]).cpuUs;
  await api.order({ kind: 'expire' });
  const listsExpected = after.listsDone + 3;
  while ((await api.order({ kind: 'count' })).listsDone < listsExpected) await sleep(POLL_MS);
  await sleep(SETTLE_MS);
  const relistCpuMs = (usage([pid]).cpuUs - relistBefore) / 1_000;
  const relistStallMs = await worstStallMs(daemon);
  const relistedObjects = await objectsKnown(daemon);
  if (relistedObjects !== listed)
    throw new Error(`${listed} objects were known, and ${relistedObjects} after all was listed again`);
  changes.sort((a, b) => a - b);
  return {
    services: shape.services,
    endpoints: shape.services * 10,
    nodes: shape.nodes,
    workers,
    listedMb: synced.listedBytes / MB,
    syncMs,
    syncCpuMs,
    syncWaitMs,
    syncStallMs,
    peakRssMb,
    rssMb,
    podsPerMinute,
    eventsPerMinute: (churned.events - before.events) / minutes,
    churnCpuMsPerMinute,
    churnStallMs,
    changeP50Ms: quantile(changes, 0.5),
    changeP99Ms: quantile(changes, 0.99),
    changes: changes.length,
    failures: probe.failures,
    relistCpuMs,
    relistStallMs,
    relistRssMb: highWaterMb(pid),
  };
}

/** One pod takes another's place; gives how long the caller saw the old one, ms. */
async function flip(api: ApiServer, probe: Probe, port: number): Promise<number> {
  for (let answered = 0; answered < 5; ) if (await probe.ask(port)) answered += 1;
  const reported = api.order({ kind: 'flip' });
  const deadline = performance.now() + FLIP_PATIENCE_MS;
  const before = probe.answeredBy;
  while (probe.answeredBy === before) {
    if (performance.now() > deadline) throw new Error('a changed slice was not taken over');
    await probe.ask(port);
  }
  const { writtenAtNs = '0', ip } = await reported;
  if (probe.answeredBy !== ip) throw new Error(`${probe.answeredBy} answered, and ${ip} should have`);
  return Number(probe.since - BigInt(writtenAtNs)) / 1e6;
}

async function ready({ adminPort }: DiscoveryDaemon, deadline: number): Promise<void> {
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${adminPort}/readyz`);
    if (answer.status === 200) return;
    if (performance.now() > deadline) throw new Error(`the daemon is not ready: ${await answer.text()}`);
    await sleep(POLL_MS);
  }
}

async function objectsKnown(daemon: DiscoveryDaemon): Promise<number> {
  return (await metric(daemon, 'watch_objects')).reduce((sum, value) => sum + value, 0);
}

/** The values of a metric's series. */
async function metric({ adminPort }: DiscoveryDaemon, name: string): Promise<number[]> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`));
  return lines.map((line) => Number(line.slice(line.lastIndexOf(' '))));
}

/** How long a process's main thread could have run and did not (schedstat's second field). */
function waitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

function highWaterMb(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** The longest that an event loop of a daemon's stood still since this was last asked, ms. */
async function worstStallMs(daemon: DiscoveryDaemon): Promise<number> {
  return 1_000 * Math.max(...(await metric(daemon, 'event_loop_stall_seconds')));
}

/** The API server's process. */
class ApiServer {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  async order(order: ApiServerOrder): Promise<ApiServerReport> {
    const reported = once(this.#child, 'message') as Promise<[ApiServerReport]>;
    this.#child.send(order);
    return (await reported)[0];
  }
}
