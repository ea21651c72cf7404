import { setTimeout as sleep } from 'node:timers/promises';
import { CASES, type Case } from './cases.ts';
import { type Generator, startGenerator } from './generator.ts';
import { type Processes, usage } from './processes.ts';
import { type Subject, startOne } from './subjects.ts';
import { type Verdict, verdict } from './wanted.ts';

const IDLE_CONNECTIONS = 5_000;
const STREAM_BYTES = 1024 ** 3;
const WARM_UP_SECONDS = 3;
const SAMPLE_MS = 20;
const SETTLE_MS = 2_000;
const KB = 1024;
const MB = 1024 ** 2;

/**
 * What a warm daemon's memory grows by: for each of 5 000 idle connections that have served a request, and at most while 1 GB
 * passes down to a slow reader and up to one.
 */
export async function measureMemory(processes: Processes, dir: string, root: string): Promise<Verdict[]> {
  const daemon = await startOne(processes, dir, root);
  const generator = startGenerator(processes);
  await generator.load(daemon.port, CASES[0] as Case, WARM_UP_SECONDS);
  await sleep(SETTLE_MS);
  return [
    verdict('an idle connection', 15, (await idleBytes(generator, daemon)) / KB, ' KB'),
    verdict('RSS growth, 1 GB down, slow reader', 30, (await growth(generator, daemon, 'download')) / MB, ' MB'),
    verdict('RSS growth, 1 GB up, slow reader', 30, (await growth(generator, daemon, 'upload')) / MB, ' MB'),
  ];
}

async function idleBytes(generator: Generator, { port, pids }: Subject): Promise<number> {
  const before = usage(pids).rssBytes;
  await generator.order({ kind: 'openIdle', port, count: IDLE_CONNECTIONS });
  await sleep(SETTLE_MS);
  const after = usage(pids).rssBytes;
  await generator.order({ kind: 'closeIdle' });
  await sleep(SETTLE_MS);
  return (after - before) / IDLE_CONNECTIONS;
}

async function growth(generator: Generator, daemon: Subject, kind: 'download' | 'upload'): Promise<number> {
  const before = usage(daemon.pids).rssBytes;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, usage(daemon.pids).rssBytes);
  }, SAMPLE_MS);
  try {
    await generator.order({ kind, port: daemon.port, bytes: STREAM_BYTES });
  } finally {
    clearInterval(timer);
  }
  return peak - before;
}
