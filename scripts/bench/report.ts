import type { Case } from './cases.ts';
import { cpuRatio, cpuRatioQuartiles, medianOf, type Series } from './rounds.ts';
import { DIRECT } from './subjects.ts';
import type { Verdict } from './wanted.ts';

const HEADINGS = ['', 'CPU µs/request', 'nodemesh ÷ it', 'requests/s', 'core used', 'p50 ms', 'p99 ms', 'RSS MB'];

/** Where and how a run was made. */
export interface Circumstances {
  readonly cpu: string;
  readonly kernel: string;
  readonly node: string;
  readonly date: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Load averages over one minute. */
  readonly loadBefore: number;
  readonly loadAfter: number;
  /** Samples in all, those taken again because other programs ran meanwhile, and those kept although they did. */
  readonly samples: number;
  readonly repeated: number;
  readonly disturbed: number;
  readonly pinned: boolean;
}

/** One table a case, as text. `series` holds the subject that the others are compared with first. */
export function tables(series: readonly Series[]): string {
  return casesOf(series)
    .map((one) => `${one.title}; ${one.connections} connections\n${table(series.filter((s) => s.case === one))}`)
    .join('\n');
}

/** A page in Markdown: circumstances, wanted figures, a table a case. `notes`: what was left out, a line each. */
export function page(
  series: readonly Series[],
  verdicts: readonly Verdict[],
  where: Circumstances,
  notes: readonly string[],
): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const ruler = (cells: readonly string[]) => row(cells.map((_, i) => (i === 0 ? '---' : '---:')));
  const wanted = ['wanted', 'limit', 'measured', ''];
  const lines = [
    '# What a proxied request costs',
    '',
    `\`npm run bench\` on ${where.date}: ${where.cpu}, Linux ${where.kernel}, Node ${where.node}; medians of ${where.rounds} rounds of`,
    `${where.seconds} s, interleaved; ${where.pinned ? 'the proxy on one core, load and application on the other' : 'nothing pinned to a core'}. Of ${where.samples} samples`,
    `${where.repeated} were repeated and ${where.disturbed} kept although other programs ran; load average ${where.loadBefore.toFixed(2)} before, ${where.loadAfter.toFixed(2)} after.`,
    '',
    '![CPU time per proxied GET](cpu-per-request.svg)',
    '',
    'What slow, failing and missing pods cost callers: [failures.md](failures.md).',
    '',
    row(wanted),
    ruler(wanted),
    ...verdicts.map(({ what, limit, measured, unit, met }) =>
      row([what, `≤ ${limit}${unit}`, `${measured.toFixed(2)}${unit}`, met ? 'met' : '**not met**']),
    ),
    ...notes.map((note) => `\nLeft out: ${note}`),
  ];
  for (const one of casesOf(series)) {
    const [heading = [], ...rows] = cellsOf(series.filter((s) => s.case === one));
    lines.push(
      '',
      `## ${one.title}; ${one.connections} connections`,
      '',
      row(heading),
      ruler(heading),
      ...rows.map(row),
    );
  }
  return `${lines.join('\n')}\n`;
}

/** What the first subject costs as a multiple of the second, case by case, as text: median and middle half of the rounds. */
export function comparison(series: readonly Series[]): string {
  const lines = casesOf(series).map((one) => {
    const [own, other] = series.filter((s) => s.case === one) as [Series, Series];
    const [low, high] = cpuRatioQuartiles(own, other).map((value) => value.toFixed(3)) as [string, string];
    return `${one.name.padEnd(10)} ×${cpuRatio(own, other).toFixed(3)} of the other's CPU per request (${low} to ${high})`;
  });
  return `${lines.join('\n')}\n`;
}

/** Everything measured, for docs/bench/results.json: medians over the rounds, and ratios as medians of the rounds' ratios. */
export function results(series: readonly Series[], verdicts: readonly Verdict[], where: Circumstances): object {
  const cases = casesOf(series).map((one) => ({
    name: one.name,
    title: one.title,
    connections: one.connections,
    subjects: series.filter((s) => s.case === one).map((s) => figures(s, first(series, one))),
  }));
  return { ...where, wanted: verdicts, cases };
}

/** What the first subject costs as a multiple of this one, or undefined where this one uses no CPU of its own. */
function ratio(series: Series, own: Series): number | undefined {
  return series.subject.name === DIRECT ? undefined : cpuRatio(own, series);
}

function figures(series: Series, own: Series): object {
  const rounded = (value: number) => Number(value.toPrecision(4));
  const direct = series.subject.name === DIRECT;
  const multiple = ratio(series, own);
  return {
    name: series.subject.name,
    ...(direct || multiple === undefined
      ? {}
      : {
          cpuUsPerRequest: rounded(medianOf(series, 'cpuUsPerRequest')),
          nodemeshRatio: rounded(multiple),
          coreShare: rounded(medianOf(series, 'coreShare')),
          rssMb: rounded(medianOf(series, 'rssMb')),
        }),
    requestsPerSecond: rounded(medianOf(series, 'requestsPerSecond')),
    p50Ms: rounded(medianOf(series, 'p50Ms')),
    p99Ms: rounded(medianOf(series, 'p99Ms')),
  };
}

function table(series: readonly Series[]): string {
  const cells = cellsOf(series);
  const widths = HEADINGS.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return `${cells.map(line).join('\n')}\n`;
}

function cellsOf(series: readonly Series[]): string[][] {
  const own = series[0] as Series;
  const rows = series.map((one) => {
    const multiple = ratio(one, own);
    const column = (value: number, digits: number) => (multiple === undefined ? '' : value.toFixed(digits));
    return [
      one.subject.name,
      column(medianOf(one, 'cpuUsPerRequest'), 1),
      multiple === undefined ? '' : `×${multiple.toFixed(2)}`,
      medianOf(one, 'requestsPerSecond').toFixed(0),
      multiple === undefined ? '' : `${(100 * medianOf(one, 'coreShare')).toFixed(0)} %`,
      medianOf(one, 'p50Ms').toFixed(2),
      medianOf(one, 'p99Ms').toFixed(2),
      column(medianOf(one, 'rssMb'), 0),
    ];
  });
  return [HEADINGS, ...rows];
}

function casesOf(series: readonly Series[]): Case[] {
  return [...new Set(series.map((one) => one.case))];
}

function first(series: readonly Series[], one: Case): Series {
  return series.find((s) => s.case === one) as Series;
}
