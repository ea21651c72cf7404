import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { type Replica, WebhookCluster } from '../support/webhook-cluster.ts';

test('webhook: who gets the proxy, and one log line and one count a review', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const [replica] = (await cluster.serve(1)) as [Replica];
  assert.deepEqual(
    [...(await cluster.pod('shop')).keys()],
    ['NODE_NAME', 'NODE_IP', 'http_proxy', 'no_proxy', 'NO_PROXY'],
  );
  const none: [string, Parameters<WebhookCluster['pod']>[1]][] = [
    ['plain', {}],
    ['shop', { annotations: { 'mesh-inject': 'disabled' } }],
    ['shop', { annotations: { 'mesh-inject': 'yes' } }],
    ['shop', { spec: { hostNetwork: true } }],
    ['shop', { labels: { 'mesh-inject': 'disabled' } }],
    ['kube-system', { labels: { 'mesh-inject': 'enabled' } }],
    ['nodemesh', { labels: { 'mesh-inject': 'enabled' } }],
  ];
  for (const [namespace, change] of none) assert.equal((await cluster.pod(namespace, change)).size, 0, namespace);
  const asked = await cluster.pod('plain', { labels: { 'mesh-inject': 'enabled' } });
  assert.equal(asked.get('http_proxy'), 'http://$(NODE_IP):4140');

  // The entries' selectors keep all others from being asked about at all.
  const reviews = replica.lines.filter((line) => line.msg === 'review');
  assert.deepEqual(
    reviews.map(({ namespace, decision, reasons }) => [namespace, decision, ...(reasons as string[])]),
    [
      ['shop', 'inject', 'namespace_enabled'],
      ['shop', 'skip', 'pod_disabled'],
      ['shop', 'skip', 'invalid_annotation'],
      ['shop', 'skip', 'host_network'],
      ['plain', 'inject', 'pod_enabled'],
    ],
  );
  const { uid, pod, ms, detail, containers } = reviews[0] ?? {};
  assert.deepEqual([typeof uid, typeof pod, typeof ms, containers], ['string', 'string', 'number', ['app']]);
  assert.deepEqual(detail, ['namespace shop has label mesh-inject=enabled']);
  const metrics = await replica.metrics();
  assert.match(metrics, /^requests_total\{operation="CREATE",result="injected"\} 2$/m);
  assert.match(metrics, /^requests_total\{operation="CREATE",result="skipped"\} 3$/m);
  assert.match(metrics, /^decisions_total\{reason="namespace_enabled"\} 1$/m);
  assert.match(metrics, /^decisions_total\{reason="host_network"\} 1$/m);
  assert.match(metrics, /^request_duration_seconds_count 5$/m);
  assert.match(metrics, /^patch_bytes_count 2$/m);
  assert.match(metrics, /^in_flight 0$/m);
  assert.match(metrics, /^panics_total 0$/m);
  assert.match(metrics, /^cabundle_repairs_total [1-9]/m);
  const days = (kind: string) => {
    const end = new RegExp(`^cert_not_after_seconds\\{kind="${kind}"\\} (\\d+)`, 'm').exec(metrics)?.[1];
    return (Number(end) - Date.now() / 1000) / 86_400;
  };
  assert.ok(days('ca') > 3_640 && days('ca') < 3_660);
  for (const kind of ['leaf', 'served']) assert.ok(days(kind) > 360 && days(kind) < 366);
});

test('webhook: it counts whatever its alerts and its dashboard ask for', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const [replica] = (await cluster.serve(1)) as [Replica];
  const served = new Set([...(await replica.metrics()).matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name));
  const read = (file: string) => readFileSync(new URL(`../../manifests/monitoring/${file}`, import.meta.url), 'utf8');
  const rules = parse(read('webhook-rules.yaml')).spec.groups.flatMap(({ rules }: { rules: object[] }) => rules);
  const targets = JSON.parse(read('webhook-dashboard.json')).panels.flatMap(
    ({ targets }: { targets: object[] }) => targets,
  );
  const asked: string[] = [...rules, ...targets].flatMap(({ expr }: { expr: string }) =>
    [...expr.matchAll(/(\w+)\{/g)].map(([, name = '']) => name),
  );
  assert.ok(asked.length > 20);
  for (const name of asked) {
    const known = name === 'up' || name.startsWith('apiserver_') || served.has(name.replace(/_bucket$/, ''));
    assert.ok(known, `nobody counts ${name}`);
  }
});

test('webhook: the controller of pods gets one Event for what happened to them, and none for a dry run', async (t) => {
  const cluster = await WebhookCluster.start(t);
  await cluster.serve(1);
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'u-1', controller: true };
  const pod = (name: string, annotations = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', annotations, ownerReferences: [owner] },
    spec: { containers: [{ name: 'app', image: 'app' }] },
  });
  const dry = await fetch(`${cluster.kubernetes.url}/api/v1/namespaces/shop/pods?dryRun=All`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(pod('dry', { 'nodemesh.dev/skip-containers': 'dry' })),
  });
  assert.match(await dry.text(), /http_proxy/);
  for (let i = 0; i < 5; i += 1) await cluster.kubernetes.apply(pod(`web-${i}`));
  await cluster.kubernetes.apply(pod('out', { 'mesh-inject': 'disabled' }));
  const path = '/api/v1/namespaces/shop/events';
  const told = () => cluster.kubernetes.list(path) as unknown as { reason: string; message: string; count: number }[];
  let end = () => {};
  await new Promise<void>((resolve) => {
    end = cluster.kubernetes.watch(path, () => {
      if (told().reduce((sum, { count }) => sum + count, 0) === 6) resolve();
    });
  });
  end();
  assert.deepEqual(
    told()
      .map(({ reason, message }) => [reason, message])
      .sort(),
    [
      ['Injected', "the mesh's proxy was given to app"],
      ['InjectionSkipped', "pods are created without the mesh's proxy: the pod itself says mesh-inject: disabled"],
    ],
  );
});

test('webhook: a pod that follows its new namespace at once, or its new label, is injected', async (t) => {
  const cluster = await WebhookCluster.start(t);
  await cluster.serve(1);
  for (let i = 0; i < 10; i += 1) {
    await cluster.namespace(`new-${i}`, { 'mesh-inject': 'enabled' });
    assert.ok((await cluster.pod(`new-${i}`)).has('http_proxy'));
  }
  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  assert.ok((await cluster.pod('plain')).has('http_proxy'));
});

test('webhook: with the API server away it goes on answering', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const [replica] = (await cluster.serve(1)) as [Replica];
  await cluster.kubernetes.goDown();
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await cluster.namespace('new', { 'mesh-inject': 'enabled' });
  assert.ok((await cluster.pod('new')).has('http_proxy'));
  assert.ok(replica.readiness.ready);
  assert.ok(replica.lines.some((line) => JSON.stringify(line.reasons) === '["namespace_unknown"]'));
  await cluster.kubernetes.comeUp();
});

test('webhook: without the API server it starts, is not ready, says why, and becomes ready', async (t) => {
  const cluster = await WebhookCluster.start(t);
  await cluster.kubernetes.goDown();
  const replica = await cluster.replica();
  const { ip, port } = replica.webhook.adminAddress;
  let answer = await fetch(`http://${ip}:${port}/readyz`);
  assert.equal(answer.status, 503);
  assert.equal((await fetch(`http://${ip}:${port}/livez`)).status, 200);
  let text = await answer.text();
  while (!/^certificate: Secret nodemesh\/nodemesh-webhook-tls: .*ECONNREFUSED/m.test(text)) {
    answer = await fetch(`http://${ip}:${port}/readyz`);
    text = await answer.text();
  }
  await cluster.kubernetes.comeUp();
  await replica.readiness.whenReady();
});

test('webhook: auto uses the node name where it resolves to the node, and its address elsewhere', async (t) => {
  for (const [ips, url] of [
    [['127.0.0.1', '::1'], 'http://$(NODE_NAME):4140'],
    [['10.99.0.11'], 'http://$(NODE_IP):4140'],
    [['fd00::11'], 'http://[$(NODE_IP)]:4140'],
  ] as const) {
    const cluster = await WebhookCluster.start(t);
    await cluster.node('localhost', ...ips);
    await cluster.serve(1, 'proxyAddress: auto\ndrainSeconds: 0');
    assert.equal((await cluster.pod('shop')).get('http_proxy'), url);
  }
});

test('webhook: stopping, it is unready at once and answers until the drain is over', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const [replica] = (await cluster.serve(1, 'proxyAddress: hostIP\ndrainSeconds: 1')) as [Replica];
  const { ip, port } = replica.webhook.adminAddress;
  const stopped = replica.webhook.stop();
  cluster.replicas.splice(0);
  const ready = await fetch(`http://${ip}:${port}/readyz`);
  assert.deepEqual([ready.status, await ready.text()], [503, 'stopping: the webhook is shutting down\n']);
  assert.equal((await fetch(`http://${ip}:${port}/livez`)).status, 200);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await stopped;
  await assert.rejects(cluster.pod('shop'), /ECONNREFUSED/);
  await assert.rejects(fetch(`http://${ip}:${port}/readyz`));
});
