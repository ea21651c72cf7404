import assert from 'node:assert/strict';
import { test } from 'node:test';
import { discoverEndpointsResource } from '../../lib/kubernetes/discovery.ts';
import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { type Json, PODS, podManifest as pod, startMemoryKubernetes as start } from '../support/memory-kubernetes.ts';
import { configMap } from '../support/reflector.ts';

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const MERGE = 'application/merge-patch+json';
const APPLY = 'application/apply-patch+yaml';

test('memory kubernetes: create, read, replace, delete', async (t) => {
  const { ask, refusal } = await start(t);
  const created = await ask('POST', CONFIG_MAPS, configMap('a', '1'));
  assert.match(created.metadata.uid, /^[0-9a-f-]{36}$/);
  assert.match(created.metadata.creationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(await ask('GET', `${CONFIG_MAPS}/a`), created);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, configMap('a', '1')), [409, 'AlreadyExists']);
  const replaced = await ask('PUT', `${CONFIG_MAPS}/a`, { ...created, data: { value: '2' } });
  assert.equal(replaced.metadata.uid, created.metadata.uid);
  assert.ok(Number(replaced.metadata.resourceVersion) > Number(created.metadata.resourceVersion));
  assert.deepEqual(await refusal('PUT', `${CONFIG_MAPS}/a`, created), [409, 'Conflict']);
  assert.deepEqual(await ask('PUT', `${CONFIG_MAPS}/a`, replaced), replaced, 'writing the same is no change');
  assert.equal((await ask('DELETE', `${CONFIG_MAPS}/a`)).status, 'Success');
  assert.deepEqual(await refusal('GET', `${CONFIG_MAPS}/a`), [404, 'NotFound']);
  assert.deepEqual(await refusal('DELETE', `${CONFIG_MAPS}/a`), [404, 'NotFound']);
});

test('memory kubernetes: what an API server refuses', async (t) => {
  const { ask, refusal, kubernetes } = await start(t);
  assert.deepEqual(await refusal('POST', '/api/v1/namespaces/nowhere/configmaps', { metadata: { name: 'a' } }), [
    404,
    'NotFound',
  ]);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, { metadata: { name: 'A_b' } }), [422, 'Invalid']);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, { metadata: {} }), [422, 'Invalid']);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, pod('a')), [400, 'BadRequest']);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, { metadata: { name: 'a', namespace: 'kube-system' } }), [
    400,
    'BadRequest',
  ]);
  assert.deepEqual(await refusal('POST', CONFIG_MAPS, { metadata: { name: 'a', resourceVersion: '1' } }), [
    400,
    'BadRequest',
  ]);
  assert.deepEqual(await refusal('GET', `${CONFIG_MAPS}?labelSelector=a%20b`), [400, 'BadRequest']);
  assert.deepEqual(await refusal('GET', `${CONFIG_MAPS}?fieldSelector=data.x%3D1`), [400, 'BadRequest']);
  assert.deepEqual((await refusal('GET', '/apis/nope/v1'))[0], 404);
  assert.deepEqual((await refusal('GET', '/api/v1/nodes/%ff'))[0], 404);
  assert.deepEqual((await refusal('DELETE', CONFIG_MAPS))[0], 405);
  await ask('POST', CONFIG_MAPS, configMap('a', '1'));
  assert.deepEqual((await refusal('PATCH', `${CONFIG_MAPS}/a`, {}))[0], 415);
  assert.equal((await fetch(`${kubernetes.url}${CONFIG_MAPS}`, { method: 'POST', body: '{"a"' })).status, 400);
  assert.equal(
    (await fetch(`${kubernetes.url}${CONFIG_MAPS}`, { method: 'POST', body: ' '.repeat(4 << 20) })).status,
    413,
  );
});

test('memory kubernetes: patches', async (t) => {
  const { ask, refusal } = await start(t);
  await ask('POST', CONFIG_MAPS, configMap('a', '1', { x: '1' }));
  const path = `${CONFIG_MAPS}/a`;
  const merged = await ask('PATCH', path, { metadata: { labels: { x: null, y: '2' } }, data: { more: 'm' } }, MERGE);
  assert.deepEqual([merged.metadata.labels, merged.data], [{ y: '2' }, { value: '1', more: 'm' }]);
  const operations = [
    { op: 'test', path: '/data/value', value: '1' },
    { op: 'remove', path: '/data/more' },
  ];
  assert.deepEqual((await ask('PATCH', path, operations, 'application/json-patch+json')).data, { value: '1' });
  assert.equal((await refusal('PATCH', path, operations, 'application/json-patch+json'))[0], 400);
  const stale = { metadata: { resourceVersion: merged.metadata.resourceVersion }, data: { value: '9' } };
  assert.deepEqual(await refusal('PATCH', path, stale, MERGE), [409, 'Conflict']);
});

test('memory kubernetes: apply creates, and merges webhooks by their names', async (t) => {
  const { ask } = await start(t);
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/m';
  const manifest = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'm' },
    webhooks: [
      { name: 'a.x', timeoutSeconds: 3, clientConfig: { service: { name: 's', namespace: 'n' } } },
      { name: 'b.x' },
    ],
  };
  await ask('PATCH', path, manifest, APPLY);
  const bundle = { ...manifest, webhooks: [{ name: 'a.x', clientConfig: { caBundle: 'YQ==' } }] };
  assert.deepEqual((await ask('PATCH', path, bundle, APPLY)).webhooks, [
    { name: 'a.x', timeoutSeconds: 3, clientConfig: { service: { name: 's', namespace: 'n' }, caBundle: 'YQ==' } },
    { name: 'b.x' },
  ]);
});

test('memory kubernetes: of many patches at once none is lost', async (t) => {
  const { ask } = await start(t);
  await ask('POST', CONFIG_MAPS, configMap('a', '1'));
  await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask('PATCH', `${CONFIG_MAPS}/a`, { data: { [`k${i}`]: 'x' } }, MERGE)),
  );
  assert.equal(Object.keys((await ask('GET', `${CONFIG_MAPS}/a`)).data).length, 21);
});

test('memory kubernetes: status is written through its subresource, and the rest elsewhere', async (t) => {
  const { ask, kubernetes } = await start(t);
  const created = await ask('POST', PODS, { ...pod('p'), status: { podIP: '10.0.0.1' } });
  assert.deepEqual(created.status, { phase: 'Pending' });
  const written = await ask('PUT', `${PODS}/p/status`, {
    ...created,
    spec: { nodeName: 'n' },
    status: { phase: 'Running' },
  });
  assert.deepEqual(
    [written.status, written.spec.nodeName, written.metadata.generation],
    [{ phase: 'Running' }, undefined, 1],
  );
  const changed = await ask('PATCH', `${PODS}/p`, { spec: { nodeName: 'n' }, status: { phase: 'Failed' } }, MERGE);
  assert.deepEqual(
    [changed.status, changed.spec.nodeName, changed.metadata.generation],
    [{ phase: 'Running' }, 'n', 2],
  );
  const applied: Json = await kubernetes.apply({ ...pod('q'), status: { phase: 'Running', podIP: '10.0.0.2' } });
  assert.deepEqual(applied.status, { phase: 'Running', podIP: '10.0.0.2' });
});

test('memory kubernetes: a pod on a node is gone when its kubelet says so', async (t) => {
  const { ask, kubernetes } = await start(t);
  const events: string[] = [];
  kubernetes.watch(PODS, ({ type, object }) =>
    events.push(`${type} ${object.metadata.name} ${object.metadata.deletionTimestamp !== undefined}`),
  );
  await ask('POST', PODS, pod('unscheduled'));
  await ask('DELETE', `${PODS}/unscheduled`);
  await ask('POST', PODS, pod('running', { nodeName: 'n', terminationGracePeriodSeconds: 7 }));
  const deleted = await ask('DELETE', `${PODS}/running`);
  assert.equal(deleted.metadata.deletionGracePeriodSeconds, 7);
  const again = await ask('DELETE', `${PODS}/running`);
  assert.deepEqual(again.metadata, deleted.metadata);
  assert.equal(
    (await ask('DELETE', `${PODS}/running`, { gracePeriodSeconds: 0, preconditions: { uid: deleted.metadata.uid } }))
      .status,
    'Success',
  );
  assert.deepEqual(events, [
    'ADDED unscheduled false',
    'DELETED unscheduled false',
    'ADDED running false',
    'MODIFIED running true',
    'DELETED running true',
  ]);
});

test('memory kubernetes: a deleted namespace takes its objects along', async (t) => {
  const { ask, refusal, kubernetes } = await start(t);
  await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await ask('POST', '/api/v1/namespaces/shop/configmaps', { metadata: { name: 'a' } });
  await ask('DELETE', '/api/v1/namespaces/shop');
  assert.deepEqual(await refusal('GET', '/api/v1/namespaces/shop/configmaps/a'), [404, 'NotFound']);
});

test('memory kubernetes: Services get an address and keep it', async (t) => {
  const { kubernetes } = await start(t);
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } };
  const first: Json = await kubernetes.apply(service);
  assert.match(first.spec.clusterIP, /^10\.96\.\d+\.\d+$/);
  const again: Json = await kubernetes.apply({ ...service, spec: { ports: [{ port: 81 }] } });
  assert.deepEqual([again.spec.clusterIP, again.spec.ports], [first.spec.clusterIP, [{ port: 81 }]]);
  const headless: Json = await kubernetes.apply({ ...service, metadata: { name: 'h' }, spec: { clusterIP: 'None' } });
  assert.deepEqual(headless.spec.clusterIPs, ['None']);
});

test('memory kubernetes: lists by page, label and field', async (t) => {
  const { ask, refusal, kubernetes } = await start(t);
  for (const i of [1, 2, 3, 4, 5]) {
    const labels = i % 2 === 0 ? { even: 'yes', i: String(i) } : { i: String(i) };
    await ask('POST', PODS, { metadata: { name: `p${i}`, labels }, spec: { nodeName: `n${i % 2}` } });
  }
  const names = async (query: string) =>
    (await ask('GET', `/api/v1/pods?${query}`)).items.map((o: Json) => o.metadata.name.slice(1)).join('');
  const select = (selector: string) => names(`labelSelector=${encodeURIComponent(selector)}`);
  assert.equal(await select('even=yes'), '24');
  assert.equal(await select('even!=yes'), '135');
  assert.equal(await select('i in (1, 4),even'), '4');
  assert.equal(await select('i notin (1,4),!even'), '35');
  assert.equal(await names(`fieldSelector=${encodeURIComponent('spec.nodeName=n0,metadata.name!=p2')}`), '4');
  const first = await ask('GET', '/api/v1/pods?limit=2');
  assert.deepEqual([first.kind, first.items.length, first.metadata.remainingItemCount], ['PodList', 2, 3]);
  assert.equal(first.items[0].kind, undefined);
  // The rest is of the same moment, whatever happens in between.
  await ask('POST', PODS, pod('p2b'));
  assert.equal(await names(`limit=2&continue=${first.metadata.continue}`), '34');
  kubernetes.compact();
  assert.deepEqual(await refusal('GET', `/api/v1/pods?limit=2&continue=${first.metadata.continue}`), [410, 'Expired']);
});

async function watched(api: KubernetesApi, path: string, count: number): Promise<Json[]> {
  const stream = await api.stream(path, new AbortController().signal);
  const events: Json[] = [];
  for await (const line of stream.lines) {
    events.push(JSON.parse(line));
    if (events.length === count) stream.close();
  }
  return events;
}

test('memory kubernetes: a watch tells what happened since, then what happens, then bookmarks', async (t) => {
  const { ask, api } = await start(t, { bookmarkMs: 20 });
  const { resourceVersion } = (await ask('GET', CONFIG_MAPS)).metadata;
  await ask('POST', CONFIG_MAPS, configMap('a', '1', { on: '1' }));
  await ask('POST', CONFIG_MAPS, configMap('b', '1'));
  const query = `watch=true&resourceVersion=${resourceVersion}&allowWatchBookmarks=true&labelSelector=on`;
  const watching = watched(api, `${CONFIG_MAPS}?${query}`, 4);
  await ask('PATCH', `${CONFIG_MAPS}/b`, { metadata: { labels: { on: '1' } } }, MERGE);
  await ask('PATCH', `${CONFIG_MAPS}/a`, { metadata: { labels: null } }, MERGE);
  const events = await watching;
  assert.deepEqual(
    events.map(({ type, object }) => `${type} ${object.kind} ${object.metadata.name}`),
    ['ADDED ConfigMap a', 'ADDED ConfigMap b', 'DELETED ConfigMap a', 'BOOKMARK ConfigMap undefined'],
  );
  assert.equal(events[3].object.metadata.resourceVersion, events[2].object.metadata.resourceVersion);
});

test('memory kubernetes: a watch without a resourceVersion begins with what is there', async (t) => {
  const { ask, api } = await start(t);
  await ask('POST', CONFIG_MAPS, configMap('a', '1'));
  const [event] = await watched(api, `${CONFIG_MAPS}?watch=1`, 1);
  assert.deepEqual([event.type, event.object.kind, event.object.metadata.name], ['ADDED', 'ConfigMap', 'a']);
});

test('memory kubernetes: a watch from before a compaction is told so, in either way', async (t) => {
  const { kubernetes, api } = await start(t);
  kubernetes.compact();
  const [event] = await watched(api, `${CONFIG_MAPS}?watch=true&resourceVersion=2`, 1);
  assert.deepEqual([event.type, event.object.code, event.object.reason], ['ERROR', 410, 'Expired']);
  kubernetes.compact('status');
  assert.equal(
    (await api.stream(`${CONFIG_MAPS}?watch=true&resourceVersion=2`, new AbortController().signal)).status,
    410,
  );
});

test('memory kubernetes: discovery, with EndpointSlices and without', async (t) => {
  const { ask, api } = await start(t);
  assert.ok((await ask('GET', '/apis')).groups.some(({ name }: Json) => name === 'discovery.k8s.io'));
  assert.deepEqual((await ask('GET', '/apis/policy/v1beta1')).resources[0].name, 'poddisruptionbudgets');
  assert.equal((await discoverEndpointsResource(api)).kind, 'EndpointSlice');
  const older = await start(t, { endpointSlices: false });
  assert.equal((await discoverEndpointsResource(older.api)).path, '/api/v1/endpoints');
  await older.kubernetes.goDown();
  await assert.rejects(discoverEndpointsResource(older.api), KubernetesError);
});

test('memory kubernetes: both versions of a group show the same objects', async (t) => {
  const { ask } = await start(t);
  const path = (version: string) => `/apis/policy/${version}/namespaces/default/poddisruptionbudgets`;
  await ask('POST', path('v1'), { metadata: { name: 'p' }, spec: { minAvailable: 1 } });
  const old = await ask('GET', `${path('v1beta1')}/p`);
  assert.deepEqual([old.apiVersion, old.spec], ['policy/v1beta1', { minAvailable: 1 }]);
});
