import type { Case } from './cases.ts';
import type { Generator } from './generator.ts';
import { usage } from './processes.ts';
import { median, quantile } from './statistics.ts';
import type { Subject } from './subjects.ts';

/** One run of one case through one subject. */
export interface Sample {
  readonly cpuUsPerRequest: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of the core that the subject used; well under 1, the load was what limited the rate. */
  readonly coreShare: number;
  readonly rssMb: number;
}

/** Every sample of one case and one subject, one a round. */
export interface Series {
  readonly case: Case;
  readonly subject: Subject;
  readonly samples: readonly Sample[];
}

export interface RoundOptions {
  readonly rounds: number;
  readonly seconds: number;
  /** Before the first round, s a case. */
  readonly warmUpSeconds: number;
  /** Spent at most on taking disturbed samples again, s in all. */
  readonly patienceSeconds: number;
}

export interface Measured {
  readonly series: readonly Series[];
  /** What others could not do, one line a case; left out of `series`. */
  readonly failed: readonly string[];
  /** Samples that were taken again, and those that had to be kept although others used the machine meanwhile. */
  readonly repeated: number;
  readonly disturbed: number;
}

/** A sample counts as disturbed where other programs took more than this much of one core. */
const QUIET = 0.15;

/**
 * Runs every case through every subject, round by round, so that a slow moment of the machine meets all alike. Each round
 * begins with the next subject, so that none profits from its place. `foreignCpuUs` tells what other programs of the machine
 * have used so far; what they disturb is measured again, as long as patience lasts.
 */
export async function runRounds(
  generator: Generator,
  cases: readonly Case[],
  subjects: readonly Subject[],
  options: RoundOptions,
  foreignCpuUs: () => number,
): Promise<Measured> {
  const series = cases.flatMap((one) => subjects.map((subject) => ({ case: one, subject, samples: [] as Sample[] })));
  const failed: string[] = [];
  for (const entry of [...series]) {
    try {
      await measure(generator, entry.case, entry.subject, options.warmUpSeconds);
    } catch (error) {
      if (entry.subject.own) throw error;
      series.splice(series.indexOf(entry), 1);
      failed.push(error instanceof Error ? error.message : String(error));
    }
  }
  let patienceMs = options.patienceSeconds * 1_000;
  let repeated = 0;
  let disturbed = 0;
  const measureInQuiet = async (one: Case, subject: Subject): Promise<Sample> => {
    for (;;) {
      const [startedAt, before] = [performance.now(), foreignCpuUs()];
      const sample = await measure(generator, one, subject, options.seconds);
      const tookMs = performance.now() - startedAt;
      if (foreignCpuUs() - before <= QUIET * tookMs * 1_000) return sample;
      if (patienceMs < tookMs) {
        disturbed += 1;
        return sample;
      }
      patienceMs -= tookMs;
      repeated += 1;
    }
  };
  for (let round = 0; round < options.rounds; round += 1) {
    for (const one of cases) {
      const inTurn = series.filter((entry) => entry.case === one);
      for (let i = 0; i < inTurn.length; i += 1) {
        const entry = inTurn[(i + round) % inTurn.length];
        entry?.samples.push(await measureInQuiet(one, entry.subject));
      }
    }
  }
  return { series, failed, repeated, disturbed };
}

/** The median of one column. */
export function medianOf(series: Series, column: keyof Sample): number {
  return median(series.samples.map((sample) => sample[column]));
}

/** The median over the rounds of what `combine` makes of a round's samples of two series, e.g. their ratio. */
export function medianOfPairs(a: Series, b: Series, combine: (a: Sample, b: Sample) => number): number {
  return median(a.samples.map((sample, round) => combine(sample, b.samples[round] as Sample)));
}

/** The middle half of the rounds' ratios of CPU per request: what a median may be off by. */
export function cpuRatioQuartiles(a: Series, b: Series): readonly [number, number] {
  const ratios = a.samples.map((one, round) => one.cpuUsPerRequest / (b.samples[round] as Sample).cpuUsPerRequest);
  const ascending = Float64Array.from(ratios).sort();
  return [quantile(ascending, 0.25), quantile(ascending, 0.75)];
}

/** CPU per request of `a` as a multiple of that of `b`. */
export function cpuRatio(a: Series, b: Series): number {
  return medianOfPairs(a, b, (one, other) => one.cpuUsPerRequest / other.cpuUsPerRequest);
}

/** Medians of a series as one line of text. */
export function seriesLine(entry: Series): string {
  const columns = [
    medianOf(entry, 'requestsPerSecond').toFixed(0).padStart(8),
    `${medianOf(entry, 'cpuUsPerRequest').toFixed(1)} µs CPU`.padStart(16),
    `p50 ${medianOf(entry, 'p50Ms').toFixed(2)} ms`.padStart(14),
    `p99 ${medianOf(entry, 'p99Ms').toFixed(2)} ms`.padStart(14),
  ];
  return `${entry.case.title.padEnd(36)}${entry.subject.name.padEnd(22)}${columns.join('')}`;
}

async function measure(generator: Generator, one: Case, subject: Subject, seconds: number): Promise<Sample> {
  const before = usage(subject.pids);
  const result = await generator.load(subject.ports ?? subject.port, one, seconds).catch((error: unknown) => {
    throw new Error(`${subject.name}, ${one.title}: ${error instanceof Error ? error.message : String(error)}`);
  });
  const after = usage(subject.pids);
  const cpuUs = after.cpuUs - before.cpuUs;
  return {
    cpuUsPerRequest: cpuUs / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    coreShare: cpuUs / (result.seconds * 1_000_000),
    rssMb: after.rssBytes / 1024 / 1024,
  };
}
