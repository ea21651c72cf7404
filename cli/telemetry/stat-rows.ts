import type { Counts, NodeStats, Series } from '../../lib/stats/node-stats.ts';
import { perSecond, Tally } from '../../lib/stats/tally.ts';

export const KINDS = ['services', 'pods', 'workloads', 'nodes', 'edges'] as const;
export type Kind = (typeof KINDS)[number];
export const ORDERS = ['name', 'rps', 'success', 'p50', 'p95', 'p99', 'retries'] as const;
export type Order = (typeof ORDERS)[number];

/** Whose numbers are wanted. A workload or Service is `name`, of any namespace, or `namespace/name`. */
export interface StatQuestion {
  readonly kind: Kind;
  readonly namespace: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly sort: Order;
}

/** One line of `nodemesh stat`, and one of `rows` of its JSON. Rates are a second, times ms; null where nothing was answered. */
export interface StatRow {
  /** '' for nodes, and for callers that are no pods. */
  readonly namespace: string;
  readonly name: string;
  /** Of an edge: the Service that is called. */
  readonly target?: { readonly namespace: string; readonly name: string };
  readonly requests: number;
  readonly failures: number;
  readonly success_rate: number | null;
  readonly rps: number;
  readonly p50_ms: number | null;
  readonly p95_ms: number | null;
  readonly p99_ms: number | null;
  readonly retries_per_second: number;
  readonly rps_series: readonly number[];
  /** Of pods and workloads. */
  readonly node?: string;
  readonly workload?: string;
  readonly ready?: string;
  readonly injected?: string;
  /** Of nodes. */
  readonly daemon?: {
    readonly ready: boolean;
    readonly notes: readonly string[];
    readonly tls: string;
    readonly certificate_not_after: number | null;
    readonly version: string;
  };
}

type Known = Pick<StatRow, 'namespace' | 'name' | 'target' | 'node' | 'workload' | 'daemon'>;

interface Group extends Known {
  readonly tally: Tally;
  pods: number;
  ready: number;
  injected: number;
}

/**
 * Adds up what daemons counted. Services and edges have their callers' counts; pods and workloads their own, and workloads with `to` or
 * `from` what they sent; nodes what their pods sent. A rate is over the longest of the windows.
 */
export function statRows(stats: readonly NodeStats[], question: StatQuestion): StatRow[] {
  const groups = new Map<string, Group>();
  const bounds = [...new Set(stats.flatMap(({ boundsMs }) => boundsMs))].sort((a, b) => a - b);
  for (const node of stats) addNode(node, question, groups);
  const windowMs = Math.max(0, ...stats.map((one) => one.windowMs));
  const rows = [...groups.values()].map((group) => rowOf(group, question.kind, windowMs, bounds));
  return rows.sort((a, b) => compare(question.sort, a, b));
}

function addNode(stats: NodeStats, question: StatQuestion, groups: Map<string, Group>): void {
  const { kind, namespace } = question;
  const add = (known: Known, counts?: Counts & { readonly series: Series }) => {
    const key = JSON.stringify([known.namespace, known.name, known.target?.namespace, known.target?.name]);
    const group = groups.get(key) ?? { ...known, tally: new Tally(), pods: 0, ready: 0, injected: 0 };
    groups.set(key, group);
    if (counts !== undefined) group.tally.add(counts, stats.boundsMs);
    return group;
  };
  if (kind === 'nodes') add({ namespace: '', name: stats.node, daemon: daemonOf(stats) });
  if (kind === 'pods' || (kind === 'workloads' && question.from === undefined && question.to === undefined)) {
    for (const pod of stats.pods) {
      if (namespace !== undefined && pod.namespace !== namespace) continue;
      const { name, workload, ready, injected } = pod;
      const known = kind === 'pods' ? { name, node: stats.node, workload } : { name: workload };
      const group = add({ namespace: pod.namespace, ...known }, pod);
      group.pods += 1;
      group.ready += Number(ready);
      group.injected += Number(injected);
    }
    return;
  }
  for (const edge of stats.edges) {
    const source = { namespace: edge.source.namespace, name: edge.source.workload };
    const { service } = edge;
    if (!fits(question.from, source) || !fits(question.to, service)) continue;
    const shown = kind === 'services' ? service : source;
    const near = kind === 'edges' ? [source, service] : [shown];
    if (kind !== 'nodes' && namespace !== undefined && !near.some((one) => one.namespace === namespace)) continue;
    if (kind === 'nodes') add({ namespace: '', name: stats.node }, edge);
    else add({ ...shown, ...(kind === 'edges' ? { target: service } : {}) }, edge);
  }
}

/** Whether a name, or namespace/name, that was asked for is this one. */
function fits(wanted: string | undefined, { namespace, name }: { readonly namespace: string; readonly name: string }) {
  return wanted === undefined || wanted === name || wanted === `${namespace}/${name}`;
}

function daemonOf({ daemon }: NodeStats): NonNullable<StatRow['daemon']> {
  const { ready, notes, tls, certificateNotAfter, version } = daemon;
  const modes = new Set(Object.values(tls));
  const text =
    modes.size === 1
      ? [...modes].join('')
      : Object.entries(tls)
          .map((one) => one.join(' '))
          .join(', ');
  return { ready, notes, tls: text, certificate_not_after: certificateNotAfter, version };
}

function rowOf(group: Group, kind: Kind, windowMs: number, bounds: readonly number[]): StatRow {
  const { tally, pods, ready, injected, ...known } = group;
  const hasPods = kind === 'pods' || pods > 0;
  return {
    ...known,
    requests: tally.requests,
    failures: tally.failures,
    success_rate: tally.successRate,
    rps: tally.rps(windowMs),
    p50_ms: tally.percentile(0.5, bounds),
    p95_ms: tally.percentile(0.95, bounds),
    p99_ms: tally.percentile(0.99, bounds),
    retries_per_second: perSecond(tally.retries, windowMs),
    rps_series: tally.series.rps,
    ...(hasPods ? { ready: `${ready}/${pods}`, injected: `${injected}/${pods}` } : {}),
  };
}

/** What is worth a look comes first: most requests, least success, longest times; what is unknown last; then by name. */
function compare(sort: Order, a: StatRow, b: StatRow): number {
  const value = ({ success_rate, rps, p50_ms, p95_ms, p99_ms, retries_per_second }: StatRow): number => {
    const values: Readonly<Record<Order, number | null>> = {
      name: 0,
      rps,
      success: success_rate === null ? null : 1 - success_rate,
      p50: p50_ms,
      p95: p95_ms,
      p99: p99_ms,
      retries: retries_per_second,
    };
    return values[sort] ?? -1;
  };
  return value(b) - value(a) || text(keyOf(a), keyOf(b));
}

function keyOf({ namespace, name, target }: StatRow): string {
  return [namespace, name, target?.namespace ?? '', target?.name ?? ''].join('\n');
}

function text(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
