import type { Eviction, MetricsSnapshot, SeriesSnapshot } from './metrics-snapshot.ts';

/** As long as linkerd2-proxy keeps what nobody counts. */
const IDLE_MS = 10 * 60_000;

/** A series as it was when it last changed, at `since`, ms. */
interface Seen {
  readonly count: number;
  readonly since: number;
}

/**
 * Tells which series have not been counted for ten minutes, by looking at snapshots now and then: counting itself costs nothing
 * for it. Looks at what all threads have counted together, since a sum of which a part ends would fall, and Prometheus takes
 * a fall for a restart and what is left for new.
 */
export class IdleSeries {
  /** By name and labels. */
  #seen = new Map<string, Map<string, Seen>>();

  /** The labels of idle series, by name. `now`: monotonic, ms. A gauge goes after the counters of its labels, and never while it is not 0. */
  look(snapshot: MetricsSnapshot, now: number): ReadonlyMap<string, ReadonlySet<string>> {
    const allSeen = new Map<string, Map<string, Seen>>();
    const idle = new Map<string, Set<string>>();
    const counted = new Set<string>();
    const families = snapshot.filter(({ evicts }) => evicts === true);
    for (const { name, series } of families.filter(({ kind }) => kind !== 'gauge')) {
      const gone = new Set<string>();
      const seen = new Map<string, Seen>();
      allSeen.set(name, seen);
      for (const [labels, value] of series) {
        const count = countOf(value);
        const before = this.#seen.get(name)?.get(labels);
        const last = before?.count === count ? before : { count, since: now };
        if (now - last.since >= IDLE_MS) {
          gone.add(labels);
        } else {
          counted.add(labels);
          seen.set(labels, last);
        }
      }
      if (gone.size > 0) idle.set(name, gone);
    }
    for (const { name, series } of families.filter(({ kind }) => kind === 'gauge')) {
      const gone = series.filter(([labels, value]) => value === 0 && !counted.has(labels)).map(([labels]) => labels);
      if (gone.length > 0) idle.set(name, new Set(gone));
    }
    this.#seen = allSeen;
    return idle;
  }
}

/** One thread's part of those series, as it was shown. */
export function evictionsOf(snapshot: MetricsSnapshot, idle: ReadonlyMap<string, ReadonlySet<string>>): Eviction[] {
  return snapshot.flatMap(({ name, series }) => {
    const gone = idle.get(name);
    return gone === undefined ? [] : [{ name, series: series.filter(([labels]) => gone.has(labels)) }];
  });
}

function countOf(value: SeriesSnapshot): number {
  return typeof value === 'number' ? value : value.count;
}
