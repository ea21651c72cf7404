import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mergeStats, type NodeReading } from '../../lib/stats/merge.ts';
import type { EdgeStats, NodeStats, PodStats } from '../../lib/stats/node-stats.ts';
import { percentile } from '../../lib/stats/percentile.ts';

const BOUNDS = [10, 20, 50];
const SERIES = { requests: [0, 6], failures: [0, 3] };
const CONTEXT = { scope: { kind: 'mesh' as const }, at: 1, labelledNamespaces: 1 };

function edge(from: string, to: string, counts: Partial<EdgeStats> = {}): EdgeStats {
  const [namespace = '', workload = ''] = from.split('/');
  const [toNamespace = '', name = ''] = to.split('/');
  return {
    source: { namespace, workload },
    service: { namespace: toNamespace, name },
    ...{ requests: 6, successes: 3, failures: 3, retries: 1, latency: [2, 2, 2, 0], series: SERIES },
    ...counts,
  };
}

function pod(namespace: string, name: string, workload: string, services: string[]): PodStats {
  const counts = { requests: 6, successes: 6, failures: 0, retries: 0, latency: [6, 0, 0, 0], series: SERIES };
  return { namespace, name, workload, ip: '10.0.0.1', ready: true, injected: true, services, ...counts };
}

function stats(node: string, edges: EdgeStats[], pods: PodStats[] = [], windowMs = 60_000): NodeStats {
  const daemon = { ready: true, notes: [], certificateNotAfter: null, startedAt: 0, version: '1' };
  const tls = { outgoing: 'permissive', incoming: 'permissive' };
  return { node, at: 1, windowMs, intervalMs: 5_000, boundsMs: BOUNDS, edges, pods, daemon: { ...daemon, tls } };
}

function reading(name: string, edges: EdgeStats[], pods: PodStats[] = [], windowMs?: number): NodeReading {
  return { name, address: `${name}:9990`, stats: stats(name, edges, pods, windowMs), error: null };
}

test("percentiles are as Prometheus' histogram_quantile has them", () => {
  assert.equal(percentile([10, 20, 50], [0, 0, 0, 0], 0.5), null);
  assert.equal(percentile([10, 20, 50], [2, 2, 0, 0], 0.5), 10);
  assert.equal(percentile([10, 20, 50], [2, 2, 0, 0], 0.75), 15);
  assert.equal(percentile([10, 20, 50], [4, 0, 0, 0], 0.5), 5);
  assert.equal(percentile([10, 20, 50], [1, 0, 0, 9], 0.99), 50);
  assert.equal(percentile([10, 20, 50], [0, 0, 4, 0], 0), 20);
});

test('a Service has the counts of all who call it, from all nodes', () => {
  const view = mergeStats(
    [
      reading(
        'n1',
        [edge('shop/web', 'shop/world'), edge('/', 'shop/world')],
        [pod('shop', 'w-1', 'world', ['shop/world'])],
      ),
      reading('n2', [edge('shop/web', 'shop/world', { latency: [0, 0, 0, 6] })], [], 10_000),
    ],
    CONTEXT,
  );
  const [service] = view.services;
  assert.equal(view.services.length, 1);
  assert.deepEqual(service?.workloads, ['world']);
  assert.equal(service?.pods, 1);
  assert.equal(service?.rps, 18 / 60);
  assert.equal(service?.successRate, 0.5);
  assert.equal(service?.retriesPerSecond, 3 / 60);
  assert.equal(service?.p50, percentile(BOUNDS, [4, 4, 4, 6], 0.5));
  assert.equal(service?.series.rps.length, 60);
  assert.deepEqual(service?.series.rps.slice(-2), [0, 18 / 5]);
  assert.deepEqual(service?.series.successRate.slice(-2), [null, 0.5]);
  assert.deepEqual(
    view.edges.map(({ source, rps }) => [source.kind, source.name, rps]),
    [
      ['outside', '', 6 / 60],
      ['workload', 'web', 12 / 60],
    ],
  );
  assert.deepEqual(
    view.nodes.map(({ name, rps, tls }) => [name, rps, tls]),
    [
      ['n1', 12 / 60, 'permissive'],
      ['n2', 6 / 60, 'permissive'],
    ],
  );
  assert.deepEqual(view.hints, []);
});

test('the whole has the counts of all Services, and their percentiles of all answers', () => {
  const slow = edge('shop/web', 'shop/slow', { requests: 3, successes: 3, failures: 0, latency: [0, 0, 3, 0] });
  const served = pod('shop', 'far-1', 'far', ['shop/far']);
  const { total, services } = mergeStats([reading('n1', [edge('/', 'shop/world'), slow], [served])], CONTEXT);
  assert.equal(services.length, 3);
  assert.equal(total.rps, 15 / 60);
  assert.equal(total.successRate, 12 / 15);
  assert.equal(total.retriesPerSecond, 2 / 60);
  assert.equal(total.p50, percentile(BOUNDS, [8, 2, 5, 0], 0.5));
  assert.equal(total.p99, percentile(BOUNDS, [8, 2, 5, 0], 0.99));
  assert.deepEqual(total.series.rps.slice(-2), [0, 18 / 5]);
  assert.deepEqual(total.series.successRate.slice(-1), [1 - 9 / 18]);
  assert.deepEqual(mergeStats([], CONTEXT).total.p95, null);
});

test('workloads behind a Service are shown as that, two of them as one', () => {
  const view = mergeStats(
    [
      reading(
        'n1',
        [edge('shop/web-a', 'shop/world'), edge('shop/web-b', 'shop/world'), edge('shop/job', 'shop/web')],
        [pod('shop', 'a', 'web-a', ['shop/web']), pod('shop', 'b', 'web-b', ['shop/zoo', 'shop/web'])],
      ),
    ],
    CONTEXT,
  );
  assert.deepEqual(
    view.edges.map(({ source, target, rps }) => [source.kind, source.name, target.name, rps]),
    [
      ['workload', 'job', 'web', 0.1],
      ['service', 'web', 'world', 0.2],
    ],
  );
});

test('a Service that is called from elsewhere only has what its pods counted', () => {
  const view = mergeStats([reading('n1', [], [pod('shop', 'a', 'web', ['shop/web'])])], CONTEXT);
  assert.equal(view.services[0]?.rps, 0.1);
  assert.equal(view.services[0]?.successRate, 1);
});

test('daemons with other bounds are added by what a bound means', () => {
  const other = { ...stats('n2', [edge('a/b', 'c/d', { latency: [0, 4, 0] })]), boundsMs: [5, 20] };
  const view = mergeStats(
    [reading('n1', [edge('a/b', 'c/d', { latency: [4, 0, 0, 0] })]), { ...reading('n2', []), stats: other }],
    CONTEXT,
  );
  assert.equal(view.services[0]?.p99, percentile([5, 10, 20, 50], [0, 4, 4, 0, 0], 0.99));
});

test('in whatever order nodes are added, the view is the same, and holds every request', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const counts = fc.record({ requests: fc.nat(99), successes: fc.nat(99), failures: fc.nat(99), retries: fc.nat(9) });
  const edges = fc.array(
    fc.tuple(name, name, counts).map(([from, to, some]) => edge(`x/${from}`, `y/${to}`, some)),
    { maxLength: 4 },
  );
  const pods = fc.array(
    fc.tuple(name, name, name).map(([one, workload, service]) => pod('x', one, workload, [`x/${service}`])),
    { maxLength: 3 },
  );
  const nodes = fc.array(fc.tuple(edges, pods), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(nodes, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (given, draws) => {
      const readings = given.map(([some, others], i) => reading(`n${i}`, some, others));
      const view = mergeStats(readings, CONTEXT);
      const shuffled = readings
        .map((one) => [draws.next().value as number, one] as const)
        .sort(([a], [b]) => a - b)
        .map(([, one]) => one);
      const key = (views: typeof view.pods) => views.map((one) => JSON.stringify(one)).sort();
      const again = mergeStats(shuffled, CONTEXT);
      assert.deepEqual({ ...again, pods: key(again.pods) }, { ...view, pods: key(view.pods) });
      const total = given.flatMap(([some]) => some).reduce((sum, { requests }) => sum + requests, 0);
      const sum = (rows: readonly { readonly rps: number }[]) => rows.reduce((all, { rps }) => all + rps * 60, 0);
      assert.ok(Math.abs(sum(view.edges) - total) < 1e-6);
      assert.ok(Math.abs(sum(view.nodes) - total) < 1e-6);
    }),
  );
});

test('where there is nothing, the first thing that is missing is named, with what to do', () => {
  const hints = (readings: NodeReading[], labelledNamespaces: number | undefined = 1, searchError?: string) =>
    mergeStats(readings, { ...CONTEXT, labelledNamespaces, searchError }).hints.join('\n');
  const bare = { ...pod('shop', 'a', 'web', []), requests: 0, injected: false };
  assert.match(hints([]), /No daemon was found.*kubectl -n nodemesh get daemonset/);
  assert.equal(hints([], 1, 'the API server does not answer'), 'the API server does not answer');
  const silent = { name: 'n1', address: '', stats: null, error: 'refused' };
  assert.match(hints([silent]), /No daemon answers \(1 asked\)\. n1: refused/);
  assert.match(hints([reading('n2', [], [bare])], 0), /kubectl label namespace/);
  assert.match(hints([reading('n2', [], [bare])], 2), /rollout restart/);
  assert.match(hints([reading('n2', [], [bare])], undefined), /rollout restart/);
  assert.match(hints([reading('n2', [], [{ ...bare, injected: true }])]), /1 pod is in the mesh, and none has sent/);
  assert.equal(hints([reading('n2', [edge('a/b', 'c/d')])]), '');
  assert.match(hints([silent, reading('n2', [edge('a/b', 'c/d')])]), /^1 of 2 daemons do not answer/);
});
