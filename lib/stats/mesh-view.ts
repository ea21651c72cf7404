/** What the console shows: of one node, or of the whole mesh. `mergeStats` makes it. */

/** Golden metrics over the window. A rate that nothing was answered in is null, and so are its percentiles. */
export interface Golden {
  /** Requests per second. */
  readonly rps: number;
  /** 0..1, of what was answered. */
  readonly successRate: number | null;
}

export interface MeshView {
  /** ms since 1970. */
  readonly at: number;
  readonly windowMs: number;
  readonly scope: { readonly kind: 'mesh' } | { readonly kind: 'node'; readonly node: string };
  /** All Services together: counts are added up before rates and percentiles are taken. */
  readonly total: TotalView;
  readonly nodes: readonly NodeView[];
  readonly services: readonly ServiceView[];
  readonly edges: readonly EdgeView[];
  readonly pods: readonly PodView[];
  /** What to do where there is nothing to see yet, a sentence each. */
  readonly hints: readonly string[];
}

export interface NodeView {
  readonly name: string;
  /** Of the daemon's admin port, `ip:port`; '' where it is the daemon's own console. */
  readonly address: string;
  readonly ready: boolean;
  readonly notes: readonly string[];
  /** Of its routers; `off`, `permissive`, `required`, or several with the routers' names. */
  readonly tls: string;
  /** ms since 1970. */
  readonly certificateNotAfter: number | null;
  readonly pods: number;
  readonly injected: number;
  /** Of requests that its pods sent. */
  readonly rps: number;
  /** Why there is nothing of it, and what to do; null where it answered. */
  readonly error: string | null;
}

export interface TotalView extends Golden {
  /** ms. */
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly retriesPerSecond: number;
  /** Oldest first, one number an interval of 5 s, 60 of them. */
  readonly series: { readonly rps: readonly number[]; readonly successRate: readonly (number | null)[] };
}

export interface ServiceView extends TotalView {
  readonly namespace: string;
  readonly name: string;
  readonly workloads: readonly string[];
  /** Of those workloads. */
  readonly pods: number;
}

export interface EdgeView extends Golden {
  /** `outside`: callers that are no pods; namespace and name are '' then. */
  readonly source: {
    readonly kind: 'service' | 'workload' | 'outside';
    readonly namespace: string;
    readonly name: string;
  };
  /** A Service. */
  readonly target: { readonly namespace: string; readonly name: string };
  readonly p95: number | null;
}

export interface PodView extends Golden {
  readonly namespace: string;
  readonly name: string;
  readonly node: string;
  readonly workload: string;
  readonly ready: boolean;
  readonly injected: boolean;
  readonly p95: number | null;
}
