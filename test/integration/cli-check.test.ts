import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import type { Finding } from '../../cli/checks/finding.ts';
import { createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { nodemesh } from '../support/cli.ts';
import { CONFIGURATION_PATH, MeshCluster, SECRET, sharedCertificates } from '../support/mesh-cluster.ts';

const DAY_MS = 86_400_000;
const IDS = [
  'api.reachable',
  'webhook.configuration',
  'webhook.ca-bundle',
  'webhook.certificate',
  'webhook.expiry',
  'webhook.reachable',
  'webhook.replicas',
  'proxy.address',
  'mesh.tls',
  'daemon.nodes',
  'pods.current',
];

/** A check's findings; the counts and the status must agree with them. */
async function findings(cluster: MeshCluster, argv: readonly string[] = [], now?: number): Promise<Finding[]> {
  const { status, out, err } = await cluster.nodemesh(['check', '-o', 'json', ...argv], now);
  assert.equal(err, '');
  const report = JSON.parse(out) as { errors: number; warnings: number; findings: Finding[] };
  const number = (severity: string) => report.findings.filter((finding) => finding.severity === severity).length;
  assert.deepEqual([report.errors, report.warnings], [number('error'), number('warning')]);
  assert.equal(status, report.errors > 0 ? 1 : 0);
  for (const { id, severity, hint } of report.findings) assert.equal(hint === undefined, severity === 'ok', id);
  return report.findings;
}

/** What is not well, as `severity id: text`. */
async function faults(cluster: MeshCluster, argv: readonly string[] = [], now?: number): Promise<string[]> {
  const all = await findings(cluster, argv, now);
  return all.filter(({ severity }) => severity !== 'ok').map(({ id, severity, text }) => `${severity} ${id}: ${text}`);
}

function matchAll(lines: readonly string[], ...expected: readonly RegExp[]): void {
  const [found, wanted] = [[...lines].sort(), [...expected].sort((a, b) => (a.source < b.source ? -1 : 1))];
  assert.equal(found.length, wanted.length, lines.join('\n'));
  for (const [i, pattern] of wanted.entries()) assert.match(found[i] ?? '', pattern);
}

interface Entries {
  readonly webhooks: { name: string; clientConfig: { caBundle?: string } }[];
}

/** Changes the first entry's caBundle after the webhook that would repair it has gone. */
async function breakBundle(cluster: MeshCluster, caBundle: string | undefined): Promise<void> {
  await cluster.stopWebhook();
  await cluster.change(CONFIGURATION_PATH, (object) => {
    const [first, ...others] = (object as unknown as Entries).webhooks;
    return { ...object, webhooks: [{ ...first, clientConfig: { ...first?.clientConfig, caBundle } }, ...others] };
  });
}

const base64 = (text: string) => Buffer.from(text).toString('base64');
const UNREACHABLE = /^error webhook\.reachable: a pod that asks to be injected comes back as it was/;

test('check: a mesh that lacks nothing', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.pod('shop', 'web', { node: 'node-2' });
  const all = await findings(cluster);
  assert.deepEqual(
    all.map(({ id }) => id),
    IDS,
  );
  assert.deepEqual(await faults(cluster), []);

  const text = await cluster.nodemesh(['check']);
  assert.equal(text.status, 0);
  assert.match(text.out, /^ok {6}webhook\.expiry: the serving certificate: 364 days left; its CA: 3649 days left$/m);
  assert.match(text.out, /\n0 errors, 0 warnings\n$/);
});

test('check: an API server that does not answer is the only finding', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.kubernetes.goDown();
  matchAll(await faults(cluster), /^error api\.reachable: GET http:.*ECONNREFUSED/);
  const text = await cluster.nodemesh(['check']);
  assert.match(text.out, /^ERROR {3}api\.reachable: .*\n {8}→ see that kubectl version works/);
});

test('check: without a cluster, and with what it does not know', async () => {
  assert.equal((await nodemesh(['check'])).status, 1);
  assert.equal((await nodemesh(['check', 'all'])).status, 1);
  assert.equal((await nodemesh(['check', '-o', 'yaml'])).status, 1);
});

test('check: no MutatingWebhookConfiguration, or one without entries', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.change(CONFIGURATION_PATH, (object) => ({ ...object, webhooks: [] }));
  matchAll(await faults(cluster), /^error webhook\.configuration: nodemesh has no entry/, UNREACHABLE);
  await cluster.kubernetes.remove(CONFIGURATION_PATH);
  matchAll(await faults(cluster), /^error webhook\.configuration: there is no Mutating/, UNREACHABLE);
});

test('check: an entry without a caBundle, with another, and with one that is none', async (t) => {
  const cluster = await MeshCluster.start(t);
  await breakBundle(cluster, undefined);
  const why = async () => (await faults(cluster)).find((line) => line.includes('ca-bundle'));
  assert.match((await why()) ?? '', /^error webhook\.ca-bundle: no caBundle in namespaces\.nodemesh\.dev$/);
  await breakBundle(cluster, base64((await createAuthority(Date.now()))['ca.crt']));
  assert.match((await why()) ?? '', /namespaces\.nodemesh\.dev and pods\.nodemesh\.dev have different CAs$/);
  await cluster.change(CONFIGURATION_PATH, (object) => ({
    ...object,
    webhooks: (object as unknown as Entries).webhooks.map((entry) => ({
      ...entry,
      clientConfig: { caBundle: base64('x') },
    })),
  }));
  assert.match((await why()) ?? '', /caBundle holds no certificate$/);
});

test('check: a serving certificate of another CA, for another name, or none', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.stopWebhook();
  const ours = await sharedCertificates();
  const why = async () => (await faults(cluster)).filter((line) => line.includes('webhook.certificate'));
  const other = await createServingCertificate(
    await createAuthority(Date.now()),
    ['nodemesh-webhook.nodemesh.svc'],
    Date.now(),
  );
  await cluster.secret(other);
  matchAll(await why(), /^error webhook\.certificate: .* of a CA that is not in caBundle$/);
  await cluster.secret(await createServingCertificate(ours, ['elsewhere'], Date.now()));
  matchAll(await why(), /is not for nodemesh-webhook\.nodemesh\.svc$/);
  await cluster.kubernetes.remove(SECRET);
  matchAll(await why(), /holds none$/);
});

test('check: certificates that are expired, not valid yet, or overdue for renewal', async (t) => {
  const cluster = await MeshCluster.start(t);
  const at = async (days: number) =>
    (await faults(cluster, [], Date.now() + days * DAY_MS)).filter((line) => line.includes('webhook.expiry'));
  matchAll(await at(200));
  const late = await findings(cluster, [], Date.now() + 300 * DAY_MS);
  assert.match(late.find(({ id }) => id === 'webhook.expiry')?.hint ?? '', /^the webhook renews its certificates/);
  matchAll(await at(300), /^warning webhook\.expiry: the serving certificate: 64 days left$/);
  matchAll(await at(366), /^error webhook\.expiry: the serving certificate: expired 20/);
  matchAll(
    await at(-1),
    /^error webhook\.expiry: the serving certificate: not valid before .*; its CA: not valid before /,
  );
});

test('check: a serving certificate that others provide is looked for in its own Secret', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.configure('proxyAddress: hostIP\nservingCertificate: provided');
  matchAll(await faults(cluster), /^error webhook\.certificate: the Secret of the serving certificate holds none$/);
  const { 'tls.crt': cert, 'tls.key': key } = await sharedCertificates();
  const metadata = { name: 'nodemesh-webhook-serving', namespace: 'nodemesh' };
  const data = { 'tls.crt': base64(cert), 'tls.key': base64(key) };
  await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data });
  matchAll(await faults(cluster));
  const late = await findings(cluster, [], Date.now() + 300 * DAY_MS);
  const hint = late.find(({ id }) => id === 'webhook.expiry')?.hint;
  assert.match(hint ?? '', /^whoever fills Secret nodemesh-webhook-serving renews it/);
});

test('check: who may not read the Secret still learns of the CA', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.stopWebhook();
  cluster.kubernetes.denied.add('get secrets').add('create pods');
  const all = await findings(cluster);
  const about = (id: string) =>
    all.filter((finding) => finding.id === id).map(({ severity, text }) => `${severity} ${text}`);
  matchAll(about('webhook.certificate'), /^warning Secret nodemesh-webhook-tls may not be read/);
  matchAll(about('webhook.expiry'), /^ok the CA: 3649 days left$/);
  matchAll(about('webhook.reachable'), /^warning not tried: .*403/);
});

test('check: what may not be read at all is an error of the check that wanted it', async (t) => {
  const cluster = await MeshCluster.start(t);
  cluster.kubernetes.denied.add('list pods');
  const lines = await faults(cluster);
  matchAll(
    lines,
    /^error daemon\.nodes: could not be looked at: .*403 Forbidden/,
    /^error webhook\.replicas: could not be looked at: .*403 Forbidden/,
  );
});

test('check: a webhook that the API server cannot reach', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.stopWebhook();
  matchAll(await faults(cluster), UNREACHABLE);
  await cluster.change(CONFIGURATION_PATH, (object) => ({
    ...object,
    webhooks: (object as unknown as Entries).webhooks.map((entry) => ({ ...entry, failurePolicy: 'Fail' })),
  }));
  matchAll(await faults(cluster), /^error webhook\.reachable: .*failed calling webhook/);
});

test('check: webhook pods on one node, only one, and none', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.kubernetes.remove('/api/v1/namespaces/nodemesh/pods/webhook-2?gracePeriodSeconds=0');
  matchAll(await faults(cluster), /^warning webhook\.replicas: one webhook pod is ready/);
  await cluster.meshPod('webhook', 'webhook-3', 'node-1');
  matchAll(await faults(cluster), /^warning webhook\.replicas: all 2 webhook pods are on node node-1/);
  await cluster.kubernetes.remove('/api/v1/nodes/node-2');
  matchAll(await faults(cluster));
  await cluster.meshPod('webhook', 'webhook-1', 'node-1', false);
  await cluster.meshPod('webhook', 'webhook-3', 'node-1', false);
  matchAll(await faults(cluster), /^error webhook\.replicas: none of 2 webhook pods is ready$/);
});

test('check: an injected pod on a node without a ready daemon', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.pod('shop', 'web', { node: 'node-2' });
  await cluster.pod('shop', 'safe', { node: 'node-1' });
  await cluster.meshPod('daemon', 'daemon-2', 'node-2', false);
  matchAll(
    await faults(cluster),
    /^error daemon\.nodes: node node-2 has 1 injected pod and no ready daemon: shop\/web$/,
  );
  await cluster.kubernetes.remove('/api/v1/namespaces/nodemesh/pods/daemon-2?gracePeriodSeconds=0');
  matchAll(await faults(cluster), /^error daemon\.nodes: node node-2 /);
  await cluster.kubernetes.remove('/api/v1/namespaces/shop/pods/web?gracePeriodSeconds=0');
  matchAll(await faults(cluster));
});

test('check: node names that do not resolve, where pods use them', async (t) => {
  const cluster = await MeshCluster.start(t, 'proxyAddress: nodeName');
  for (const name of ['node-1', 'node-2']) await cluster.kubernetes.remove(`/api/v1/nodes/${name}`);
  await cluster.node('localhost', '127.0.0.1');
  const address = async () => (await findings(cluster)).filter(({ id }) => id === 'proxy.address');
  const [resolved] = await address();
  // Where localhost is ::1 as well, the name stands for more than the node's address.
  if (resolved?.severity !== 'ok') assert.match(resolved?.text ?? '', /localhost resolves to .*::1/);
  await cluster.node('node.invalid', '10.0.0.9');
  const [seenFromOutside] = await address();
  assert.equal(seenFromOutside?.severity, 'warning');
  assert.match(
    seenFromOutside?.text ?? '',
    /seen from here, node name (node\.invalid does not resolve|localhost resolves)/,
  );
  const inside = await nodemesh(['check', '-o', 'json'], {
    env: { ...cluster.env, KUBERNETES_SERVICE_HOST: '10.96.0.1' },
  });
  const [fault] = (JSON.parse(inside.out).findings as Finding[]).filter(({ id }) => id === 'proxy.address');
  assert.equal(fault?.severity, 'error');
});

test('check: a config that the webhook would refuse', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.configure('proxyPrt: 1');
  matchAll(
    await faults(cluster),
    /^error proxy\.address: ConfigMap nodemesh-config, webhook\.yaml: proxyPrt: unknown key; did you mean "proxyPort"\?$/,
    /^warning pods\.current: not looked at/,
  );
});

test('check: TLS between daemons that is off or not required, and a daemon.yaml that is refused or missing', async (t) => {
  const cluster = await MeshCluster.start(t);
  const tls = async (daemon: string) => {
    await cluster.configure('', daemon);
    return (await findings(cluster))
      .filter(({ id }) => id === 'mesh.tls')
      .map(({ severity, text }) => [severity, text]);
  };
  const router = '{protocol: http, label: incoming, interpreter: {transformers: [{kind: io.l5d.k8s.localnode}]}';
  assert.deepEqual(await tls(`routers: [${router}, tls: required}]`), [['ok', 'incoming: required']]);
  assert.deepEqual(await tls(`routers: [${router}}]`), [
    ['warning', 'incoming: off: requests between nodes may go in plaintext'],
  ]);
  assert.deepEqual(await tls(`routers: [${router}, tls: permissive}]`), [
    ['warning', 'incoming: permissive: requests between nodes may go in plaintext'],
  ]);
  const [[severity, text] = []] = await tls('routers: [{protocol: ftp}]');
  assert.equal(severity, 'error');
  assert.match(text ?? '', /^ConfigMap nodemesh-config, daemon\.yaml: routers\[0\]\.protocol: only "http"/);
});

test('check: pods that are older than their label, or have another proxy', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.pod('plain', 'old');
  await cluster.pod('plain', 'opted-out', { annotations: { 'mesh-inject': 'disabled' } });
  await cluster.pod('plain', 'own-proxy', {
    spec: { containers: [{ name: 'app', env: [{ name: 'http_proxy', value: 'http://corporate:3128' }] }] },
  });
  await cluster.pod('shop', 'web');
  matchAll(await faults(cluster));
  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  matchAll(
    await faults(cluster),
    /^warning pods\.current: 1 pod of labelled namespaces without the proxy: plain\/old$/,
  );
  await cluster.configure('proxyAddress: hostIP\nproxyPort: 15001');
  matchAll(
    await faults(cluster),
    /^error pods\.current: 1 pod with another proxy: shop\/web; container app has http_proxy=http:\/\/\$\(NODE_IP\):4140, a new pod gets http_proxy=http:\/\/\$\(NODE_IP\):15001$/,
    /^warning pods\.current: 1 pod of labelled/,
  );
});

test('check: under proxyAddress auto, the webhook says how pods address their proxy', async (t) => {
  const cluster = await MeshCluster.start(t, 'proxyAddress: auto');
  const address = async () => (await findings(cluster)).filter(({ id }) => id === 'proxy.address')[0]?.text;
  assert.equal(await address(), "pods use their host's IP");
  await cluster.stopWebhook();
  assert.equal(await address(), 'the webhook did not tell how pods address their proxy');
});

test('check --pre: a cluster that has all it takes', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.namespace('nodemesh', { 'pod-security.kubernetes.io/enforce': 'privileged' });
  const all = await findings(cluster, ['--pre']);
  assert.deepEqual(
    all.map(({ id, severity }) => [id, severity]),
    ['api.reachable', 'pre.admission', 'pre.permissions', 'pre.clock', 'pre.pod-security', 'pre.ports'].map((id) => [
      id,
      'ok',
    ]),
  );
});

test('check --pre: each thing that an installation would fail at', async (t) => {
  const cluster = await MeshCluster.start(t);
  cluster.kubernetes.denied.add('create clusterroles').add('create mutatingwebhookconfigurations');
  await cluster.namespace('nodemesh', { 'pod-security.kubernetes.io/enforce': 'restricted' });
  const container = { name: 'app', ports: [{ containerPort: 80, hostPort: 4140 }] };
  await cluster.pod('plain', 'taker', { spec: { containers: [container] } });
  await cluster.pod('plain', 'host', {
    spec: { hostNetwork: true, containers: [{ name: 'a', ports: [{ containerPort: 9990 }] }] },
  });
  await cluster.pod('plain', 'fine', { spec: { containers: [{ name: 'a', ports: [{ containerPort: 4140 }] }] } });
  matchAll(
    await faults(cluster, ['--pre']),
    /^error pre\.permissions: you may not create clusterroles, mutatingwebhookconfigurations$/,
    /^error pre\.pod-security: namespace nodemesh enforces Pod Security "restricted"/,
    /^error pre\.ports: .*: plain\/host \(9990\), plain\/taker \(4140\)$/,
  );
});

test('check --pre: clocks that differ', async (t) => {
  const cluster = await MeshCluster.start(t);
  const at = async (ms: number) =>
    (await faults(cluster, ['--pre'], Date.now() + ms)).filter((line) => line.includes('clock'));
  matchAll(await at(600_000), /^warning pre\.clock: the API server's clock is (599|600|601) s behind this one$/);
  matchAll(
    await at(-2 * 3_600_000),
    /^error pre\.clock: the API server's clock is (7199|7200|7201) s ahead of this one$/,
  );
  cluster.kubernetes.denied.add('create configmaps');
  matchAll(await at(0), /^warning pre\.clock: not compared/);
});

test('check --pre: asks about every kind that the manifests hold', async (t) => {
  const cluster = await MeshCluster.start(t);
  const text = readFileSync(new URL('../../manifests/nodemesh.yaml', import.meta.url), 'utf8');
  const kinds = new Set(parseAllDocuments(text).map((document) => String(document.toJS().kind).toLowerCase()));
  assert.ok(kinds.size > 8);
  for (const kind of kinds) {
    const plural = kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`;
    cluster.kubernetes.denied.clear();
    cluster.kubernetes.denied.add(`create ${plural}`);
    const lines = await faults(cluster, ['--pre']);
    assert.ok(
      lines.some((line) => line.startsWith(`error pre.permissions: you may not create ${plural}`)),
      plural,
    );
  }
});
