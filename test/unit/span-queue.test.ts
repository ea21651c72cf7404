import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Span } from '../../daemon/telemetry/tracing/span.ts';
import { type SpanExporter, SpanQueue } from '../../daemon/telemetry/tracing/span-queue.ts';
import { createLog } from '../../lib/log.ts';
import { Counter } from '../../lib/metrics.ts';

const SPAN: Span = {
  ids: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) },
  tracestate: '',
  name: 'GET world.shop',
  kind: 'client',
  startMs: 0,
  endMs: 1,
  attributes: {},
  events: [],
  error: '',
  local: 'hello',
  remote: 'world.shop',
};

/** A collector whose answers come when the test says so; one that hangs fails when it is told to give up. */
class ScriptedExporter implements SpanExporter {
  readonly batches: number[] = [];
  closed = 0;
  #answers: ((error?: Error) => void)[] = [];

  send(spans: readonly Span[], signal: AbortSignal): Promise<void> {
    this.batches.push(spans.length);
    return new Promise((resolve, reject) => {
      this.#answers.push((error) => (error === undefined ? resolve() : reject(error)));
      signal.addEventListener('abort', () => reject(new Error('given up')));
    });
  }

  close(): void {
    this.closed += 1;
  }

  async answer(error?: Error): Promise<void> {
    this.#answers.shift()?.(error);
    await turn();
  }
}

let exporter: ScriptedExporter;
let counters: { exported: Counter; dropped: Counter; failed: Counter };
let queue: SpanQueue;

const counts = () => [counters.exported.value, counters.dropped.value, counters.failed.value];
const add = (count: number) => {
  for (let i = 0; i < count; i += 1) queue.add(SPAN);
};
const pass = async (ms: number) => {
  mock.timers.tick(ms);
  await turn();
};

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  exporter = new ScriptedExporter();
  counters = { exported: new Counter(), dropped: new Counter(), failed: new Counter() };
  queue = new SpanQueue({ exporter, target: 'test', counters, log: createLog('test', 'silent') });
});
afterEach(() => mock.timers.reset());

test('spans leave after a second, in one batch', async () => {
  add(3);
  await pass(999);
  assert.deepEqual(exporter.batches, []);
  await pass(1);
  assert.deepEqual(exporter.batches, [3]);
  await exporter.answer();
  assert.deepEqual(counts(), [3, 0, 0]);
});

test('one batch at a time, of 128 at most; what finds the queue full is dropped', async () => {
  add(1);
  await pass(1_000);
  add(3_000);
  assert.deepEqual(exporter.batches, [1]);
  assert.deepEqual(counts(), [0, 3_000 - 2_048, 0]);
  await exporter.answer();
  await pass(0);
  assert.deepEqual(exporter.batches, [1, 128]);
});

test('a whole batch does not wait', async () => {
  add(127);
  await pass(0);
  assert.deepEqual(exporter.batches, []);
  add(1);
  await pass(0);
  assert.deepEqual(exporter.batches, [128]);
});

test('a collector that hangs is given up after five seconds, and asked again a second later', async () => {
  add(128);
  await pass(0);
  assert.deepEqual(exporter.batches, [128]);
  await pass(4_999);
  assert.deepEqual(counts(), [0, 0, 0]);
  await pass(1);
  assert.deepEqual(counts(), [0, 0, 128]);
  add(1_000);
  await pass(999);
  assert.deepEqual(exporter.batches, [128], 'not at once, though many wait');
  await pass(1);
  assert.deepEqual(exporter.batches, [128, 128]);
});

test('a span that the collector did not take is not sent again', async () => {
  add(2);
  await pass(1_000);
  await exporter.answer(new Error('status 500'));
  await pass(10_000);
  assert.deepEqual(exporter.batches, [2]);
  assert.deepEqual(counts(), [0, 0, 2]);
});

test('at the end all that waits is sent, and what comes later dropped', async () => {
  add(200);
  const stopped = queue.stop(1_000);
  await exporter.answer();
  await exporter.answer();
  await stopped;
  assert.deepEqual(exporter.batches, [128, 72]);
  add(1);
  assert.deepEqual(counts(), [200, 1, 0]);
  assert.equal(exporter.closed, 1);
});

test('the end waits no longer than it is given for a collector that hangs', async () => {
  add(1_500);
  const stopped = queue.stop(1_000);
  await pass(1_000);
  await stopped;
  assert.deepEqual(counts(), [0, 1_500 - 128, 128]);
  assert.equal(exporter.closed, 1);
});
