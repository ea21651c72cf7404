/** What one daemon has counted lately, as its admin port gives it out under `/stats`. */

/** The daemon looks at its counters this often, ms. */
export const INTERVAL_MS = 5_000;
/** So many intervals are kept: five minutes. */
export const INTERVALS = 60;
/** How far `?window=` may reach back, seconds. */
export const MAX_WINDOW_S = (INTERVAL_MS * INTERVALS) / 1_000;
export const DEFAULT_WINDOW_S = 60;

export interface NodeStats {
  readonly node: string;
  /** ms since 1970: when the last interval ended. */
  readonly at: number;
  /** What the counts are of: this long before `at`, or less where the daemon has not run for so long. */
  readonly windowMs: number;
  readonly intervalMs: number;
  /** Upper bounds of `Counts.latency`, ms. */
  readonly boundsMs: readonly number[];
  /** Of the outgoing routers: who calls which Service. */
  readonly edges: readonly EdgeStats[];
  /** Every pod of this node, with what the incoming routers counted for it. */
  readonly pods: readonly PodStats[];
  readonly daemon: DaemonStatus;
}

export interface Counts {
  /** Begun. */
  readonly requests: number;
  /** Answered well, as the response classifier has it. */
  readonly successes: number;
  readonly failures: number;
  readonly retries: number;
  /** Answers by how long they took: one number a bound, not cumulative, and one more for those above the last. */
  readonly latency: readonly number[];
}

/** Oldest first, one number for each of the last INTERVALS intervals, whatever the window is. */
export interface Series {
  readonly requests: readonly number[];
  readonly failures: readonly number[];
}

export interface EdgeStats extends Counts {
  /** Both '' where the caller is no pod. */
  readonly source: { readonly namespace: string; readonly workload: string };
  readonly service: { readonly namespace: string; readonly name: string };
  readonly series: Series;
}

export interface PodStats extends Counts {
  readonly namespace: string;
  readonly name: string;
  readonly workload: string;
  readonly ip: string;
  readonly ready: boolean;
  readonly injected: boolean;
  /** `namespace/name` of the Services that requests came for. */
  readonly services: readonly string[];
  readonly series: Series;
}

export interface DaemonStatus {
  readonly ready: boolean;
  /** What is waited for, where it is not ready; and what else there is to know. */
  readonly notes: readonly string[];
  /** By router label: off, permissive or required. */
  readonly tls: Readonly<Record<string, string>>;
  /** ms since 1970; null where it has no certificate. */
  readonly certificateNotAfter: number | null;
  /** ms since 1970. */
  readonly startedAt: number;
  readonly version: string;
}
