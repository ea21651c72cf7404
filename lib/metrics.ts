/**
 * Counters, gauges and histograms in Prometheus' text format (version 0.0.4). Ours rather than a library's for one reason:
 * a series is a plain object whose handle a caller keeps, so that counting on the request path is `handle.value += 1` with
 * no label look-up and no hashing.
 */

import {
  type Eviction,
  type Kind,
  type MetricsSnapshot,
  renderSnapshot,
  type SeriesSnapshot,
} from './metrics-snapshot.ts';
import { Room } from './series-room.ts';

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

type Series = Counter | Gauge | Histogram;

/**
 * How long series live, and whether their number is limited. `kept`: for ever; the program's own text bounds their number.
 * `evicted`: their labels name what comes and goes in a cluster; they end when nothing has been counted for a while (idle-series.ts), and
 * their holders may count on all the same. `collected`: such that collectors make anew for each scrape.
 */
export type Life = 'kept' | 'evicted' | 'collected';

/** All series of one metric name. */
export class Family<S extends Series> {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind;
  readonly labelNames: readonly string[];
  readonly life: Life;
  readonly #make: () => S;
  readonly #room: Room;
  readonly #series = new Map<string, S>();
  /** As long as somebody holds them. */
  readonly #evicted = new Map<string, WeakRef<S>>();

  constructor(
    what: { kind: Kind; name: string; help: string; labelNames: readonly string[]; life: Life },
    room: Room,
    make: () => S,
  ) {
    this.kind = what.kind;
    this.name = what.name;
    this.help = what.help;
    this.labelNames = what.labelNames;
    this.life = what.life;
    this.#room = room;
    this.#make = make;
  }

  /**
   * Finds or makes the series for those label values, in label order; '' leaves a label out. Where the registry has no room for
   * another, gives one that all such share, whose labels all are `other`.
   */
  with(...values: string[]): S {
    const labels = labelText(this.labelNames, values);
    const known = this.#series.get(labels);
    if (known !== undefined) return known;
    const held = this.#evicted.get(labels)?.deref();
    this.#evicted.delete(labels);
    if (held !== undefined) return this.#keep(labels, held);
    if (this.life === 'kept' || this.#room.take()) return this.#keep(labels, this.#make());
    const other = this.labelNames.map((name) => `${name}="other"`).join(',');
    return this.#series.get(other) ?? this.#keep(other, this.#make());
  }

  /** Ends all. */
  clear(): void {
    this.#room.used -= this.#series.size;
    this.#series.clear();
  }

  entries(): [string, S][] {
    if (this.#evicted.size > 0) this.#bringBack();
    return [...this.#series];
  }

  /** Takes from a series what was shown of it, and ends it where that is all: whatever was counted since is the first of a new one. */
  evict(labels: string, shown: SeriesSnapshot): void {
    const series = this.#series.get(labels);
    if (series === undefined) return;
    if (!(series instanceof Gauge)) subtract(series, shown);
    if (!isZero(series)) return;
    this.#series.delete(labels);
    this.#room.used -= 1;
    this.#evicted.set(labels, new WeakRef(series));
  }

  /** Those that have been counted on since. */
  #bringBack(): void {
    for (const [labels, held] of this.#evicted) {
      const series = held.deref();
      if (series !== undefined && isZero(series)) continue;
      this.#evicted.delete(labels);
      if (series !== undefined) this.#keep(labels, series);
    }
  }

  #keep(labels: string, series: S): S {
    this.#series.set(labels, series);
    if (this.life !== 'kept') this.#room.used += 1;
    return series;
  }
}

/** The metrics of one process. `collect` functions run just before each look at them, for values that are read and not counted. */
export class MetricsRegistry {
  readonly #families = new Map<string, Family<Counter> | Family<Gauge> | Family<Histogram>>();
  readonly #collectors: ((scraped: boolean) => void)[] = [];
  readonly #room: Room;

  /** `maxSeries`: of all names together whose series are not kept, a histogram being one; what comes later is counted with others. */
  constructor(maxSeries = 10_000) {
    this.#room = new Room(maxSeries);
  }

  counter(name: string, help: string, labelNames: readonly string[] = [], life: Life = 'kept'): Family<Counter> {
    const what = { kind: 'counter', name, help, labelNames, life } as const;
    return this.#family(name, () => new Family(what, this.#room, () => new Counter()));
  }

  gauge(name: string, help: string, labelNames: readonly string[] = [], life: Life = 'kept'): Family<Gauge> {
    const what = { kind: 'gauge', name, help, labelNames, life } as const;
    return this.#family(name, () => new Family(what, this.#room, () => new Gauge()));
  }

  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labelNames: readonly string[] = [],
    life: Life = 'kept',
  ): Family<Histogram> {
    const what = { kind: 'histogram', name, help, labelNames, life } as const;
    return this.#family(name, () => new Family(what, this.#room, () => new Histogram(bounds)));
  }

  /** `scraped`: as `snapshot` was told. */
  onCollect(collect: (scraped: boolean) => void): void {
    this.#collectors.push(collect);
  }

  /** How often a series was asked for that there was no room for. */
  get droppedSeries(): number {
    return this.#room.refused;
  }

  /** All series as Prometheus text. */
  render(): string {
    return renderSnapshot(this.snapshot(true));
  }

  /**
   * All series as they stand, in a form that another thread can be sent. `scraped`: for whoever looks from outside, so that what is told
   * since the last time begins anew.
   */
  snapshot(scraped = false): MetricsSnapshot {
    for (const family of this.#families.values()) if (family.life === 'collected') family.clear();
    for (const collect of this.#collectors) collect(scraped);
    return [...this.#families.values()].map((family) => ({
      name: family.name,
      help: family.help,
      kind: family.kind,
      evicts: family.life === 'evicted',
      series: family.entries().map(([labels, series]) => [labels, standing(series)] as const),
    }));
  }

  /** Some families' series as they stand, without asking collectors: those may tell what was since the last scrape. */
  read(names: readonly string[]): MetricsSnapshot {
    return names.flatMap((name) => {
      const family = this.#families.get(name);
      if (family === undefined) return [];
      const { help, kind } = family;
      return [{ name, help, kind, series: family.entries().map(([labels, one]) => [labels, standing(one)] as const) }];
    });
  }

  /** Ends these series, each with its value in the snapshot by which that was decided: see Family.evict. */
  evict(evictions: readonly Eviction[]): void {
    for (const { name, series } of evictions) {
      const family = this.#families.get(name);
      for (const [labels, shown] of series) family?.evict(labels, shown);
    }
  }

  #family<F extends Family<Counter> | Family<Gauge> | Family<Histogram>>(name: string, make: () => F): F {
    const known = this.#families.get(name);
    if (known !== undefined) return known as F;
    const family = make();
    this.#families.set(name, family);
    return family;
  }
}

function standing(series: Series): SeriesSnapshot {
  if (!(series instanceof Histogram)) return series.value;
  const { bounds, counts, sum, count } = series;
  return { bounds, counts: [...counts], sum, count };
}

function subtract(series: Counter | Histogram, shown: SeriesSnapshot): void {
  if (series instanceof Counter) {
    series.value -= Number(shown);
  } else if (typeof shown !== 'number') {
    shown.counts.forEach((count, i) => {
      series.counts[i] = (series.counts[i] ?? 0) - count;
    });
    series.sum -= shown.sum;
    series.count -= shown.count;
  }
}

function isZero(series: Series): boolean {
  return (series instanceof Histogram ? series.count : series.value) === 0;
}

/** In Prometheus a label that is empty is one that is not there ("Data model"). */
function labelText(names: readonly string[], values: readonly string[]): string {
  let text = '';
  for (let i = 0; i < names.length; i += 1) {
    const value = values[i] ?? '';
    if (value !== '') text += `${text === '' ? '' : ','}${names[i]}="${escapeLabelValue(value)}"`;
  }
  return text;
}

function escapeLabelValue(value: string): string {
  return /[\\"\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
}
