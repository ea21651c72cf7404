import { setTimeout as sleep } from 'node:timers/promises';
import { CASES, type Case } from './cases.ts';
import { type Generator, startGenerator } from './generator.ts';
import { type Processes, usage } from './processes.ts';
import { type Subject, startUpstreamAnd } from './subjects.ts';
import { type Verdict, verdict } from './wanted.ts';

const IDLE_CONNECTIONS = 5_000;
const FIRST_CONNECTIONS = 100;
const STREAM_BYTES = 1024 ** 3;
const WARM_UP_SECONDS = 3;
const SAMPLE_MS = 20;
const SETTLE_MS = 2_000;
const KB = 1024;
const MB = 1024 ** 2;

/**
 * What a daemon's memory grows by, each time of a daemon that has just started: for each of 5 000 idle connections that have
 * served a request, and at most while 1 GB passes down to a slow reader and up to one, after some seconds of load.
 */
export async function measureMemory(processes: Processes, dir: string, root: string): Promise<Verdict[]> {
  const [fresh, down, up] = await startUpstreamAnd(3, processes, dir, root);
  if (fresh === undefined || down === undefined || up === undefined) throw new Error('three daemons are wanted');
  const generator = startGenerator(processes);
  return [
    verdict('an idle connection', 15, (await idleBytes(generator, fresh)) / KB, ' KB'),
    verdict('RSS growth, 1 GB down, slow reader', 30, (await growth(generator, down, 'download')) / MB, ' MB'),
    verdict('RSS growth, 1 GB up, slow reader', 30, (await growth(generator, up, 'upload')) / MB, ' MB'),
  ];
}

async function idleBytes(generator: Generator, { port, pids }: Subject): Promise<number> {
  await generator.order({ kind: 'openIdle', port, count: FIRST_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = usage(pids).rssBytes;
  await generator.order({ kind: 'openIdle', port, count: IDLE_CONNECTIONS });
  await sleep(SETTLE_MS);
  return (usage(pids).rssBytes - before) / IDLE_CONNECTIONS;
}

async function growth(generator: Generator, { port, pids }: Subject, kind: 'download' | 'upload'): Promise<number> {
  await generator.load(port, CASES[0] as Case, WARM_UP_SECONDS);
  await sleep(SETTLE_MS);
  const before = usage(pids).rssBytes;
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, usage(pids).rssBytes);
  }, SAMPLE_MS);
  try {
    await generator.order({ kind, port, bytes: STREAM_BYTES });
  } finally {
    clearInterval(timer);
  }
  return peak - before;
}
