import { Turns } from './turns.ts';

export type Kind = 'counter' | 'gauge' | 'histogram';

export interface HistogramSnapshot {
  readonly bounds: readonly number[];
  /** Observations by bound, not cumulative; those above the last are in `count` alone. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export type SeriesSnapshot = number | HistogramSnapshot;

/** What a registry held at one moment: plain values, which a thread can send to another. `series` by their label text. */
export type MetricsSnapshot = readonly {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  /** Its series end once nothing is counted any more (idle-series.ts). */
  readonly evicts?: boolean;
  readonly series: readonly (readonly [labels: string, value: SeriesSnapshot])[];
}[];

/** Series that are to end, with what was shown of them. */
export type Eviction = Pick<MetricsSnapshot[number], 'name' | 'series'>;

/** Adds the same series of several snapshots up, gauges too: what the whole process has. Takes their order as it finds it. */
export function sumSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const [only] = snapshots;
  if (snapshots.length === 1 && only !== undefined) return only;
  const families = new Map<string, Omit<MetricsSnapshot[number], 'series'> & { series: Map<string, SeriesSnapshot> }>();
  for (const { series, ...what } of snapshots.flat()) {
    const { name } = what;
    let family = families.get(name);
    if (family === undefined) {
      family = { ...what, series: new Map() };
      families.set(name, family);
    }
    for (const [labels, value] of series) {
      const sum = family.series.get(labels);
      family.series.set(labels, sum === undefined ? value : add(sum, value));
    }
  }
  return [...families.values()].map((family) => ({ ...family, series: [...family.series] }));
}

/** A snapshot in Prometheus' text format, version 0.0.4. */
export function renderSnapshot(snapshot: MetricsSnapshot): string {
  return [...pieces(snapshot)].join('');
}

/** The same, with pauses in which the event loop does what else there is. */
export async function renderInTurns(snapshot: MetricsSnapshot): Promise<string> {
  const turns = new Turns();
  let text = '';
  for (const piece of pieces(snapshot)) {
    text += piece;
    await turns.end();
  }
  return text;
}

/** So many series are a fraction of a millisecond's work. */
const PIECE = 64;

function* pieces(snapshot: MetricsSnapshot): Generator<string> {
  for (const { name, help, kind, series } of snapshot) {
    yield `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`;
    for (let i = 0; i < series.length; i += PIECE) {
      yield series
        .slice(i, i + PIECE)
        .map(([labels, value]) => seriesText(name, labels, value))
        .join('');
    }
  }
}

/** Two histograms of one name have the same bounds: one program's code gives them. */
function add(a: SeriesSnapshot, b: SeriesSnapshot): SeriesSnapshot {
  if (typeof a === 'number' || typeof b === 'number') return Number(a) + Number(b);
  return {
    bounds: a.bounds,
    counts: a.counts.map((count, i) => count + (b.counts[i] ?? 0)),
    sum: a.sum + b.sum,
    count: a.count + b.count,
  };
}

function seriesText(name: string, labels: string, value: SeriesSnapshot): string {
  const braces = labels === '' ? '' : `{${labels}}`;
  if (typeof value === 'number') return `${name}${braces} ${value}\n`;
  const prefix = `${name}_bucket{${labels === '' ? '' : `${labels},`}le="`;
  let text = '';
  let cumulative = 0;
  for (let i = 0; i < value.bounds.length; i += 1) {
    cumulative += value.counts[i] ?? 0;
    text += `${prefix}${value.bounds[i]}"} ${cumulative}\n`;
  }
  text += `${prefix}+Inf"} ${value.count}\n`;
  return `${text}${name}_sum${braces} ${value.sum}\n${name}_count${braces} ${value.count}\n`;
}
