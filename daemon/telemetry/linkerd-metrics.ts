import type { HistogramSnapshot, MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import { readLabels, subtractHistogram, sumHistograms } from '../../lib/snapshot-reading.ts';

/** A router as linkerd's names tell it. */
export interface LinkerdRouter {
  readonly label: string;
  readonly role: 'outgoing' | 'incoming';
  /** Its first server, as the config has it: `0.0.0.0/4140`. */
  readonly server: string;
}

/** One of linkerd's stats: where it is in the tree, and under which name and labels Prometheus gets it. */
export interface LinkerdStat {
  readonly path: readonly string[];
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kind: 'counter' | 'gauge' | 'stat';
  readonly value: number | HistogramSnapshot;
}

/** What is counted of one scope: a server, a service or a client. */
class Tally {
  requests = 0;
  success = 0;
  failures = 0;
  pending = 0;
  retries = 0;
  readonly statuses = new Map<string, number>();
  latency: HistogramSnapshot | undefined;
}

interface Scope {
  /** Such as `server`, or `client/service`. */
  readonly kinds: readonly string[];
  /** The label values of those. */
  readonly ids: readonly string[];
}

/**
 * Our series as linkerd 1.x names them (its stats tree `rt/<label>/…`, and `rt:server:requests{rt,server}` for Prometheus).
 * `earlier`: a snapshot of a minute or so ago, since linkerd's latencies are of the last minute; without one they are of all time.
 * What linkerd has and is not told here (docs/metrics.md) is left out.
 */
export function linkerdStats(
  snapshot: MetricsSnapshot,
  routers: readonly LinkerdRouter[],
  earlier: MetricsSnapshot = [],
): LinkerdStat[] {
  return (['outgoing', 'incoming'] as const).flatMap((role) => {
    // Requests are counted by role: those of several routers of one role are told under its first one.
    const router = routers.find((one) => one.role === role);
    return router === undefined ? [] : statsOf(router, snapshot, earlier);
  });
}

function statsOf(router: LinkerdRouter, snapshot: MetricsSnapshot, earlier: MetricsSnapshot): LinkerdStat[] {
  const server = new Tally();
  const services = new Map<string, Tally>();
  for (const [name, labels, value] of seriesOf(snapshot, router.role)) {
    const key = serviceKey(labels);
    for (const tally of [server, known(services, key)]) count(tally, name, labels, value);
  }
  for (const [name, labels, value] of seriesOf(earlier, router.role)) {
    if (name !== 'response_latency_ms' || typeof value === 'number') continue;
    for (const tally of [server, services.get(serviceKey(labels))]) {
      if (tally?.latency !== undefined) tally.latency = subtractHistogram(tally.latency, value);
    }
  }
  const balancing = balancingOf(snapshot);
  const stats = [
    ...tallied(router, { kinds: ['server'], ids: [router.server] }, server),
    ...connections(router, snapshot),
  ];
  for (const [key, tally] of services) {
    const [service, client] = namesOf(key);
    stats.push(...tallied(router, { kinds: ['service'], ids: [service] }, tally));
    if (tally.retries > 0)
      stats.push(stat(router, { kinds: ['service'], ids: [service] }, 'retries/total', tally.retries));
    // A client sees attempts: each that was followed by another has failed.
    const attempts = Object.assign(new Tally(), tally, {
      requests: tally.requests + tally.retries,
      failures: tally.failures + tally.retries,
    });
    const ofClient = { kinds: ['client'], ids: [client] };
    stats.push(...tallied(router, ofClient, attempts));
    for (const what of ['requests', 'success', 'failures'] as const) {
      stats.push(stat(router, { kinds: ['client', 'service'], ids: [client, service] }, what, attempts[what]));
    }
    const of = router.role === 'outgoing' ? balancing.get(key) : undefined;
    if (of !== undefined) stats.push(...balanced(router, ofClient, of));
  }
  return stats;
}

const COUNTED = new Set([
  'request_total',
  'response_total',
  'response_latency_ms',
  'requests_in_flight',
  'retry_total',
]);

type Labels = Readonly<Record<string, string>>;

function* seriesOf(snapshot: MetricsSnapshot, role: string): Generator<[string, Labels, number | HistogramSnapshot]> {
  for (const { name, series } of snapshot) {
    if (!COUNTED.has(name)) continue;
    for (const [text, value] of series) {
      const labels = readLabels(text);
      if (labels.router === role) yield [name, labels, value];
    }
  }
}

function count(tally: Tally, name: string, labels: Labels, value: number | HistogramSnapshot): void {
  if (typeof value !== 'number') {
    tally.latency = tally.latency === undefined ? value : sumHistograms(tally.latency, value);
  } else if (name === 'request_total') tally.requests += value;
  else if (name === 'requests_in_flight') tally.pending += value;
  else if (name === 'retry_total') tally.retries += value;
  else {
    if (labels.classification === 'success') tally.success += value;
    else tally.failures += value;
    const status = (labels.status_class ?? 'none').toUpperCase();
    if (status !== 'NONE') tally.statuses.set(status, (tally.statuses.get(status) ?? 0) + value);
  }
}

function tallied(router: LinkerdRouter, scope: Scope, tally: Tally): LinkerdStat[] {
  const { requests, success, failures, pending, statuses, latency } = tally;
  const stats = Object.entries({ requests, success, failures }).map(([what, value]) =>
    stat(router, scope, what, value),
  );
  for (const [status, value] of statuses) stats.push(stat(router, scope, `status/${status}`, value));
  stats.push(stat(router, scope, 'pending', pending, 'gauge'));
  if (latency !== undefined && latency.count > 0)
    stats.push(stat(router, scope, 'request_latency_ms', latency, 'stat'));
  return stats;
}

/** The endpoints of a Service, and what failure accrual did to them. */
interface Balancing {
  size: number;
  available: number;
  removals: number;
  revivals: number;
}

function balancingOf(snapshot: MetricsSnapshot): ReadonlyMap<string, Balancing> {
  const found = new Map<string, Balancing>();
  for (const { name, series } of snapshot) {
    if (name !== 'endpoint_state' && name !== 'breaker_transitions_total') continue;
    for (const [text, value] of series) {
      const labels = readLabels(text);
      const key = serviceKey(labels);
      const of = found.get(key) ?? { size: 0, available: 0, removals: 0, revivals: 0 };
      found.set(key, of);
      if (labels.to === 'out') of.removals += Number(value);
      else if (labels.to === 'ready') of.revivals += Number(value);
      else {
        of.size += Number(value);
        if (labels.state !== 'out') of.available += Number(value);
      }
    }
  }
  return found;
}

function balanced(router: LinkerdRouter, scope: Scope, of: Balancing): LinkerdStat[] {
  return [
    stat(router, scope, 'loadbalancer/size', of.size, 'gauge'),
    stat(router, scope, 'loadbalancer/available', of.available, 'gauge'),
    stat(router, scope, 'failure_accrual/removals', of.removals),
    stat(router, scope, 'failure_accrual/revivals', of.revivals),
  ];
}

function connections(router: LinkerdRouter, snapshot: MetricsSnapshot): LinkerdStat[] {
  const family = snapshot.find(({ name }) => name === 'open_connections');
  const own = family?.series.find(([text]) => {
    const { side, router: role } = readLabels(text);
    return side === 'caller' && role === router.role;
  });
  if (own === undefined) return [];
  return [stat(router, { kinds: ['server'], ids: [router.server] }, 'connections', Number(own[1]), 'gauge')];
}

function stat(
  router: LinkerdRouter,
  { kinds, ids }: Scope,
  what: string,
  value: LinkerdStat['value'],
  kind: LinkerdStat['kind'] = 'counter',
): LinkerdStat {
  const scopes = kinds.flatMap((scope, i) => [scope, ...(ids[i] ?? '').split('/')]);
  return {
    path: ['rt', router.label, ...scopes, ...what.split('/')],
    name: ['rt', ...kinds, ...what.split('/')].join(':'),
    labels: { rt: router.label, ...Object.fromEntries(kinds.map((scope, i) => [scope, ids[i] ?? ''])) },
    kind,
    value,
  };
}

function known(tallies: Map<string, Tally>, key: string): Tally {
  const found = tallies.get(key) ?? new Tally();
  tallies.set(key, found);
  return found;
}

function serviceKey({ dst_namespace: namespace = '', dst_service: service = '' }: Labels): string {
  return `${namespace}/${service}`;
}

/** The name that is asked for, and the one that it is bound to, as linkerd writes them in stats: without the first slash. */
function namesOf(key: string): [service: string, client: string] {
  const slash = key.indexOf('/');
  const [namespace, service] = [key.slice(0, slash), key.slice(slash + 1)];
  if (namespace === '') return [`svc/${service}`, `$/inet/${service}`];
  return [`svc/${service}.${namespace}`, `#/io.l5d.k8s/${namespace}/${service}`];
}
