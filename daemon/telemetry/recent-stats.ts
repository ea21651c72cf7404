import { X509Certificate } from 'node:crypto';
import type { Pod } from '../../lib/kubernetes/pod.ts';
import type { Log } from '../../lib/log.ts';
import type { MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import type { Readiness } from '../../lib/readiness.ts';
import { type DaemonStatus, INTERVAL_MS, type NodeStats } from '../../lib/stats/node-stats.ts';
import { nodeStatsOf } from '../../lib/stats/node-stats-of.ts';
import { STATS_FAMILIES, StatsHistory } from '../../lib/stats/stats-history.ts';
import type { Identity } from '../identity/identity.ts';
import { LATENCY_BOUNDS_MS } from './daemon-metrics.ts';

export interface RecentStatsOptions {
  readonly node: string;
  /** Of each thread, always in the same order; never rejects. */
  readonly read: (families: readonly string[]) => Promise<(MetricsSnapshot | undefined)[]>;
  readonly pods: () => Iterable<Pod>;
  readonly readiness: Readiness;
  /** By router label. */
  readonly tls: Readonly<Record<string, string>>;
  readonly identity: () => Identity | undefined;
  readonly version: string;
  readonly log: Log;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** What this daemon has counted in the last minutes, and how it stands. */
export class RecentStats {
  readonly #options: RecentStatsOptions;
  readonly #history = new StatsHistory(LATENCY_BOUNDS_MS);
  readonly #startedAt: number;
  #timer: NodeJS.Timeout | undefined;
  #taking = false;
  #certificate: { readonly pem: string; readonly notAfter: number } | undefined;

  constructor(options: RecentStatsOptions) {
    this.#options = options;
    this.#startedAt = options.wallClock();
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.take().catch((error: unknown) => this.#options.log.error({ err: error }, 'an interval of /stats is lost'));
    }, INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Ends an interval. One that comes while the last is still worked on is left out. */
  async take(): Promise<void> {
    if (this.#taking) return;
    this.#taking = true;
    try {
      await this.#history.take(await this.#options.read(STATS_FAMILIES), this.#options.wallClock());
    } finally {
      this.#taking = false;
    }
  }

  stats(windowMs: number): NodeStats {
    const { node, pods } = this.#options;
    return nodeStatsOf(node, this.#history.read(windowMs), pods(), this.#status());
  }

  #status(): DaemonStatus {
    const { readiness, tls, version } = this.#options;
    return {
      ready: readiness.ready,
      notes: readiness.pending(),
      tls,
      certificateNotAfter: this.#notAfter(),
      startedAt: this.#startedAt,
      version,
    };
  }

  #notAfter(): number | null {
    const pem = this.#options.identity()?.certificate;
    if (pem === undefined) return null;
    if (this.#certificate?.pem !== pem) {
      this.#certificate = { pem, notAfter: new X509Certificate(pem).validToDate.getTime() };
    }
    return this.#certificate.notAfter;
  }
}
