import type { Case, LoadMode } from './cases.ts';
import { buildDaemon, startDaemon } from './daemon.ts';
import { type Generator, startGenerator } from './generator.ts';
import type { LoadResult, Sender } from './load.ts';
import { freePorts, LOAD_CPU, type Processes } from './processes.ts';
import { median } from './statistics.ts';
import { startUpstream } from './subjects.ts';
import { type Verdict, verdict } from './wanted.ts';

const ROUNDS = 5;
const SECONDS = 1.2;
/** The noisy caller's connections are busy by then. */
const WARM_UP_SECONDS = 0.3;
/** A daemon that has done nothing yet is slow. */
const COMPILE_SECONDS = 1;
const NEIGHBOURS: Sender = { from: [1, 2, 3, 4, 5].map((i) => `127.0.1.${i}`), mayBeRefused: true };
const NOISY: Sender = { from: ['127.0.1.9'], mayBeRefused: true };
const TIMES = 50;
const WANTED_RATIO = 2;

/** One noisy caller, and what its neighbours ask for meanwhile. */
interface Scenario {
  readonly title: string;
  readonly port: number;
  readonly neighbours: Case;
  readonly noisy: Case;
}

/** Medians over the rounds, but for `refused`, which is the neighbours' share of all rounds beside the noisy one. */
interface Outcome {
  readonly beforeMs: number;
  readonly besideMs: number;
  readonly ratio: number;
  readonly noisyPerSecond: number;
  readonly refused: number;
}

/**
 * What a caller with 50 times its neighbours' load does to their p99: five neighbours, each with an address of its own, alone
 * and beside the noisy one, in turns. The noisy caller's processes yield the core to those of its neighbours: what is
 * measured is the daemon's doing. Rejects where a neighbour's request fails.
 */
export async function measureNeighbours(
  processes: Processes,
  dir: string,
  tree: string,
  print: (line: string) => void,
): Promise<Verdict[]> {
  const [quiet, noisy] = [startGenerator(processes), startGenerator(processes, LOAD_CPU, true)];
  const outcomes: Verdict[] = [];
  for (const scenario of await scenarios(processes, dir, buildDaemon(tree))) {
    const { beforeMs, besideMs, ratio, noisyPerSecond, refused } = await measure(quiet, noisy, scenario);
    print(
      `${scenario.title}: p99 ${beforeMs.toFixed(2)} ms alone, ${besideMs.toFixed(2)} ms beside a caller that got ` +
        `${noisyPerSecond.toFixed(0)} answers/s; ${(100 * refused).toFixed(1)} % refused`,
    );
    outcomes.push(verdict(scenario.title, WANTED_RATIO, ratio, ' ×'));
  }
  return outcomes;
}

async function scenarios(processes: Processes, dir: string, main: string): Promise<Scenario[]> {
  const [webPort, otherPort] = [await startUpstream(processes), await startUpstream(processes, LOAD_CPU, true)];
  const start = async (routerKeys: string): Promise<number> => {
    const [port = 0, adminPort = 0] = await freePorts(2);
    const names = { other: [otherPort] };
    await startDaemon(processes, main, { dir, router: 'outgoing', port, adminPort, webPort, names, routerKeys });
    return port;
  };
  const port = await start('');
  const perSecond = 500;
  const neighbours = asking('web/64', 64, 20, { kind: 'paced', perSecond });
  const share = (perSecond / NEIGHBOURS.from.length) * TIMES;
  const closed: LoadMode = { kind: 'closed' };
  const queued = asking('web/queued/64', 64, 10, { kind: 'paced', perSecond: 100 });
  const pressing = asking('web/queued/64', 64, 64, closed);
  return [
    {
      title: `${TIMES} times their load, daemon not saturated`,
      port,
      neighbours,
      noisy: asking('other/64', 64, 50, { kind: 'paced', perSecond: share }),
    },
    { title: 'daemon saturated', port, neighbours, noisy: asking('other/64', 64, 256, closed) },
    {
      title: 'daemon saturated by answers of 16 KB',
      port,
      neighbours,
      noisy: asking('other/16384', 16_384, 256, closed),
    },
    {
      title: 'daemon saturated by connections',
      port,
      neighbours,
      noisy: asking('other/64', 64, 256, { kind: 'close' }),
    },
    { title: 'a pod saturated', port, neighbours: queued, noisy: pressing },
    {
      title: 'a pod saturated, with adaptiveConcurrency',
      port: await start('service: {adaptiveConcurrency: {minLimit: 1}}'),
      neighbours: queued,
      noisy: pressing,
    },
  ];
}

async function measure(quiet: Generator, noisy: Generator, scenario: Scenario): Promise<Outcome> {
  await noisy.load(scenario.port, scenario.noisy, COMPILE_SECONDS, NOISY);
  const rounds: { readonly before: LoadResult; readonly beside: LoadResult; readonly load: LoadResult }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = await quiet.load(scenario.port, scenario.neighbours, SECONDS, NEIGHBOURS);
    const [load, beside] = await Promise.all([
      noisy.load(scenario.port, scenario.noisy, SECONDS + 2 * WARM_UP_SECONDS, NOISY),
      later(quiet, scenario),
    ]);
    rounds.push({ before, beside, load });
  }
  const refused = rounds.reduce((sum, { beside }) => sum + beside.refused, 0);
  const answered = rounds.reduce((sum, { beside }) => sum + beside.requests, 0);
  return {
    beforeMs: median(rounds.map(({ before }) => before.p99Ms)),
    besideMs: median(rounds.map(({ beside }) => beside.p99Ms)),
    ratio: median(rounds.map(({ before, beside }) => beside.p99Ms / before.p99Ms)),
    noisyPerSecond: median(rounds.map(({ load }) => load.requests / load.seconds)),
    refused: refused / (refused + answered),
  };
}

async function later(quiet: Generator, { port, neighbours }: Scenario): Promise<LoadResult> {
  await quiet.load(port, neighbours, WARM_UP_SECONDS, NEIGHBOURS);
  return quiet.load(port, neighbours, SECONDS, NEIGHBOURS);
}

function asking(target: string, answerBytes: number, connections: number, mode: LoadMode): Case {
  const fields = `GET http://${target} HTTP/1.1\r\nHost: ${target.split('/')[0]}\r\nUser-Agent: bench/1\r\nAccept: */*\r\n`;
  const close = mode.kind === 'close' ? 'Connection: close\r\n' : '';
  return { name: target, title: target, connections, mode, request: `${fields}${close}\r\n`, answerBytes };
}
