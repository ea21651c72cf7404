import { hints } from './hints.ts';
import type { EdgeView, MeshView, NodeView, PodView, ServiceView, TotalView } from './mesh-view.ts';
import type { EdgeStats, NodeStats, PodStats } from './node-stats.ts';
import { perSecond, Tally } from './tally.ts';

/** One daemon as it was last asked: its stats, or why there are none. */
export interface NodeReading {
  readonly name: string;
  /** `ip:port` of its admin port; '' where it is the daemon itself that shows. */
  readonly address: string;
  readonly stats: NodeStats | null;
  /** For people: what was wrong and what to do. */
  readonly error: string | null;
}

export interface MergeContext {
  readonly scope: MeshView['scope'];
  /** ms since 1970. */
  readonly at: number;
  /** How many namespaces have the label that asks for the mesh; undefined where nobody here knows. */
  readonly labelledNamespaces: number | undefined;
  /** Why daemons cannot be looked for; undefined where they can. */
  readonly searchError?: string | undefined;
}

interface ServiceSum {
  readonly namespace: string;
  readonly name: string;
  /** By its callers. */
  readonly called: Tally;
  /** By its pods, where none has another Service: for a Service that is called from elsewhere only. */
  readonly served: Tally;
  edges: number;
  readonly workloads: Set<string>;
}

interface EdgeSum {
  readonly source: EdgeStats['source'];
  readonly target: EdgeStats['service'];
  readonly tally: Tally;
}

/**
 * Puts what daemons have counted together to one view. The order in which nodes are added does not matter. What a node says of
 * its edges is the callers' side: a Service has the counts of those who call it, and its pods their own.
 */
export class Merge {
  readonly #nodes: NodeView[] = [];
  readonly #pods: (PodStats & { readonly node: string })[] = [];
  readonly #podBounds = new Map<string, readonly number[]>();
  readonly #services = new Map<string, ServiceSum>();
  readonly #edges = new Map<string, EdgeSum>();
  readonly #servicesOf = new Map<string, Set<string>>();
  /** By `namespace/workload`. */
  readonly #podsOf = new Map<string, number>();
  readonly #bounds = new Set<number>();
  #windowMs = 0;

  add({ name, address, stats, error }: NodeReading): void {
    if (stats === null) {
      const empty = { ready: false, notes: [], tls: '', certificateNotAfter: null, pods: 0, injected: 0, rps: 0 };
      this.#nodes.push({ name, address, ...empty, error: error ?? 'nothing is known of it' });
      return;
    }
    this.#windowMs = Math.max(this.#windowMs, stats.windowMs);
    for (const bound of stats.boundsMs) this.#bounds.add(bound);
    for (const edge of stats.edges) this.#addEdge(edge, stats.boundsMs);
    for (const pod of stats.pods) this.#addPod(pod, name, stats.boundsMs);
    const { ready, notes, tls, certificateNotAfter } = stats.daemon;
    this.#nodes.push({
      name,
      address,
      ready,
      notes,
      tls: tlsText(tls),
      certificateNotAfter,
      pods: stats.pods.length,
      injected: stats.pods.filter(({ injected }) => injected).length,
      rps: stats.edges.reduce((sum, { requests }) => sum + requests, 0), // a second: below
      error,
    });
  }

  finish({ scope, at, labelledNamespaces, searchError }: MergeContext): MeshView {
    const windowMs = this.#windowMs;
    const bounds = [...this.#bounds].sort((a, b) => a - b);
    const nodes = this.#nodes.map((node) => ({ ...node, rps: perSecond(node.rps, windowMs) }));
    nodes.sort((a, b) => compare(a.name, b.name));
    const view = {
      at,
      windowMs,
      scope,
      total: this.#total(windowMs, bounds),
      nodes,
      services: this.#serviceViews(windowMs, bounds),
      edges: this.#edgeViews(windowMs, bounds),
      pods: this.#podViews(windowMs),
    };
    return { ...view, hints: hints({ ...view, labelledNamespaces, searchError }) };
  }

  #addEdge(edge: EdgeStats, bounds: readonly number[]): void {
    const { source, service } = edge;
    const key = JSON.stringify([source.namespace, source.workload, service.namespace, service.name]);
    let sum = this.#edges.get(key);
    if (sum === undefined) {
      sum = { source, target: service, tally: new Tally() };
      this.#edges.set(key, sum);
    }
    sum.tally.add(edge, bounds);
    const called = this.#service(`${service.namespace}/${service.name}`);
    called.called.add(edge, bounds);
    called.edges += 1;
  }

  #addPod(pod: PodStats, node: string, bounds: readonly number[]): void {
    this.#pods.push({ ...pod, node });
    this.#podBounds.set(node, bounds);
    const workload = `${pod.namespace}/${pod.workload}`;
    this.#podsOf.set(workload, (this.#podsOf.get(workload) ?? 0) + 1);
    for (const key of pod.services) {
      const service = this.#service(key);
      service.workloads.add(pod.workload);
      if (pod.services.length === 1) service.served.add(pod, bounds);
      const behind = this.#servicesOf.get(workload) ?? new Set();
      this.#servicesOf.set(workload, behind.add(key));
    }
  }

  #service(key: string): ServiceSum {
    const known = this.#services.get(key);
    if (known !== undefined) return known;
    const slash = key.indexOf('/');
    const [namespace, name] = [key.slice(0, slash), key.slice(slash + 1)];
    const workloads = new Set<string>();
    const service = { namespace, name, called: new Tally(), served: new Tally(), edges: 0, workloads };
    this.#services.set(key, service);
    return service;
  }

  #total(windowMs: number, bounds: readonly number[]): TotalView {
    const sum = new Tally();
    for (const service of this.#services.values()) sum.absorb(tallyOf(service));
    return goldenOf(sum, windowMs, bounds);
  }

  #serviceViews(windowMs: number, bounds: readonly number[]): ServiceView[] {
    const views = [...this.#services.values()].map((service) => {
      return {
        namespace: service.namespace,
        name: service.name,
        workloads: [...service.workloads].sort(compare),
        pods: [...service.workloads].reduce(
          (sum, workload) => sum + (this.#podsOf.get(`${service.namespace}/${workload}`) ?? 0),
          0,
        ),
        ...goldenOf(tallyOf(service), windowMs, bounds),
      };
    });
    return views.sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
  }

  /** Two workloads behind one Service are one source. */
  #edgeViews(windowMs: number, bounds: readonly number[]): EdgeView[] {
    const shown = new Map<string, { source: EdgeView['source']; target: EdgeView['target']; tally: Tally }>();
    for (const { source: workload, target, tally } of this.#edges.values()) {
      const source = this.#shownAs(workload);
      const key = JSON.stringify([target.namespace, target.name, source]);
      const edge = shown.get(key) ?? { source, target, tally: new Tally() };
      edge.tally.absorb(tally);
      shown.set(key, edge);
    }
    return [...shown]
      .sort(([a], [b]) => compare(a, b))
      .map(([, { source, target, tally }]) => ({
        source,
        target: { namespace: target.namespace, name: target.name },
        rps: tally.rps(windowMs),
        successRate: tally.successRate,
        p95: tally.percentile(0.95, bounds),
      }));
  }

  /** A workload that is behind a Service as that: of several the one of its own name, else the first by name. */
  #shownAs({ namespace, workload }: EdgeStats['source']): EdgeView['source'] {
    if (workload === '') return { kind: 'outside', namespace: '', name: '' };
    const own = `${namespace}/${workload}`;
    const behind = this.#servicesOf.get(own);
    if (behind === undefined) return { kind: 'workload', namespace, name: workload };
    const key = behind.has(own) ? own : ([...behind].sort(compare)[0] as string);
    const slash = key.indexOf('/');
    return { kind: 'service', namespace: key.slice(0, slash), name: key.slice(slash + 1) };
  }

  #podViews(windowMs: number): PodView[] {
    const views = this.#pods.map((pod) => {
      const bounds = this.#podBounds.get(pod.node) ?? [];
      const tally = new Tally();
      tally.add(pod, bounds);
      const { namespace, name, node, workload, ready, injected } = pod;
      const golden = { rps: tally.rps(windowMs), successRate: tally.successRate, p95: tally.percentile(0.95, bounds) };
      return { namespace, name, node, workload, ready, injected, ...golden };
    });
    return views.sort(
      (a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name) || compare(a.node, b.node),
    );
  }
}

/** All at once; see Merge. */
export function mergeStats(readings: Iterable<NodeReading>, context: MergeContext): MeshView {
  const merge = new Merge();
  for (const reading of readings) merge.add(reading);
  return merge.finish(context);
}

/** Its callers' counts; those of its pods where no caller is seen. */
function tallyOf({ edges, called, served }: ServiceSum): Tally {
  return edges > 0 ? called : served;
}

function goldenOf(tally: Tally, windowMs: number, bounds: readonly number[]): TotalView {
  return {
    rps: tally.rps(windowMs),
    successRate: tally.successRate,
    p50: tally.percentile(0.5, bounds),
    p95: tally.percentile(0.95, bounds),
    p99: tally.percentile(0.99, bounds),
    retriesPerSecond: perSecond(tally.retries, windowMs),
    series: tally.series,
  };
}

function tlsText(tls: Readonly<Record<string, string>>): string {
  const modes = new Set(Object.values(tls));
  if (modes.size === 1) return [...modes].join('');
  return Object.keys(tls)
    .sort(compare)
    .map((router) => `${router} ${tls[router]}`)
    .join(', ');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
