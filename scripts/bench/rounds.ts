import type { Case } from './cases.ts';
import type { Generator } from './generator.ts';
import { usage } from './processes.ts';
import { median } from './statistics.ts';
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
}

/**
 * Runs every case through every subject, round by round, so that a slow moment of the machine meets all alike. Each round
 * begins with the next subject, so that none profits from its place.
 */
export async function runRounds(
  generator: Generator,
  cases: readonly Case[],
  subjects: readonly Subject[],
  options: RoundOptions,
): Promise<Series[]> {
  const series = cases.flatMap((one) => subjects.map((subject) => ({ case: one, subject, samples: [] as Sample[] })));
  for (const { case: one, subject } of series) await measure(generator, one, subject, options.warmUpSeconds);
  for (let round = 0; round < options.rounds; round += 1) {
    for (const one of cases) {
      const inTurn = series.filter((entry) => entry.case === one);
      for (let i = 0; i < inTurn.length; i += 1) {
        const entry = inTurn[(i + round) % inTurn.length];
        entry?.samples.push(await measure(generator, one, entry.subject, options.seconds));
      }
    }
  }
  return series;
}

/** The median of one column. */
export function medianOf(series: Series, column: keyof Sample): number {
  return median(series.samples.map((sample) => sample[column]));
}

/** The median over the rounds of what `combine` makes of a round's samples of two series, e.g. their ratio. */
export function medianOfPairs(a: Series, b: Series, combine: (a: Sample, b: Sample) => number): number {
  return median(a.samples.map((sample, round) => combine(sample, b.samples[round] as Sample)));
}

/** CPU per request of `a` as a multiple of that of `b`. */
export function cpuRatio(a: Series, b: Series): number {
  return medianOfPairs(a, b, (one, other) => one.cpuUsPerRequest / other.cpuUsPerRequest);
}

async function measure(generator: Generator, one: Case, subject: Subject, seconds: number): Promise<Sample> {
  const before = usage(subject.pids);
  const result = await generator.load(subject.port, one, seconds).catch((error: unknown) => {
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
