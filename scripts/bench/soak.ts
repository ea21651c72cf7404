import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildDaemon, startDaemon } from './daemon.ts';
import { HeapMeter } from './heap-meter.ts';
import { freePorts, LOAD_CPU, type Processes, usage } from './processes.ts';
import type { SoakCount, SoakOrder } from './soak-load.ts';
import { slope } from './statistics.ts';
import { type Verdict, verdict } from './wanted.ts';

const SAMPLE_MS = 30_000;
/** Of the samples, those before the pools, caches and V8's heap have found their size: this share, and the first at any rate. */
const WARM_UP_SHARE = 0.2;
/** So many samples are three minutes. */
const QUIET_OF = 6;
const MB = 1024 ** 2;
const HOUR_S = 3_600;

/** The daemon at one moment; its heap after a garbage collection. */
export interface SoakSample {
  readonly atS: number;
  readonly fds: number;
  readonly heapMb: number;
  readonly rssMb: number;
}

export interface Soak {
  readonly minutes: number;
  readonly requestsPerSecond: number;
  readonly requests: SoakCount;
  readonly samples: readonly SoakSample[];
  readonly verdicts: readonly Verdict[];
}

/**
 * Sends mixed traffic through a daemon for so long (requests that are aborted, applications that come and go, upgrades) and
 * samples what must not grow. Rejects where the daemon or the load ends. `onSample` is told of each sample.
 */
export async function soak(
  processes: Processes,
  dir: string,
  root: string,
  options: { readonly minutes: number; readonly requestsPerSecond: number; onSample(sample: SoakSample): void },
): Promise<Soak> {
  const { minutes, requestsPerSecond, onSample } = options;
  const [port = 0, adminPort = 0, webPort = 0, flakyPort = 0, inspectPort = 0] = await freePorts(5);
  const load = join(import.meta.dirname, 'soak-load.ts');
  const args = [load, port, webPort, flakyPort, requestsPerSecond].map(String);
  const child = processes.start(process.execPath, args, { cpu: LOAD_CPU, ipc: true });
  await processes.listening(child, webPort);
  const pid = await startDaemon(processes, buildDaemon(root), {
    dir,
    router: 'outgoing',
    port,
    adminPort,
    webPort,
    names: { flaky: [webPort, flakyPort] },
    nodeArgs: [`--inspect=127.0.0.1:${inspectPort}`],
  });
  const heap = await HeapMeter.connect(inspectPort);
  const samples: SoakSample[] = [];
  child.send('begin' satisfies SoakOrder);
  const startedAt = performance.now();
  for (let due = SAMPLE_MS; due <= minutes * 60_000; due += SAMPLE_MS) {
    await sleep(startedAt + due - performance.now());
    const sample = {
      atS: due / 1_000,
      heapMb: (await heap.usedAfterCollection()) / MB,
      fds: readdirSync(`/proc/${pid}/fd`).length,
      rssMb: usage([pid]).rssBytes / MB,
    };
    samples.push(sample);
    onSample(sample);
  }
  const requests = await countsOf(child);
  heap.close();
  return { minutes, requestsPerSecond, requests, samples, verdicts: judge(samples, requests) };
}

/** What the samples say of growth, as lines fitted to those after the warm-up, and the load of wrong answers. */
export function judge(samples: readonly SoakSample[], requests: SoakCount): Verdict[] {
  const settled = samples.slice(Math.max(1, Math.ceil(samples.length * WARM_UP_SHARE)));
  const perHour = (read: (sample: SoakSample) => number, among = settled) =>
    slope(among.map((sample) => [sample.atS, read(sample)] as const)) * HOUR_S;
  const counts = Object.values(requests);
  const done = counts.reduce((sum, count) => sum + count.done, 0);
  const wrong = counts.reduce((sum, count) => sum + count.wrong, 0);
  return [
    verdict(
      'open files, growth an hour',
      20,
      perHour(({ fds }) => fds, quietest(settled)),
      '',
    ),
    verdict(
      'heap after collection, growth an hour',
      5,
      perHour(({ heapMb }) => heapMb),
      ' MB',
    ),
    verdict(
      'RSS, growth an hour',
      20,
      perHour(({ rssMb }) => rssMb),
      ' MB',
    ),
    verdict('requests that ended wrongly', 0.1, (100 * wrong) / Math.max(1, done), ' %'),
  ];
}

/**
 * Of every few samples the one with the fewest files: connections come and go with whatever else the machine does, and one
 * that is never closed stays in the quietest moment.
 */
function quietest(samples: readonly SoakSample[]): SoakSample[] {
  const groups = Array.from({ length: Math.ceil(samples.length / QUIET_OF) }, (_, i) =>
    samples.slice(i * QUIET_OF, (i + 1) * QUIET_OF),
  );
  return groups.map((group) => group.reduce((least, sample) => (sample.fds < least.fds ? sample : least)));
}

async function countsOf(child: ChildProcess): Promise<SoakCount> {
  const told = once(child, 'message') as Promise<[SoakCount]>;
  child.send('counts' satisfies SoakOrder);
  return (await told)[0];
}
