import { cpuRatio, medianOfPairs, type Series } from './rounds.ts';
import { DIRECT, ONE_HOP } from './subjects.ts';

/** One limit and what was measured against it. */
export interface Verdict {
  readonly what: string;
  readonly limit: number;
  readonly measured: number;
  readonly unit: string;
  readonly met: boolean;
}

/** Checks the limits that the project sets itself; leaves out those whose subject was not measured. */
export function verdicts(series: readonly Series[]): Verdict[] {
  const find = (caseName: string, subject: string) =>
    series.find((one) => one.case.name === caseName && one.subject.name === subject);
  const saturating = series.filter((one) => one.subject.name === ONE_HOP && one.case.mode.kind !== 'paced');
  const ratios = saturating.flatMap((own) =>
    CPU_LIMITS.flatMap(([subject, limit]) => {
      const other = find(own.case.name, subject);
      if (other === undefined) return [];
      return [verdict(`CPU of one hop ÷ ${subject}'s, ${own.case.name}`, limit, cpuRatio(own, other), '')];
    }),
  );
  const paced = find('paced-64', ONE_HOP);
  const direct = find('paced-64', DIRECT);
  if (paced === undefined || direct === undefined) return ratios;
  const added = medianOfPairs(paced, direct, (proxied, straight) => proxied.p99Ms - straight.p99Ms);
  return [...ratios, verdict('added p99 at 1 000 requests/s', ADDED_P99_MS, added, ' ms')];
}

/** Compares a figure with the limit that it must not exceed. */
export function verdict(what: string, limit: number, measured: number, unit: string): Verdict {
  return { what, limit, measured, unit, met: measured <= limit };
}

/** `what   measured (wanted: at most limit)   met` as one line of text. */
export function verdictLine({ what, limit, measured, unit, met }: Verdict): string {
  const figure = `${measured.toFixed(2)}${unit}`.padStart(10);
  return `${what.padEnd(48)} ${figure}   wanted ≤ ${limit}${unit}   ${met ? 'met' : 'NOT MET'}`;
}

const CPU_LIMITS = [
  ['haproxy', 1.8],
  ['squid', 0.5],
  ['http-proxy', 0.2],
] as const;
const ADDED_P99_MS = 1;
