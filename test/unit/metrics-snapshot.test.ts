import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { renderSnapshot, sumSnapshots } from '../../lib/metrics-snapshot.ts';

/** One thread's metrics. */
function registry(requests: Readonly<Record<string, number>>, open: number, latencies: readonly number[]) {
  const metrics = new MetricsRegistry();
  const counter = metrics.counter('request_total', 'Requests.', ['service']);
  for (const [service, count] of Object.entries(requests)) counter.with(service).inc(count);
  metrics.gauge('open', 'Open.').with().set(open);
  const histogram = metrics.histogram('latency_ms', 'Latency.', [1, 10], ['service']);
  for (const latency of latencies) histogram.with('a').observe(latency);
  return metrics;
}

test('the sum of what several threads have counted is what one would have counted', () => {
  const one = registry({ a: 3 }, 2, [0.5, 5, 50]);
  const two = registry({ b: 4, a: 1 }, 5, [0.25, 100]);
  const both = registry({ a: 4, b: 4 }, 7, [0.5, 5, 50, 0.25, 100]);
  assert.equal(renderSnapshot(sumSnapshots([one.snapshot(), two.snapshot()])), both.render());
  assert.equal(renderSnapshot(sumSnapshots([one.snapshot(), []])), one.render());
  assert.match(both.render(), /latency_ms_bucket\{service="a",le="10"\} 3\n/);
});

test('a snapshot can be sent to another thread, and does not change afterwards', () => {
  const metrics = registry({ a: 1 }, 1, [5]);
  const text = metrics.render();
  const snapshot = metrics.snapshot();
  metrics.counter('request_total', '', ['service']).with('a').inc();
  metrics.histogram('latency_ms', '', [], ['service']).with('a').observe(5);
  assert.equal(renderSnapshot(structuredClone(snapshot)), text);
  assert.notEqual(metrics.render(), text);
});
