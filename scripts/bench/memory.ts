import { setTimeout as sleep } from 'node:timers/promises';
import { CASES, type Case } from './cases.ts';
import { type Generator, startGenerator } from './generator.ts';
import type { LoadResult } from './load.ts';
import type { Framing } from './memory-load.ts';
import { type Processes, usage } from './processes.ts';
import { type Subject, startDaemonPaths } from './subjects.ts';
import { type Verdict, verdict } from './wanted.ts';

const IDLE_CONNECTIONS = 5_000;
const FIRST_CONNECTIONS = 100;
/** Each has a caller's connection and one to the application. */
const HELD_REQUESTS = 4_000;
const STREAM_BYTES = 1024 ** 3;
const WARM_UP_SECONDS = 3;
const SAMPLE_MS = 20;
const SETTLE_MS = 2_000;
/** Connections to applications are kept for 3 s. */
const HELD_SETTLE_MS = 1_000;
const SLOW_CLIENTS = 5_000;
const BESIDE_SECONDS = 10;
const KB = 1024;
const MB = 1024 ** 2;
const STREAMS = (['download', 'upload'] as const).flatMap((way) =>
  (['length', 'chunked'] as const).map((framing) => ({ way, framing })),
);

/**
 * What a daemon's memory grows by, each time of a daemon that has just started: for each of 5 000 idle connections that have
 * served a request; for each connection, callers' and applications', of 4 000 requests that were answered together; and at most
 * while 1 GB passes down to a slow reader or up to one, over one hop and two. Then what a normal client loses by
 * 5 000 slow ones beside it.
 */
export async function measureMemory(
  processes: Processes,
  dir: string,
  root: string,
  onVerdict: (verdict: Verdict) => void,
): Promise<void> {
  const { oneHop, twoHops } = await startDaemonPaths(processes, dir, root);
  const generator = startGenerator(processes);
  onVerdict(verdict('an idle connection of a caller', 15, (await idleBytes(generator, await oneHop())) / KB, ' KB'));
  onVerdict(verdict('an idle connection, either side', 15, (await heldBytes(generator, await oneHop())) / KB, ' KB'));
  for (const [hops, start] of [
    ['one hop', oneHop],
    ['two hops', twoHops],
  ] as const) {
    for (const { way, framing } of STREAMS) {
      const grown = await growth(generator, await start(), way, framing);
      onVerdict(verdict(`RSS growth, 1 GB ${way}, ${framing}, ${hops}`, 30, grown / MB, ' MB'));
    }
  }
  for (const one of await besideSlowClients(processes, generator, await oneHop())) onVerdict(one);
}

async function idleBytes(generator: Generator, { port, pids }: Subject): Promise<number> {
  await generator.order({ kind: 'openIdle', port, count: FIRST_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = usage(pids).rssBytes;
  await generator.order({ kind: 'openIdle', port, count: IDLE_CONNECTIONS });
  await sleep(SETTLE_MS);
  return (usage(pids).rssBytes - before) / IDLE_CONNECTIONS;
}

async function heldBytes(generator: Generator, { port, pids }: Subject): Promise<number> {
  await generator.order({ kind: 'hold', port, count: FIRST_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = usage(pids).rssBytes;
  await generator.order({ kind: 'hold', port, count: HELD_REQUESTS });
  await sleep(HELD_SETTLE_MS);
  return (usage(pids).rssBytes - before) / (2 * HELD_REQUESTS);
}

/** Of the daemon that grows most. */
async function growth(
  generator: Generator,
  { port, pids }: Subject,
  kind: 'download' | 'upload',
  framing: Framing,
): Promise<number> {
  await generator.load(port, CASES[0] as Case, WARM_UP_SECONDS);
  await sleep(SETTLE_MS);
  const before = pids.map((pid) => usage([pid]).rssBytes);
  const peaks = [...before];
  const timer = setInterval(() => {
    pids.forEach((pid, i) => {
      peaks[i] = Math.max(peaks[i] ?? 0, usage([pid]).rssBytes);
    });
  }, SAMPLE_MS);
  try {
    await generator.order({ kind, port, bytes: STREAM_BYTES, framing });
  } finally {
    clearInterval(timer);
  }
  return Math.max(...peaks.map((peak, i) => peak - (before[i] ?? 0)));
}

async function besideSlowClients(processes: Processes, normal: Generator, { port }: Subject): Promise<Verdict[]> {
  const paced = CASES.find(({ name }) => name === 'paced-64') as Case;
  const alone = await loadOf(normal, port, paced);
  const slow = startGenerator(processes);
  await slow.order({ kind: 'openSlow', port, count: SLOW_CLIENTS });
  await sleep(SETTLE_MS);
  const beside = await loadOf(normal, port, paced);
  return [
    verdict('failures beside 5 000 slow clients', 0, beside.failures, ''),
    verdict('added p50 beside 5 000 slow clients', 1, beside.p50Ms - alone.p50Ms, ' ms'),
    verdict('added p99 beside 5 000 slow clients', 20, beside.p99Ms - alone.p99Ms, ' ms'),
  ];
}

async function loadOf(generator: Generator, port: number, one: Case): Promise<LoadResult> {
  const { result } = await generator.order({ kind: 'load', port, case: one, seconds: BESIDE_SECONDS });
  if (result === undefined) throw new Error('the load gave no result');
  return result;
}
