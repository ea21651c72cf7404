import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { evictionsOf, IdleSeries } from '../../lib/idle-series.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { type MetricsSnapshot, renderInTurns, renderSnapshot, sumSnapshots } from '../../lib/metrics-snapshot.ts';

const MINUTE = 60_000;

/** What the daemon's minute does, over several threads. */
function evictIdle(idle: IdleSeries, registries: readonly MetricsRegistry[], now: number): void {
  const shown = registries.map((registry) => registry.snapshot());
  const gone = idle.look(sumSnapshots(shown), now);
  registries.forEach((registry, i) => {
    registry.evict(evictionsOf(shown[i] as MetricsSnapshot, gone));
  });
}

test('labels whose value is empty are left out, others are escaped', () => {
  const registry = new MetricsRegistry();
  registry.counter('a_total', 'A.', ['x', 'y', 'z']).with('', 'a "quoted"\\line\n', '').inc();
  registry.counter('b_total', 'B.', ['x']).with('').inc(2);
  assert.equal(
    registry.render(),
    [
      '# HELP a_total A.',
      '# TYPE a_total counter',
      'a_total{y="a \\"quoted\\"\\\\line\\n"} 1',
      '# HELP b_total B.',
      '# TYPE b_total counter',
      'b_total 2',
      '',
    ].join('\n'),
  );
});

test('a series that nobody counts for ten minutes ends, and its holder begins a new one', () => {
  const registry = new MetricsRegistry();
  const family = registry.counter('request_total', '', ['pod'], 'evicted');
  const latency = registry.histogram('latency_ms', '', [1, 10], ['pod'], 'evicted');
  const [idle, busy, timed] = [family.with('idle'), family.with('busy'), latency.with('idle')];
  registry.counter('kept_total', '', ['pod']).with('idle').inc();
  const eyes = new IdleSeries();
  idle.inc(7);
  timed.observe(5);
  for (let minute = 0; minute <= 10; minute += 1) {
    busy.inc();
    evictIdle(eyes, [registry], minute * MINUTE);
    if (minute < 10) assert.match(registry.render(), /request_total\{pod="idle"\} 7\n/);
  }
  const text = registry.render();
  assert.doesNotMatch(text, /(request_total|latency_ms\w*)\{pod="idle"/);
  assert.match(text, /request_total\{pod="busy"\} 11\n/);
  assert.match(text, /kept_total\{pod="idle"\} 1\n/);
  idle.inc();
  timed.observe(0.5);
  assert.match(registry.render(), /request_total\{pod="idle"\} 1\n/);
  assert.match(registry.render(), /latency_ms_bucket\{pod="idle",le="10"\} 1\n/);
  assert.match(registry.render(), /latency_ms_sum\{pod="idle"\} 0.5\n/);
  assert.equal(family.with('idle'), idle);
});

test('what is counted between the look and the eviction is counted by the new series', () => {
  const registry = new MetricsRegistry();
  const counter = registry.counter('request_total', '', ['pod'], 'evicted').with('a');
  const latency = registry.histogram('latency_ms', '', [1, 10], ['pod'], 'evicted').with('a');
  counter.inc(7);
  latency.observe(5);
  const shown = registry.snapshot();
  counter.inc(2);
  latency.observe(0.25);
  const idle = new Map([
    ['request_total', new Set(['pod="a"'])],
    ['latency_ms', new Set(['pod="a"'])],
  ]);
  registry.evict(evictionsOf(shown, idle));
  assert.match(registry.render(), /request_total\{pod="a"\} 2\n/);
  assert.match(registry.render(), /latency_ms_sum\{pod="a"\} 0.25\nlatency_ms_count\{pod="a"\} 1\n/);
  assert.match(registry.render(), /le="1"\} 1\n.*le="10"\} 1\n/);
});

test('of several threads none ends its part while another counts, so that no sum falls', () => {
  const threads = [new MetricsRegistry(), new MetricsRegistry()] as const;
  const [one, two] = threads.map((registry) => registry.counter('request_total', '', ['pod'], 'evicted').with('a'));
  const sum = () => renderSnapshot(sumSnapshots(threads.map((registry) => registry.snapshot())));
  const eyes = new IdleSeries();
  one?.inc(50);
  for (let minute = 0; minute <= 20; minute += 1) {
    two?.inc();
    evictIdle(eyes, threads, minute * MINUTE);
  }
  assert.match(sum(), /request_total\{pod="a"\} 71\n/);
  for (let minute = 21; minute <= 30; minute += 1) evictIdle(eyes, threads, minute * MINUTE);
  assert.doesNotMatch(sum(), /request_total\{/);
  two?.inc();
  assert.match(sum(), /request_total\{pod="a"\} 1\n/);
});

test('a gauge goes with the counters of its labels, and not while something is under way', () => {
  const registry = new MetricsRegistry();
  const gauge = registry.gauge('in_flight', '', ['pod'], 'evicted');
  const counter = registry.counter('request_total', '', ['pod'], 'evicted');
  const held = gauge.with('hanging');
  held.add(1);
  gauge.with('quick').set(0);
  counter.with('quick').inc();
  counter.with('hanging').inc();
  const eyes = new IdleSeries();
  evictIdle(eyes, [registry], 0);
  assert.match(registry.render(), /in_flight\{pod="quick"\} 0\n/);
  evictIdle(eyes, [registry], 10 * MINUTE);
  assert.doesNotMatch(registry.render(), /in_flight\{pod="quick"\}/);
  assert.match(registry.render(), /in_flight\{pod="hanging"\} 1\n/);
  held.add(-1);
  evictIdle(eyes, [registry], 11 * MINUTE);
  assert.doesNotMatch(registry.render(), /in_flight\{/);
  held.add(1);
  assert.match(registry.render(), /in_flight\{pod="hanging"\} 1\n/);
});

test('beyond its room a registry counts in one series a name, and what has ended makes room', () => {
  const registry = new MetricsRegistry(3);
  const family = registry.counter('request_total', '', ['service', 'pod'], 'evicted');
  for (let i = 0; i < 5; i += 1) family.with('world', `pod-${i}`).inc();
  family.with('world', 'pod-0').inc();
  const open = registry.gauge('open', '', ['side'], 'collected');
  registry.onCollect(() => open.with('pod').add(4));
  registry.counter('kept_total', '', ['kind']).with('a').inc();
  registry.snapshot();
  assert.equal(registry.droppedSeries, 3);
  const text = registry.render();
  assert.equal(registry.droppedSeries, 4);
  assert.match(text, /request_total\{service="world",pod="pod-0"\} 2\n/);
  assert.match(text, /request_total\{service="other",pod="other"\} 2\n/);
  assert.match(text, /kept_total\{kind="a"\} 1\n/);
  assert.match(text, /open\{side="other"\} 4\n/);
  const eyes = new IdleSeries();
  evictIdle(eyes, [registry], 0);
  evictIdle(eyes, [registry], 10 * MINUTE);
  family.with('world', 'new').inc();
  assert.match(registry.render(), /request_total\{service="world",pod="new"\} 1\n/);
});

test('an ended series that nobody holds any more begins anew as one', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const registry = new MetricsRegistry(2);
  const family = registry.counter('request_total', '', ['pod'], 'evicted');
  family.with('a').inc();
  const eyes = new IdleSeries();
  evictIdle(eyes, [registry], 0);
  evictIdle(eyes, [registry], 10 * MINUTE);
  await new Promise<void>((resolve) => {
    setImmediate(() => {
      gc();
      for (let i = 0; i < 3; i += 1) family.with('a').inc();
      family.with('b').inc();
      assert.equal(registry.droppedSeries, 0);
      assert.match(registry.render(), /request_total\{pod="a"\} 3\nrequest_total\{pod="b"\} 1\n/);
      resolve();
    });
  });
});

test('text that is made in turns is the same', async () => {
  const registry = new MetricsRegistry();
  const family = registry.histogram('latency_ms', 'Latency.', [1, 10], ['pod']);
  for (let i = 0; i < 300; i += 1) family.with(`pod-${i}`).observe(i / 10);
  assert.equal(await renderInTurns(registry.snapshot()), registry.render());
});
