import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApiRequest, type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { type OwnerEvent, OwnerEvents } from '../../webhook/owner-events.ts';

const OWNER = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u-1' };
const EVENT: OwnerEvent = {
  namespace: 'shop',
  owner: OWNER,
  type: 'Normal',
  reason: 'Injected',
  message: 'given to app',
};
const NOW = Date.parse('2026-03-01T12:00:00.500Z');

function setUp(refuse: (request: ApiRequest) => boolean = () => false) {
  const requests: ApiRequest[] = [];
  const api: KubernetesApi = {
    server: 'http://api',
    request: async (request) => {
      requests.push(request);
      if (refuse(request)) throw new KubernetesError(403, 'Forbidden', 'events is forbidden');
      return {};
    },
    list: () => assert.fail('nothing is watched'),
    stream: () => assert.fail('nothing is watched'),
  };
  const clock = { now: NOW };
  const counts = new MetricsRegistry().counter('events_total', '', ['result']);
  const [done, failed] = [counts.with('ok'), counts.with('failed')];
  const log = createLog('test', 'silent');
  const make = () => new OwnerEvents({ api, log, counts: { done, failed }, now: () => clock.now, random: () => 0.5 });
  return { events: make(), make, requests, clock, done, failed };
}

test('events: pods of one controller to which the same happened are one object with a count', async () => {
  const { events, requests, clock, done } = setUp();
  events.record(EVENT);
  clock.now += 2_000;
  for (let i = 0; i < 99; i += 1) events.record({ ...EVENT });
  events.record({ ...EVENT, reason: 'InjectionSkipped', type: 'Warning', message: 'not given' });
  assert.equal(requests.length, 0, 'recording asks nothing of the API server');
  await events.stop();
  assert.equal(done.value, 2);
  const [first, second] = requests;
  assert.deepEqual([first?.method, first?.path], ['POST', '/api/v1/namespaces/shop/events']);
  assert.deepEqual(first?.body, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'web-1.800000000000', namespace: 'shop' },
    involvedObject: { ...OWNER, namespace: 'shop' },
    type: 'Normal',
    reason: 'Injected',
    message: 'given to app',
    source: { component: 'nodemesh-webhook' },
    firstTimestamp: '2026-03-01T12:00:00Z',
    lastTimestamp: '2026-03-01T12:00:02Z',
    count: 100,
  });
  assert.match(JSON.stringify(second?.body), /"reason":"InjectionSkipped"/);
});

test('events: what comes later counts the same object up', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { events, requests } = setUp();
  const written = async (count: number) => {
    while (requests.length < count) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  };
  events.record(EVENT);
  t.mock.timers.tick(1_000);
  await written(1);
  events.record(EVENT);
  t.mock.timers.tick(1_000);
  await written(2);
  const { method, path, contentType, body } = requests[1] ?? {};
  assert.deepEqual([method, path], ['PATCH', '/api/v1/namespaces/shop/events/web-1.800000000000']);
  assert.deepEqual(
    [contentType, body],
    ['application/merge-patch+json', { count: 2, lastTimestamp: '2026-03-01T12:00:00Z' }],
  );
  await events.stop();
  assert.equal(requests.length, 2);
});

test('events: one that is refused is counted and dropped, and the next is tried anew', async () => {
  const { events, requests, failed, done } = setUp(({ method }) => method === 'POST');
  events.record(EVENT);
  await events.stop();
  assert.deepEqual([failed.value, done.value, requests.length], [1, 0, 1]);
});

test('events: an owner that no object can be is passed over, and a message has its length', async () => {
  const { events, requests } = setUp();
  for (const change of [{ name: '' }, { uid: 'u'.repeat(300) }, { name: 'n'.repeat(1_000_000) }, { kind: '' }]) {
    events.record({ ...EVENT, owner: { ...OWNER, ...change } });
  }
  events.record({ ...EVENT, message: 'm'.repeat(1_000_000) });
  await events.stop();
  assert.equal(requests.length, 1);
  assert.equal((requests[0]?.body as { message: string } | undefined)?.message.length, 1_024);
});

test('events: no more than a thousand are remembered, and no more than ten written at a time', async () => {
  const { events, requests, failed } = setUp();
  for (let i = 0; i < 1_100; i += 1) events.record({ ...EVENT, owner: { ...OWNER, uid: `u-${i}` } });
  assert.equal(failed.value, 100);
  await events.stop();
  assert.equal(requests.length, 10);
});

test('events: after a hundred at once, one a second', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { events, requests, clock } = setUp();
  for (let i = 0; i < 500; i += 1) events.record({ ...EVENT, owner: { ...OWNER, uid: `u-${i}` } });
  const flush = async () => {
    t.mock.timers.tick(1_000);
    for (let i = 0; i < 50; i += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  for (let i = 0; i < 20; i += 1) await flush();
  assert.equal(requests.length, 100);
  clock.now += 3_000;
  await flush();
  assert.equal(requests.length, 103);
  await events.stop();
});
