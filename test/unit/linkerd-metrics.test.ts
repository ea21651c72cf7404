import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DaemonMetrics, ServiceMetrics } from '../../daemon/telemetry/daemon-metrics.ts';
import { LinkerdAdmin } from '../../daemon/telemetry/linkerd-admin.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { quantileOf, readLabels } from '../../lib/snapshot-reading.ts';

const ROUTERS = [
  { label: 'out', role: 'outgoing', server: '0.0.0.0/4140' },
  { label: 'in', role: 'incoming', server: '0.0.0.0/4141' },
] as const;

/** Two callers of one Service, whose third request needed a second attempt; and its pod. */
function fill() {
  const registry = new MetricsRegistry();
  const metrics = new DaemonMetrics(registry);
  const of = { dstNamespace: 'shop', dstService: 'world' };
  const front = new ServiceMetrics(metrics, 'outgoing', { srcNamespace: 'shop', srcWorkload: 'front', ...of });
  const batch = new ServiceMetrics(metrics, 'outgoing', { srcNamespace: 'shop', srcWorkload: 'batch', ...of });
  const pod = new ServiceMetrics(metrics, 'incoming', { ...of, dstWorkload: 'world', dstPod: 'world-1' });
  for (const [one, status] of [
    [front, 200],
    [front, 200],
    [batch, 404],
    [batch, 503],
    [pod, 200],
  ] as const) {
    one.requests.value += 1;
    one.responded(status, 4, status >= 500);
  }
  batch.inFlight.value += 1;
  metrics.retries.with('outgoing', 'shop', 'batch', 'shop', 'world', 'connect_failed').inc();
  metrics.breakerTransitions.with('shop', 'world', 'out').inc(2);
  metrics.breakerTransitions.with('shop', 'world', 'ready').inc();
  metrics.onCollect(() => {
    metrics.endpointState.with('shop', 'world', 'ready').add(3);
    metrics.endpointState.with('shop', 'world', 'out').add(1);
  });
  metrics.connections.with('caller', 'outgoing').set(5);
  let now = 0;
  const admin = new LinkerdAdmin({ routers: ROUTERS, snapshot: async () => registry.snapshot(), now: () => now });
  return {
    admin,
    front,
    pass: (ms: number) => {
      now += ms;
    },
  };
}

test("our series by linkerd's names, for Prometheus", async () => {
  const { admin } = fill();
  const lines = (await admin.prometheus('')).trimEnd().split('\n');
  const server = 'rt="out", server="0.0.0.0/4140"';
  const service = 'rt="out", service="svc/world.shop"';
  const client = 'rt="out", client="#/io.l5d.k8s/shop/world"';
  for (const line of [
    `rt:server:requests{${server}} 4`,
    `rt:server:success{${server}} 3`,
    `rt:server:failures{${server}} 1`,
    `rt:server:status:2XX{${server}} 2`,
    `rt:server:status:5XX{${server}} 1`,
    `rt:server:connections{${server}} 5`,
    `rt:server:request_latency_ms_count{${server}} 4`,
    `rt:server:request_latency_ms_sum{${server}} 16`,
    `rt:server:request_latency_ms_avg{${server}} 4`,
    `rt:server:request_latency_ms{${server}, quantile="0.5"} 3.5`,
    `rt:service:requests{${service}} 4`,
    `rt:service:pending{${service}} 1`,
    `rt:service:retries:total{${service}} 1`,
    `rt:client:requests{${client}} 5`,
    `rt:client:failures{${client}} 2`,
    `rt:client:loadbalancer:size{${client}} 4`,
    `rt:client:loadbalancer:available{${client}} 3`,
    `rt:client:failure_accrual:removals{${client}} 2`,
    `rt:client:failure_accrual:revivals{${client}} 1`,
    `rt:client:service:success{${client}, service="svc/world.shop"} 3`,
    'rt:server:requests{rt="in", server="0.0.0.0/4141"} 1',
  ]) {
    assert.ok(lines.includes(line), `${line}\nis not among\n${lines.join('\n')}`);
  }
  assert.equal(new Set(lines.map((line) => line.replace(/ \S+$/, ''))).size, lines.length, 'a series is there twice');
  assert.match(await admin.prometheus('l5d_'), /^l5d_rt:server:requests/);
});

test('metrics.json: flat, indented, below a path, as a tree', async () => {
  const { admin } = fill();
  const json = async (query: string) => admin.json(new URLSearchParams(query));
  const flat = JSON.parse((await json('')) ?? '');
  assert.equal(flat['rt/out/server/0.0.0.0/4140/requests'], 4);
  assert.equal(flat['rt/out/service/svc/world.shop/request_latency_ms.count'], 4);
  assert.equal(flat['rt/out/service/svc/world.shop/request_latency_ms.p50'], 3.5);
  assert.deepEqual(Object.keys(flat), Object.keys(flat).sort());
  assert.match((await json('pretty=1')) ?? '', /^\{\n {2}"rt\/in/);
  const below = JSON.parse((await json('q=rt/out/server')) ?? '');
  assert.equal(below['0.0.0.0/4140/requests'], 4);
  const tree = JSON.parse((await json('tree=1&q=rt/out')) ?? '');
  assert.deepEqual(tree.server['0.0.0.0']['4140'].requests, { counter: 4 });
  assert.deepEqual(tree.server['0.0.0.0']['4140'].connections, { gauge: 5 });
  assert.equal(tree.service.svc['world.shop'].request_latency_ms['stat.count'], 4);
  assert.equal(await json('q=rt/none'), undefined);
});

test('latencies are of the last minute or two, counters of all time', async () => {
  const { admin, front, pass } = fill();
  const latencies = async () => JSON.parse((await admin.json(new URLSearchParams('q=rt/out/service'))) ?? '');
  await latencies();
  pass(60_000);
  await latencies();
  front.requests.value += 1;
  front.responded(200, 45, false);
  const now = await latencies();
  assert.equal(now['svc/world.shop/request_latency_ms.count'], 1);
  assert.equal(now['svc/world.shop/request_latency_ms.p50'], 35);
  assert.equal(now['svc/world.shop/requests'], 5);
  for (let minute = 0; minute < 2; minute += 1) {
    pass(60_000);
    await latencies();
  }
  assert.equal((await latencies())['svc/world.shop/request_latency_ms.count'], undefined);
});

test('quantiles are interpolated, and of nothing there are none', () => {
  const of = (counts: number[], count: number) => ({ bounds: [1, 2, 4], counts, sum: 0, count });
  assert.equal(quantileOf(of([0, 0, 0], 0), 0.5), undefined);
  assert.equal(quantileOf(of([2, 0, 2], 4), 0.5), 1);
  assert.equal(quantileOf(of([2, 0, 2], 4), 0.75), 3);
  assert.equal(quantileOf(of([0, 0, 0], 4), 0.5), 4);
});

test('labels are read as they were written', () => {
  const registry = new MetricsRegistry();
  const values = ['a "b"', 'c\\n', 'd\ne', 'f,g="h"'];
  registry.counter('x', '', ['a', 'b', 'c', 'd']).with(...values);
  const [text] = registry.snapshot()[0]?.series[0] ?? [''];
  assert.deepEqual(Object.values(readLabels(text)), values);
});
