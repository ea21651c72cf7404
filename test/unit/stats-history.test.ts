import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import { StatsHistory } from '../../lib/stats/stats-history.ts';

const BOUNDS = [1, 10, 100];
const OUT = 'router="outgoing",src_namespace="shop",src_workload="web",dst_namespace="shop",dst_service="world"';
const IN = 'router="incoming",dst_namespace="shop",dst_service="world",dst_workload="world",dst_pod="world-1"';

type Values = { requests?: number; successes?: number; failures?: number; retries?: number; latency?: number[] };

/** A thread's snapshot of one edge, as its registry would give it. */
function snapshot(labels: string, values: Values): MetricsSnapshot {
  const { requests, successes, failures, retries, latency } = values;
  const counter = (name: string, series: [string, number | undefined][]) => ({
    name,
    help: '',
    kind: 'counter' as const,
    series: series.flatMap(([text, value]) => (value === undefined ? [] : [[text, value] as const])),
  });
  const total = (counts: number[]) => counts.reduce((a, b) => a + b, 0);
  return [
    counter('request_total', [[labels, requests]]),
    counter('response_total', [
      [`${labels},status_class="2xx",classification="success"`, successes],
      [`${labels},status_class="5xx",classification="failure"`, failures],
    ]),
    counter('retry_total', [[`${labels},reason="connect"`, retries]]),
    {
      name: 'response_latency_ms',
      help: '',
      kind: 'histogram',
      series:
        latency === undefined
          ? []
          : [[labels, { bounds: BOUNDS, counts: latency.slice(0, 3), sum: 0, count: total(latency) }]],
    },
    counter('open_connections', [['side="peer"', 7]]),
  ];
}

test('counts are what the counters grew by in the window, summed over threads', async () => {
  const history = new StatsHistory(BOUNDS);
  const first = { requests: 10, successes: 8, failures: 1, retries: 2, latency: [1, 2, 3, 3] };
  await history.take([snapshot(OUT, first), snapshot(OUT, { requests: 5 })], 5_000);
  const then = { requests: 14, successes: 12, failures: 2, retries: 2, latency: [1, 2, 3, 8] };
  await history.take([snapshot(OUT, then), snapshot(OUT, { requests: 6 })], 10_000);
  const recent = history.read(5_000);
  assert.equal(recent.at, 10_000);
  assert.equal(recent.windowMs, 5_000);
  const [edge] = recent.edges;
  assert.deepEqual(
    { ...edge, series: undefined },
    {
      source: { namespace: 'shop', workload: 'web' },
      service: { namespace: 'shop', name: 'world' },
      ...{ requests: 5, successes: 4, failures: 1, retries: 0, latency: [0, 0, 0, 5] },
      series: undefined,
    },
  );
  assert.deepEqual(edge?.series.requests.slice(-3), [0, 15, 5]);
  assert.deepEqual(edge?.series.failures.slice(-3), [0, 1, 1]);
  assert.equal(history.read(60_000).windowMs, 10_000, 'no more than there is');
  assert.equal(history.read(60_000).edges[0]?.requests, 20);
});

test('a pod has what incoming routers counted, and the Services it was for', async () => {
  const history = new StatsHistory(BOUNDS);
  const other = IN.replace('"world"', '"moon"');
  await history.take([[...snapshot(IN, { requests: 3, successes: 3 }), ...snapshot(other, { requests: 1 })]], 5_000);
  const { edges, pods } = history.read(60_000);
  assert.deepEqual(edges, []);
  assert.equal(pods.length, 1);
  assert.equal(pods[0]?.name, 'world-1');
  assert.equal(pods[0]?.requests, 4);
  assert.deepEqual(pods[0]?.services, ['shop/moon', 'shop/world']);
});

test('a series that was evicted and came back counts from 0, in one thread while it lives in another', async () => {
  const history = new StatsHistory(BOUNDS);
  const take = (a: Values, b: Values, at: number) => history.take([snapshot(OUT, a), snapshot(OUT, b)], at);
  await take({ requests: 10, latency: [10, 0, 0, 0] }, { requests: 100 }, 5_000);
  await take({}, { requests: 101 }, 10_000);
  await take({ requests: 25, latency: [0, 12, 0, 0] }, { requests: 102 }, 15_000);
  assert.equal(history.read(5_000).edges[0]?.requests, 26, 'more than before it went, and all of it new');
  assert.deepEqual(history.read(5_000).edges[0]?.latency, [0, 12, 0, 0]);
  await take({ requests: 2, latency: [0, 1, 1, 0] }, { requests: 102 }, 20_000);
  assert.equal(history.read(5_000).edges[0]?.requests, 2, 'fewer: begun anew between two looks');
  assert.deepEqual(history.read(5_000).edges[0]?.latency, [0, 1, 1, 0]);
});

test('what a late thread counted goes into the interval in which it answers', async () => {
  const history = new StatsHistory(BOUNDS);
  await history.take([snapshot(OUT, { requests: 1 }), snapshot(OUT, { requests: 10 })], 5_000);
  await history.take([snapshot(OUT, { requests: 2 }), undefined], 10_000);
  await history.take([snapshot(OUT, { requests: 3 }), snapshot(OUT, { requests: 30 })], 15_000);
  assert.deepEqual(history.read(15_000).edges[0]?.series.requests.slice(-3), [11, 1, 21]);
});

test('sixty intervals are kept; an edge that was evicted and idle for as long is forgotten', async () => {
  const history = new StatsHistory(BOUNDS);
  for (let i = 1; i <= 70; i += 1) await history.take([snapshot(OUT, { requests: i * 2 })], i * 5_000);
  const [edge] = history.read(300_000).edges;
  assert.equal(edge?.requests, 120);
  assert.equal(edge?.series.requests.length, 60);
  for (let i = 71; i <= 129; i += 1) await history.take([snapshot(OUT, {})], i * 5_000);
  assert.equal(history.read(300_000).edges.length, 1);
  await history.take([snapshot(OUT, {})], 650_000);
  await history.take([snapshot(OUT, {})], 655_000);
  assert.equal(history.read(300_000).edges.length, 0);
});

test('whatever the intervals and threads: the whole is what was counted', async () => {
  const growths = fc.array(fc.array(fc.nat(50), { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(growths, async (intervals) => {
      const history = new StatsHistory(BOUNDS);
      const sums = [0, 0, 0];
      for (const [i, growth] of intervals.entries()) {
        growth.forEach((by, thread) => {
          sums[thread] = (sums[thread] ?? 0) + by;
        });
        await history.take(
          sums.map((requests) => snapshot(OUT, { requests })),
          i,
        );
      }
      const [edge] = history.read(300_000).edges;
      const total = sums.reduce((a, b) => a + b, 0);
      assert.equal(edge?.requests, total);
      assert.equal(
        edge?.series.requests.reduce((a, b) => a + b, 0),
        total,
      );
    }),
  );
});
