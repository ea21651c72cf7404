import type { MetricsSnapshot, SeriesSnapshot } from '../metrics-snapshot.ts';
import { bucketsOf, readLabels } from '../snapshot-reading.ts';
import { Turns } from '../turns.ts';
import { type Counts, type EdgeStats, INTERVAL_MS, INTERVALS, type PodStats } from './node-stats.ts';

/** What is read of a daemon's metrics. */
export const STATS_FAMILIES = ['request_total', 'response_total', 'response_latency_ms', 'retry_total'] as const;

/** Of each interval: requests, successes, failures, retries, and then the latency buckets. */
const [REQUESTS, SUCCESSES, FAILURES, RETRIES, LATENCY] = [0, 1, 2, 3, 4];
/** One more than is shown, for the interval that is being written. */
const SLOTS = INTERVALS + 1;

type PodCounts = Pick<PodStats, 'namespace' | 'name' | 'services' | 'series' | keyof Counts>;

export interface RecentCounts {
  /** ms since 1970: the end of the last interval; 0 before the first. */
  readonly at: number;
  readonly windowMs: number;
  readonly boundsMs: readonly number[];
  readonly edges: readonly EdgeStats[];
  /** Pods that requests came to. */
  readonly pods: readonly PodCounts[];
}

/** The intervals of one caller and Service, or of one pod. */
interface Track {
  readonly edge: { readonly source: EdgeStats['source']; readonly service: EdgeStats['service'] } | undefined;
  readonly pod: { readonly namespace: string; readonly name: string; readonly services: Set<string> } | undefined;
  readonly slots: Uint32Array;
  activeAt: number;
}

/** One series of the metrics: which track it belongs to, and what each thread had counted when it was last looked at. */
interface Followed {
  readonly track: Track | undefined;
  readonly field: number;
  readonly last: (readonly number[] | undefined)[];
  /** By thread, the interval in which it was there last. */
  readonly seenAt: number[];
}

/**
 * What the counters grew by in each of the last intervals. Takes what all threads have counted once an interval; their counts
 * only rise, and a series that was evicted and came back begins at 0 again.
 */
export class StatsHistory {
  readonly #bounds: readonly number[];
  readonly #stride: number;
  readonly #tracks = new Map<string, Track>();
  /** By family, and there by label text: which is read once. */
  readonly #followed = new Map<string, Map<string, Followed>>();
  /** By thread, the interval in which it answered last. */
  readonly #answeredAt: number[] = [];
  /** Intervals that have ended. */
  #ended = 0;
  #at = 0;

  /** `boundsMs`: of response_latency_ms. */
  constructor(boundsMs: readonly number[]) {
    this.#bounds = boundsMs;
    this.#stride = LATENCY + boundsMs.length + 1;
    for (const name of STATS_FAMILIES) this.#followed.set(name, new Map());
  }

  /**
   * Ends an interval at `at` (ms since 1970). `threads` are all threads' snapshots, each always at the same place; undefined for
   * one that has not answered, whose counts then go into the next interval. Works in turns; not to be called again before it settles.
   */
  async take(threads: readonly (MetricsSnapshot | undefined)[], at: number): Promise<void> {
    const turns = new Turns();
    const late = threads.includes(undefined);
    const slot = (this.#ended % SLOTS) * this.#stride;
    for (const { slots } of this.#tracks.values()) slots.fill(0, slot, slot + this.#stride);
    for (const [thread, snapshot] of threads.entries()) {
      if (snapshot === undefined) continue;
      for (const { name, series } of snapshot) {
        const known = this.#followed.get(name);
        if (known === undefined) continue;
        for (const [labels, value] of series) {
          this.#grow(this.#follow(name, known, labels), thread, value, slot);
          const pause = turns.end();
          if (pause !== undefined) await pause;
        }
      }
      this.#answeredAt[thread] = this.#ended;
    }
    if (!late) this.#forget();
    this.#ended += 1;
    this.#at = at;
  }

  /** The last `windowMs`, or as much of it as there is; whole intervals. */
  read(windowMs: number): RecentCounts {
    const intervals = Math.min(Math.max(1, Math.round(windowMs / INTERVAL_MS)), INTERVALS, this.#ended);
    const edges: EdgeStats[] = [];
    const pods: PodCounts[] = [];
    for (const { edge, pod, slots } of this.#tracks.values()) {
      const counts = this.#counts(slots, intervals);
      const series = { requests: this.#line(slots, REQUESTS), failures: this.#line(slots, FAILURES) };
      if (edge !== undefined) edges.push({ ...edge, ...counts, series });
      if (pod !== undefined) pods.push({ ...pod, services: [...pod.services].sort(), ...counts, series });
    }
    return { at: this.#at, windowMs: intervals * INTERVAL_MS, boundsMs: this.#bounds, edges, pods };
  }

  #follow(name: string, known: Map<string, Followed>, labels: string): Followed {
    let followed = known.get(labels);
    if (followed === undefined) {
      const values = readLabels(labels);
      followed = { track: this.#trackOf(name, values), field: fieldOf(name, values), last: [], seenAt: [] };
      known.set(labels, followed);
    }
    return followed;
  }

  #grow({ track, field, last, seenAt }: Followed, thread: number, value: SeriesSnapshot, slot: number): void {
    const now = typeof value === 'number' ? [value] : bucketsOf(value);
    const known =
      seenAt[thread] !== undefined && seenAt[thread] === this.#answeredAt[thread] ? last[thread] : undefined;
    last[thread] = now;
    seenAt[thread] = this.#ended;
    if (track === undefined) return;
    const before = known?.some((count, i) => count > (now[i] ?? 0)) === true ? undefined : known;
    for (const [i, count] of now.entries()) {
      const growth = count - (before?.[i] ?? 0);
      if (growth === 0) continue;
      const at = slot + field + i;
      track.slots[at] = (track.slots[at] ?? 0) + growth;
      track.activeAt = this.#ended;
    }
  }

  /** Series that were evicted, and tracks in which nothing has happened for as long as is shown. */
  #forget(): void {
    for (const known of this.#followed.values()) {
      for (const [labels, { seenAt }] of known) if (!seenAt.includes(this.#ended)) known.delete(labels);
    }
    const followed = new Set<Track | undefined>();
    for (const known of this.#followed.values()) for (const { track } of known.values()) followed.add(track);
    for (const [key, track] of this.#tracks) {
      if (!followed.has(track) && track.activeAt <= this.#ended - INTERVALS) this.#tracks.delete(key);
    }
  }

  #trackOf(name: string, labels: Readonly<Record<string, string>>): Track | undefined {
    const label = (of: string) => labels[of] ?? '';
    const [dstNamespace, dstService, dstPod] = [label('dst_namespace'), label('dst_service'), label('dst_pod')];
    if (dstService === '') return undefined;
    if (label('router') === 'outgoing') {
      const source = { namespace: label('src_namespace'), workload: label('src_workload') };
      const service = { namespace: dstNamespace, name: dstService };
      const key = JSON.stringify([source.namespace, source.workload, dstNamespace, dstService]);
      return this.#track(key, { edge: { source, service }, pod: undefined });
    }
    if (label('router') !== 'incoming' || dstPod === '' || name === 'retry_total') return undefined;
    const pod = { namespace: dstNamespace, name: dstPod, services: new Set<string>() };
    const track = this.#track(JSON.stringify([dstNamespace, dstPod]), { edge: undefined, pod });
    track.pod?.services.add(`${dstNamespace}/${dstService}`);
    return track;
  }

  #track(key: string, of: Pick<Track, 'edge' | 'pod'>): Track {
    let track = this.#tracks.get(key);
    if (track === undefined) {
      track = { ...of, slots: new Uint32Array(SLOTS * this.#stride), activeAt: this.#ended };
      this.#tracks.set(key, track);
    }
    return track;
  }

  #counts(slots: Uint32Array, intervals: number): Counts {
    const sums = new Array<number>(this.#stride).fill(0);
    for (let back = 1; back <= intervals; back += 1) {
      const slot = ((this.#ended - back) % SLOTS) * this.#stride;
      for (let i = 0; i < this.#stride; i += 1) sums[i] = (sums[i] as number) + (slots[slot + i] as number);
    }
    const [requests = 0, successes = 0, failures = 0, retries = 0, ...latency] = sums;
    return { requests, successes, failures, retries, latency };
  }

  #line(slots: Uint32Array, field: number): number[] {
    return Array.from({ length: INTERVALS }, (_, i) => {
      const interval = this.#ended - INTERVALS + i;
      return interval < 0 ? 0 : (slots[(interval % SLOTS) * this.#stride + field] as number);
    });
  }
}

function fieldOf(name: string, labels: Readonly<Record<string, string>>): number {
  if (name === 'request_total') return REQUESTS;
  if (name === 'retry_total') return RETRIES;
  if (name === 'response_latency_ms') return LATENCY;
  return labels.classification === 'failure' ? FAILURES : SUCCESSES;
}
