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
  readonly series: readonly (readonly [labels: string, value: SeriesSnapshot])[];
}[];

/** Adds the same series of several snapshots up, gauges too: what the whole process has. Takes their order as it finds it. */
export function sumSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const families = new Map<string, { help: string; kind: Kind; series: Map<string, SeriesSnapshot> }>();
  for (const { name, help, kind, series } of snapshots.flat()) {
    let family = families.get(name);
    if (family === undefined) {
      family = { help, kind, series: new Map() };
      families.set(name, family);
    }
    for (const [labels, value] of series) {
      const sum = family.series.get(labels);
      family.series.set(labels, sum === undefined ? value : add(sum, value));
    }
  }
  return [...families].map(([name, { help, kind, series }]) => ({ name, help, kind, series: [...series] }));
}

/** A snapshot in Prometheus' text format, version 0.0.4. */
export function renderSnapshot(snapshot: MetricsSnapshot): string {
  const lines: string[] = [];
  for (const { name, help, kind, series } of snapshot) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
    for (const [labels, value] of series) renderSeries(lines, name, labels, value);
  }
  return `${lines.join('\n')}\n`;
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

function renderSeries(lines: string[], name: string, labels: string, value: SeriesSnapshot): void {
  const braces = labels === '' ? '' : `{${labels}}`;
  if (typeof value === 'number') {
    lines.push(`${name}${braces} ${value}`);
    return;
  }
  const prefix = labels === '' ? '' : `${labels},`;
  let cumulative = 0;
  value.bounds.forEach((bound, i) => {
    cumulative += value.counts[i] ?? 0;
    lines.push(`${name}_bucket{${prefix}le="${bound}"} ${cumulative}`);
  });
  lines.push(`${name}_bucket{${prefix}le="+Inf"} ${value.count}`);
  lines.push(`${name}_sum${braces} ${value.sum}`, `${name}_count${braces} ${value.count}`);
}
