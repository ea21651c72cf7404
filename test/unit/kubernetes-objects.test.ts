import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectCache, objectKey } from '../../lib/kubernetes/object-cache.ts';
import { trimPod } from '../../lib/kubernetes/pod.ts';
import { policyPodTrim } from '../../lib/kubernetes/policy-pod.ts';
import { trimService } from '../../lib/kubernetes/service.ts';

const metadata = { name: 'world', namespace: 'shop', uid: 'u1' };

test('service: what the API leaves out has its defaults', () => {
  const spec = { clusterIP: '10.96.0.7', ports: [{ port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }] };
  assert.deepEqual(trimService({ metadata, spec } as never), {
    namespace: 'shop',
    name: 'world',
    clusterIPs: ['10.96.0.7'],
    type: 'ClusterIP',
    externalName: undefined,
    ports: [{ name: '', port: 80, targetPort: 80, appProtocol: undefined }],
    publishNotReadyAddresses: false,
    headless: false,
    trafficDistribution: undefined,
    localOnly: false,
  });
});

test('service: headless has no cluster addresses, dual stack has two', () => {
  const headless = trimService({ metadata, spec: { clusterIP: 'None', clusterIPs: ['None'] } } as never);
  assert.ok(headless.headless);
  assert.deepEqual(headless.clusterIPs, []);
  const clusterIPs = ['10.96.0.7', 'fd00::7'];
  assert.deepEqual(
    trimService({ metadata, spec: { clusterIP: '10.96.0.7', clusterIPs } } as never).clusterIPs,
    clusterIPs,
  );
});

test('service: an external name counts for its own type only', () => {
  const externalName = 'db.example.com';
  assert.equal(
    trimService({ metadata, spec: { type: 'ExternalName', externalName } } as never).externalName,
    externalName,
  );
  assert.equal(trimService({ metadata, spec: { type: 'ClusterIP', externalName } } as never).externalName, undefined);
});

test('pod: scheduled, running, ready', () => {
  const port = (containerPort: number, name?: string, protocol?: string) => ({ containerPort, name, protocol });
  const containers = [
    { ports: [port(8_080, 'http'), port(8_081), port(53, 'dns', 'UDP')] },
    { ports: [port(9_090, 'metrics', 'TCP')] },
  ];
  const initContainers = [{ restartPolicy: 'Always', ports: [port(15_000, 'side')] }, { ports: [port(1, 'over')] }];
  const spec = { nodeName: 'node-1', serviceAccountName: 'default', containers, initContainers };
  const conditions = [
    { type: 'Initialized', status: 'True' },
    { type: 'Ready', status: 'True' },
  ];
  const status = { phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }], conditions };
  assert.deepEqual(trimPod({ metadata: { ...metadata, labels: { app: 'w' } }, spec, status } as never), {
    namespace: 'shop',
    name: 'world',
    uid: 'u1',
    ips: ['10.0.0.1', 'fd00::1'],
    nodeName: 'node-1',
    hostNetwork: false,
    phase: 'Running',
    serviceAccount: 'default',
    terminating: false,
    ready: true,
    labels: { app: 'w' },
    ports: [
      { name: 'http', port: 8_080 },
      { name: 'metrics', port: 9_090 },
      { name: 'side', port: 15_000 },
    ],
    workload: 'world',
    workloadKey: 'shop/world',
    injected: false,
  });
});

test('pod: its workload is the controller that people know it by', () => {
  const workload = (kind: string, name: string, labels = {}, controller = true) =>
    trimPod({ metadata: { ...metadata, labels, ownerReferences: [{ kind, name, controller }] } } as never).workload;
  const hash = { 'pod-template-hash': '5d4f8c' };
  assert.equal(workload('ReplicaSet', 'cart-api-5d4f8c', hash), 'cart-api');
  assert.equal(workload('ReplicaSet', 'by-hand', hash), 'by-hand');
  assert.equal(workload('ReplicaSet', 'by-hand-undefined'), 'by-hand-undefined');
  assert.equal(workload('ReplicaSet', '-5d4f8c', hash), '-5d4f8c');
  for (const kind of ['StatefulSet', 'DaemonSet', 'Job', 'Rollout'])
    assert.equal(workload(kind, 'db-5d4f8c', hash), 'db-5d4f8c');
  assert.equal(workload('Node', 'node-1'), 'world');
  assert.equal(workload('ReplicaSet', 'cart-5d4f8c', hash, false), 'world');
});

test('pod: whether it is injected, by what the webhook writes to those that it injects', () => {
  const injected = (annotations?: object) => trimPod({ metadata: { ...metadata, annotations } } as never).injected;
  assert.ok(injected({ 'nodemesh.dev/status': '{"version":1,"config":"1a2b3c4d","containers":[]}' }));
  assert.ok(!injected({ 'mesh-inject': 'enabled' }));
  assert.ok(!injected());
});

test('policy pods: equal labels and ports are kept once; hosts, pods without an address and ended ones are left out', () => {
  const trim = policyPodTrim();
  const make = (name: string, more: object = {}, status: object = {}) =>
    trim({
      metadata: { namespace: 'shop', name, labels: { app: 'w' } },
      spec: { nodeName: 'node-1', containers: [{ ports: [{ name: 'http', containerPort: 80 }] }], ...more },
      status: { phase: 'Running', podIP: '10.0.0.1', ...status },
    } as never);
  const [one, other] = [make('one'), make('other')];
  assert.deepEqual(one, {
    namespace: 'shop',
    name: 'one',
    uid: '',
    ips: ['10.0.0.1'],
    nodeName: 'node-1',
    serviceAccount: undefined,
    labels: { app: 'w' },
    ports: [{ name: 'http', port: 80 }],
  });
  assert.equal(one?.labels, other?.labels);
  assert.equal(one?.ports, other?.ports);
  assert.equal(make('host', { hostNetwork: true }), undefined);
  assert.equal(make('early', {}, { podIP: '' }), undefined);
  assert.equal(make('done', {}, { phase: 'Succeeded' }), undefined);
});

test('pod: just created, then deleted', () => {
  const created = trimPod({ metadata, spec: {} } as never);
  assert.deepEqual([created.ips, created.nodeName, created.phase, created.ready], [[], undefined, 'Pending', false]);
  const deletionTimestamp = '2026-01-01T00:00:00Z';
  assert.ok(trimPod({ metadata: { ...metadata, deletionTimestamp }, spec: {} } as never).terminating);
});

test('object cache: changes of one object between two looks are one change', () => {
  const cache = new ObjectCache<number>();
  cache.set('a', 1);
  cache.set('b', 1);
  cache.set('a', 2);
  assert.deepEqual(cache.takeChanges(), [
    { key: 'a', object: 2, previous: undefined },
    { key: 'b', object: 1, previous: undefined },
  ]);
  cache.set('a', undefined);
  cache.set('a', 3);
  assert.deepEqual(cache.takeChanges(), [{ key: 'a', object: 3, previous: 2 }]);
  assert.deepEqual(cache.takeChanges(), []);
});

test('object cache: what is the same after all is no change', () => {
  const cache = new ObjectCache<{ readonly ips: readonly string[] }>();
  cache.set('a', { ips: ['1'] });
  cache.takeChanges();
  cache.set('a', { ips: ['2'] });
  cache.set('a', { ips: ['1'] });
  cache.set('gone', { ips: [] });
  cache.set('gone', undefined);
  assert.deepEqual(cache.takeChanges(), []);
});

test('object cache: replacing everything tells the difference, what is gone last', () => {
  const cache = new ObjectCache<number>();
  const replace = (objects: Readonly<Record<string, number>>) => [...cache.replace(new Map(Object.entries(objects)))];
  replace({ a: 1, b: 1, c: 1 });
  cache.takeChanges();
  replace({ b: 1, c: 2, d: 1 });
  assert.deepEqual(cache.takeChanges(), [
    { key: 'c', object: 2, previous: 1 },
    { key: 'd', object: 1, previous: undefined },
    { key: 'a', object: undefined, previous: 1 },
  ]);
  assert.deepEqual([...cache.items.keys()], ['b', 'c', 'd']);
});

test('object cache: replacing very many pauses for their changes to be taken, and none is told twice', () => {
  const cache = new ObjectCache<number>();
  const numbered = (from: number) => new Map(Array.from({ length: 1_000 }, (_, i) => [String(from + i), 1]));
  for (const _ of cache.replace(numbered(0))) cache.takeChanges();
  cache.takeChanges();
  const batches: string[][] = [];
  for (const _ of cache.replace(numbered(500))) batches.push(cache.takeChanges().map(({ key }) => key));
  batches.push(cache.takeChanges().map(({ key }) => key));
  assert.ok(batches.every((keys) => keys.length < 100));
  const told = batches.flat();
  assert.equal(told.length, 1_000);
  assert.deepEqual(
    new Set(told),
    new Set([...numbered(1_000).keys()].slice(0, 500).concat([...numbered(0).keys()].slice(0, 500))),
  );
});

test('object cache: keys of namespaced and cluster-wide objects', () => {
  assert.equal(objectKey({ metadata }), 'shop/world');
  assert.equal(objectKey({ metadata: { name: 'node-1' } }), 'node-1');
});
