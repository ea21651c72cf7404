/**
 * Counters, gauges and histograms in Prometheus' text format (version 0.0.4). Ours rather than a library's for one reason:
 * a series is a plain object whose handle a caller keeps, so that counting on the request path is `handle.value += 1` with
 * no label look-up and no hashing.
 */

import { type Kind, type MetricsSnapshot, renderSnapshot, type SeriesSnapshot } from './metrics-snapshot.ts';

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export class Counter {
  value = 0;

  inc(by = 1): void {
    this.value += by;
  }
}

export class Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  add(by: number): void {
    this.value += by;
  }
}

export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length);
  }

  /** Adds one observation, in the histogram's own unit. Values above the last bound count in +Inf only. */
  observe(value: number): void {
    this.sum += value;
    this.count += 1;
    const { bounds } = this;
    for (let i = 0; i < bounds.length; i += 1) {
      if (value <= (bounds[i] as number)) {
        this.counts[i] = (this.counts[i] as number) + 1;
        return;
      }
    }
  }
}

/** All series of one metric name. `with(...values)` finds or makes the series for those label values, in label order. */
export class Family<Series> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly labelNames: readonly string[];
  readonly #make: () => Series;
  readonly #series = new Map<string, Series>();

  constructor(kind: Kind, name: string, help: string, labelNames: readonly string[], make: () => Series) {
    this.kind = kind;
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    this.#make = make;
  }

  with(...values: string[]): Series {
    const key = this.labelNames.map((label, i) => `${label}="${escapeLabelValue(values[i] ?? '')}"`).join(',');
    let series = this.#series.get(key);
    if (series === undefined) {
      series = this.#make();
      this.#series.set(key, series);
    }
    return series;
  }

  entries(): [string, Series][] {
    return [...this.#series];
  }
}

/** The metrics of one process. `collect` functions run just before each scrape, for values that are read and not counted. */
export class MetricsRegistry {
  readonly #families = new Map<string, Family<Counter> | Family<Gauge> | Family<Histogram>>();
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string, labelNames: readonly string[] = []): Family<Counter> {
    return this.#family(name, () => new Family('counter', name, help, labelNames, () => new Counter()));
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): Family<Gauge> {
    return this.#family(name, () => new Family('gauge', name, help, labelNames, () => new Gauge()));
  }

  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly string[] = [],
  ): Family<Histogram> {
    return this.#family(name, () => new Family('histogram', name, help, labelNames, () => new Histogram(bounds)));
  }

  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  /** All series as Prometheus text. */
  render(): string {
    return renderSnapshot(this.snapshot());
  }

  /** All series as they stand, in a form that another thread can be sent. */
  snapshot(): MetricsSnapshot {
    for (const collect of this.#collectors) collect();
    return [...this.#families.values()].map((family) => ({
      name: family.name,
      help: family.help,
      kind: family.kind,
      series: family.entries().map(([labels, series]) => [labels, standing(series)] as const),
    }));
  }

  #family<F extends Family<Counter> | Family<Gauge> | Family<Histogram>>(name: string, make: () => F): F {
    const known = this.#families.get(name);
    if (known !== undefined) return known as F;
    const family = make();
    this.#families.set(name, family);
    return family;
  }
}

function standing(series: Counter | Gauge | Histogram): SeriesSnapshot {
  if (!(series instanceof Histogram)) return series.value;
  const { bounds, counts, sum, count } = series;
  return { bounds, counts: [...counts], sum, count };
}

function escapeLabelValue(value: string): string {
  return /[\\"\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
}
