import { CASES, type Case } from './cases.ts';
import { type Generator, startGenerator } from './generator.ts';
import { BOTH_CPUS, machineCpuUs, type Processes, threadCpuUs } from './processes.ts';
import {
  cpuRatio,
  cpuRatioQuartiles,
  medianOf,
  medianOfPairs,
  type RoundOptions,
  runRounds,
  type Series,
} from './rounds.ts';
import { type Subject, startWithWorkers } from './subjects.ts';

const MEASURED = ['get-64', 'get-16k', 'close-64'];
const ROUNDS: RoundOptions = { rounds: 11, seconds: 0.8, warmUpSeconds: 1, patienceSeconds: 60 };
const SPREAD_SECONDS = 3;
const CORES = 2;

/**
 * What a second thread brings, as text. Load and application share the two cores with the daemon, so no rate can double
 * here. So two threads are compared with two daemons that share nothing, each of which gets half of the connections: what
 * a request costs more than there is what two threads lose to each other, and two daemons on two cores of their own do twice
 * what one does. And the cores are looked at: threads that wait for each other would leave them idle.
 */
export async function measureWorkers(
  processes: Processes,
  dir: string,
  root: string,
  foreignCpuUs: () => number,
): Promise<string> {
  const subjects = await startWithWorkers(processes, dir, root);
  const [, twoThreads] = subjects;
  const cases = CASES.filter(({ name }) => MEASURED.includes(name));
  const generator = startGenerator(processes, BOTH_CPUS);
  const { series, repeated, disturbed } = await runRounds(generator, cases, subjects, ROUNDS, foreignCpuUs);
  const lines = [
    `medians of ${ROUNDS.rounds} rounds of ${ROUNDS.seconds} s, everything on the same ${CORES} cores; ` +
      `${repeated} samples repeated, ${disturbed} of ${series.length * ROUNDS.rounds} kept though other programs ran`,
    '',
    `${'case'.padEnd(49)}${'subject'.padEnd(13)}requests/s   µs CPU a request   p50 ms   p99 ms`,
    ...series.map(line),
    '',
    ...cases.map((one) => comparison(one, ofCase(series, one))),
  ];
  if (twoThreads !== undefined) lines.push('', await spread(generator, cases[0] as Case, twoThreads));
  return lines.join('\n');
}

function ofCase(series: readonly Series[], one: Case): Series[] {
  return series.filter((entry) => entry.case === one);
}

function line(entry: Series): string {
  const columns = [
    medianOf(entry, 'requestsPerSecond').toFixed(0).padStart(10),
    medianOf(entry, 'cpuUsPerRequest').toFixed(1).padStart(19),
    medianOf(entry, 'p50Ms').toFixed(2).padStart(9),
    medianOf(entry, 'p99Ms').toFixed(2).padStart(9),
  ];
  return `${entry.case.title.padEnd(49)}${entry.subject.name.padEnd(13)}${columns.join('')}`;
}

function comparison({ title }: Case, [one, threads, daemons]: readonly Series[]): string {
  if (one === undefined || threads === undefined || daemons === undefined) return '';
  const cost = cpuRatio(threads, daemons);
  const [low, high] = cpuRatioQuartiles(threads, daemons);
  const rate = medianOfPairs(threads, one, (a, b) => a.requestsPerSecond / b.requestsPerSecond);
  return (
    `${title}: two threads take ×${cost.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)}) of two daemons' CPU a request: ` +
    `×${Math.min(CORES, CORES / cost).toFixed(2)} of one on cores of their own. Beside the load, ×${rate.toFixed(2)}`
  );
}

async function spread(generator: Generator, one: Case, { port, pids: [pid = 0] }: Subject): Promise<string> {
  const [before, machineBefore, startedAt] = [threadCpuUs(pid), machineCpuUs(), performance.now()];
  await generator.load(port, one, SPREAD_SECONDS);
  const coresUs = (performance.now() - startedAt) * 1_000 * CORES;
  const used = [...threadCpuUs(pid)].map(([thread, us]) => us - (before.get(thread) ?? 0));
  const share = Math.max(...used) / used.reduce((sum, us) => sum + us, 0);
  return (
    `${one.title}, two threads: the cores were busy ${percent((machineCpuUs() - machineBefore) / coresUs)} of the time, and ` +
    `the busier thread used ${percent(share)} of the daemon's CPU (${one.connections} connections, spread by the kernel)`
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
