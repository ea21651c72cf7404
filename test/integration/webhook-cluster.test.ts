import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parse } from 'yaml';
import { splitBundle } from '../../lib/certificates/node-identity.ts';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import { type Manifest, MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { type RunningWebhook, startWebhook } from '../../webhook/app.ts';
import { createAuthority, createServingCertificate, judgeCertificates } from '../../webhook/certificate-authority.ts';
import { parseWebhookConfig, readEnvironment } from '../../webhook/config.ts';

const CONFIGURATION = new URL('../../manifests/base/webhook/mutating-webhook-configuration.yaml', import.meta.url);
const CONFIGURATION_PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nodemesh';
const SECRET_PATH = '/api/v1/namespaces/nodemesh/secrets/nodemesh-webhook-tls';
const SERVING_NAME = 'nodemesh-webhook.nodemesh.svc';

interface Replica {
  readonly webhook: RunningWebhook;
  readonly readiness: Readiness;
  readonly lines: Record<string, unknown>[];
  metrics(): Promise<string>;
}

interface Container {
  name: string;
  env?: { name: string; value?: string }[];
}

/** A cluster that holds what the manifests hold, with its webhooks and what they are called by. */
class Cluster {
  readonly kubernetes: MemoryKubernetes;
  readonly #directory = mkdtempSync(join(tmpdir(), 'nodemesh-webhook-'));
  readonly replicas: Replica[] = [];

  private constructor(kubernetes: MemoryKubernetes) {
    this.kubernetes = kubernetes;
    writeFileSync(join(this.#directory, 'config'), kubernetes.kubeconfig());
  }

  static async start(t: TestContext): Promise<Cluster> {
    const kubernetes = await MemoryKubernetes.start();
    const cluster = new Cluster(kubernetes);
    t.after(async () => {
      await Promise.all(cluster.replicas.map(({ webhook }) => webhook.stop()));
      await kubernetes.stop();
      rmSync(cluster.#directory, { recursive: true });
    });
    await cluster.namespace('nodemesh');
    await cluster.namespace('shop', { 'mesh-inject': 'enabled' });
    await cluster.namespace('plain');
    await kubernetes.apply(configuration());
    const ports = [{ name: 'https', port: 443, targetPort: 'https' }];
    const metadata = { name: 'nodemesh-webhook', namespace: 'nodemesh' };
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } });
    return cluster;
  }

  namespace(name: string, labels = {}): Promise<unknown> {
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  }

  node(name: string, ...ips: string[]): Promise<unknown> {
    const status = { addresses: ips.map((address) => ({ type: 'InternalIP', address })) };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status });
  }

  async replica(config = 'proxyAddress: hostIP\ndrainSeconds: 0'): Promise<Replica> {
    const lines: Record<string, unknown>[] = [];
    const log = createLog('webhook', 'info', { write: (line) => void lines.push(JSON.parse(line)) });
    const readiness = new Readiness();
    const environment = readEnvironment({ POD_NAMESPACE: 'nodemesh', POD_IP: '127.0.0.1' });
    const local = '{ip: pod, port: 0}';
    const text = `https: ${local}\nadmin: ${local}\n${config}\n`;
    const webhook = await startWebhook({
      config: parseWebhookConfig('webhook.yaml', text, environment),
      environment,
      api: loadKubernetesApi({ env: { KUBECONFIG: join(this.#directory, 'config') }, log }),
      log,
      metrics: new MetricsRegistry(),
      readiness,
      now: () => Date.now(),
      random: Math.random,
      bundleGraceMs: 100,
    });
    const { ip, port } = webhook.adminAddress;
    const metrics = async () => (await fetch(`http://${ip}:${port}/metrics`)).text();
    const replica = { webhook, readiness, lines, metrics };
    this.replicas.push(replica);
    return replica;
  }

  /** Starts webhooks, waits until they are ready, and lets the Service lead to them. */
  async serve(count: number, config?: string): Promise<Replica[]> {
    const replicas = await Promise.all([...Array(count)].map(() => this.replica(config)));
    await Promise.all(replicas.map(({ readiness }) => readiness.whenReady()));
    await this.lead(replicas);
    return replicas;
  }

  lead(replicas: readonly Replica[]): Promise<unknown> {
    const subsets = replicas.map(({ webhook: { address } }) => ({
      addresses: [{ ip: address.ip }],
      ports: [{ name: 'https', port: address.port }],
    }));
    const metadata = { name: 'nodemesh-webhook', namespace: 'nodemesh' };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
  }

  /** Creates a pod through admission and gives what its container's env became, by name. */
  async pod(namespace: string, change: { annotations?: object; labels?: object; spec?: object } = {}) {
    const { annotations = {}, labels = {}, spec = {} } = change;
    const created = await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `p-${Math.random().toString(36).slice(2)}`, namespace, annotations, labels },
      spec: { containers: [{ name: 'app', image: 'app' }], ...spec },
    });
    const [container] = (created.spec as { containers: Container[] }).containers;
    return new Map((container?.env ?? []).map(({ name, value }) => [name, value]));
  }

  bundles(): string[] {
    const { webhooks } = this.kubernetes.get(CONFIGURATION_PATH) as unknown as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
    return webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? '');
  }

  /** The Secret's files as texts. */
  secret(): Record<string, string> {
    const { data } = this.kubernetes.get(SECRET_PATH) as unknown as { data: Record<string, string> };
    return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
  }

  /** Asks for new certificates as a person does. */
  annotateSecret(renew: string): Promise<unknown> {
    const { data } = this.kubernetes.get(SECRET_PATH) as unknown as { data: Record<string, string> };
    const metadata = {
      name: 'nodemesh-webhook-tls',
      namespace: 'nodemesh',
      annotations: { 'nodemesh.dev/renew': renew },
    };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, data });
  }

  /** Settles when the Secret is as wanted. */
  async untilSecret(wanted: (files: Record<string, string>) => boolean): Promise<void> {
    let end = () => {};
    await new Promise<void>((resolve) => {
      end = this.kubernetes.watch(SECRET_PATH.slice(0, SECRET_PATH.lastIndexOf('/')), () => {
        if (this.kubernetes.get(SECRET_PATH) !== undefined && wanted(this.secret())) resolve();
      });
    });
    end();
  }

  /** Settles when every entry holds this CA. */
  async untilBundled(ca: string): Promise<void> {
    const wanted = Buffer.from(ca).toString('base64');
    const path = CONFIGURATION_PATH.slice(0, CONFIGURATION_PATH.lastIndexOf('/'));
    let end = () => {};
    await new Promise<void>((resolve) => {
      end = this.kubernetes.watch(path, () => {
        if (this.bundles().every((bundle) => bundle === wanted)) resolve();
      });
    });
    end();
  }
}

function configuration(caBundle?: string): Manifest {
  const manifest = parse(readFileSync(CONFIGURATION, 'utf8'));
  if (caBundle !== undefined) for (const entry of manifest.webhooks) entry.clientConfig.caBundle = caBundle;
  // Fail, so that a call that goes wrong shows.
  for (const entry of manifest.webhooks) entry.failurePolicy = 'Fail';
  return JSON.parse(JSON.stringify(manifest));
}

test('webhook: three replicas that start at once share one CA, which every entry of the configuration gets', async (t) => {
  const cluster = await Cluster.start(t);
  await cluster.serve(3);
  const secret = cluster.secret();
  assert.equal(judgeCertificates(secret, [SERVING_NAME], Date.now()).action, 'keep');
  assert.deepEqual(
    cluster.bundles().map((bundle) => Buffer.from(bundle, 'base64').toString()),
    cluster.bundles().map(() => secret['ca.crt']),
  );
  // Each of the three is called in turn, and trusted by the one CA.
  for (let i = 0; i < 6; i += 1) assert.equal((await cluster.pod('shop')).get('http_proxy'), 'http://$(NODE_IP):4140');
  for (const { lines } of cluster.replicas) assert.equal(lines.filter((line) => line.msg === 'review').length, 2);
});

test('webhook: who gets the proxy, and one log line and one count a review', async (t) => {
  const cluster = await Cluster.start(t);
  const [replica] = (await cluster.serve(1)) as [Replica];
  assert.deepEqual(
    [...(await cluster.pod('shop')).keys()],
    ['NODE_NAME', 'NODE_IP', 'http_proxy', 'no_proxy', 'NO_PROXY'],
  );
  const none: [string, Parameters<Cluster['pod']>[1]][] = [
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
  const metrics = await replica.metrics();
  assert.match(metrics, /^admission_total\{decision="inject",reason="namespace_enabled"\} 1$/m);
  assert.match(metrics, /^admission_total\{decision="skip",reason="host_network"\} 1$/m);
  assert.match(metrics, /^admission_latency_ms_count 5$/m);
  const left = Number(/^certificate_expiry_seconds\{certificate="serving"\} (\d+)/m.exec(metrics)?.[1]);
  assert.ok(left > 360 * 86_400 && left < 366 * 86_400);
});

test('webhook: it counts whatever its alerts and its dashboard ask for', async (t) => {
  const cluster = await Cluster.start(t);
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
  const cluster = await Cluster.start(t);
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
  const cluster = await Cluster.start(t);
  await cluster.serve(1);
  for (let i = 0; i < 10; i += 1) {
    await cluster.namespace(`new-${i}`, { 'mesh-inject': 'enabled' });
    assert.ok((await cluster.pod(`new-${i}`)).has('http_proxy'));
  }
  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  assert.ok((await cluster.pod('plain')).has('http_proxy'));
});

test('webhook: a caBundle that is wiped, or replaced, is repaired', async (t) => {
  const cluster = await Cluster.start(t);
  const [replica] = (await cluster.serve(2)) as [Replica];
  const ca = cluster.secret()['ca.crt'] as string;
  for (const bundle of [undefined, 'Cg==']) {
    await cluster.kubernetes.apply(configuration(bundle));
    await cluster.untilBundled(ca);
    assert.ok((await cluster.pod('shop')).has('http_proxy'));
  }
  await replica.readiness.whenReady();
});

test('webhook: without its configuration it is not ready and says so; with it, it is', async (t) => {
  const cluster = await Cluster.start(t);
  await cluster.kubernetes.remove(CONFIGURATION_PATH);
  const replica = await cluster.replica();
  const missing = () => replica.readiness.pending().find((line) => line.startsWith('caBundle:'));
  const { ip, port } = replica.webhook.adminAddress;
  while (!missing()?.includes('apply the manifests')) await fetch(`http://${ip}:${port}/readyz`);
  assert.equal(missing(), 'caBundle: MutatingWebhookConfiguration nodemesh is not there; apply the manifests');
  await cluster.kubernetes.apply(configuration());
  await replica.readiness.whenReady();
});

test('webhook: with the API server away it goes on answering', async (t) => {
  const cluster = await Cluster.start(t);
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
  const cluster = await Cluster.start(t);
  await cluster.kubernetes.goDown();
  const replica = await cluster.replica();
  const { ip, port } = replica.webhook.adminAddress;
  let answer = await fetch(`http://${ip}:${port}/readyz`);
  assert.equal(answer.status, 503);
  let text = await answer.text();
  while (!/^certificate: Secret nodemesh\/nodemesh-webhook-tls: .*ECONNREFUSED/m.test(text)) {
    answer = await fetch(`http://${ip}:${port}/readyz`);
    text = await answer.text();
  }
  await cluster.kubernetes.comeUp();
  await replica.readiness.whenReady();
});

test('webhook: a corrupt Secret is written anew from the certificates that work', async (t) => {
  const cluster = await Cluster.start(t);
  await cluster.serve(2);
  const before = cluster.secret();
  const metadata = { name: 'nodemesh-webhook-tls', namespace: 'nodemesh' };
  const data = { 'tls.crt': Buffer.from('garbage').toString('base64') };
  await cluster.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, data });
  // A foreign bundle makes the webhooks read the Secret.
  await cluster.kubernetes.apply(configuration('Cg=='));
  await cluster.untilBundled(before['ca.crt'] as string);
  assert.deepEqual(cluster.secret(), before);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
});

test('webhook: a Secret without a usable CA is replaced, one that was made beforehand and is empty is filled', async (t) => {
  for (const data of [{}, { 'ca.crt': 'Z2FyYmFnZQ==', 'ca.key': 'eA==', 'tls.crt': 'eA==', 'tls.key': 'eA==' }]) {
    const cluster = await Cluster.start(t);
    const metadata = { name: 'nodemesh-webhook-tls', namespace: 'nodemesh' };
    await cluster.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, data });
    await cluster.serve(2);
    assert.equal(judgeCertificates(cluster.secret(), [SERVING_NAME], Date.now()).action, 'keep');
    for (let i = 0; i < 2; i += 1) assert.ok((await cluster.pod('shop')).has('http_proxy'));
  }
});

/** Replicas' log lines that say that a certificate was taken into service. */
const taken = ({ lines }: Replica) => lines.filter(({ msg }) => msg === 'serving certificate in force').length;
const untilTaken = async (replica: Replica, count: number) => {
  const { ip, port } = replica.webhook.adminAddress;
  while (taken(replica) < count) await fetch(`http://${ip}:${port}/readyz`);
};

test('webhook: certificates are renewed on demand, the CA beside the old one, and no pod fails meanwhile', async (t) => {
  const cluster = await Cluster.start(t);
  const replicas = await cluster.serve(2);
  const first = cluster.secret();
  let busy = true;
  let created = 0;
  const load = (async () => {
    for (; busy; created += 1) assert.ok((await cluster.pod('shop')).has('http_proxy'));
  })();
  for (const [renew, sameCa, count] of [
    ['serving', true, 2],
    ['ca', false, 3],
  ] as const) {
    const before = cluster.secret();
    await cluster.annotateSecret(renew);
    await cluster.untilSecret((files) => files['tls.crt'] !== before['tls.crt']);
    const after = cluster.secret();
    assert.equal(after['ca.crt'] === before['ca.crt'], sameCa);
    assert.equal(cluster.kubernetes.get(SECRET_PATH)?.metadata.annotations?.['nodemesh.dev/renew'], undefined);
    await cluster.untilBundled(after['ca.crt'] as string);
    await Promise.all(replicas.map((replica) => untilTaken(replica, count)));
  }
  busy = false;
  await load;
  assert.ok(created > 0);
  assert.ok(cluster.secret()['ca.crt']?.includes(first['ca.crt']?.trim().replaceAll('\r', '') ?? ''));
  await cluster.annotateSecret('all');
  await cluster.untilSecret((files) => splitBundle(files['ca.crt'] ?? '').length === 1);
  const renewed = cluster.secret()['ca.crt'] as string;
  assert.notEqual(renewed, first['ca.crt']);
  await cluster.untilBundled(renewed);
  await Promise.all(replicas.map((replica) => untilTaken(replica, 4)));
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
});

test('webhook: a provided certificate is served, its CA comes into every caBundle, and a new one is taken', async (t) => {
  const cluster = await Cluster.start(t);
  const provide = async (set: object) => {
    const metadata = { name: 'nodemesh-webhook-serving', namespace: 'nodemesh' };
    const data = Object.fromEntries(Object.entries(set).map(([k, v]) => [k, Buffer.from(v).toString('base64')]));
    await cluster.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data });
  };
  const make = async () => {
    const { 'ca.key': _key, ...set } = await createServingCertificate(
      await createAuthority(Date.now()),
      [SERVING_NAME],
      Date.now(),
    );
    return set;
  };
  const replica = await cluster.replica('proxyAddress: hostIP\nservingCertificate: provided\ndrainSeconds: 0');
  const missing = () => replica.readiness.pending().find((line) => line.startsWith('certificate:'));
  const { ip, port } = replica.webhook.adminAddress;
  while (!missing()?.includes('does not exist')) await fetch(`http://${ip}:${port}/readyz`);
  const one = await make();
  await provide(one);
  await replica.readiness.whenReady();
  await cluster.lead([replica]);
  await cluster.untilBundled(one['ca.crt']);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  // The webhook's own CA is made all the same, for daemons.
  await cluster.untilSecret((files) => judgeCertificates(files, [SERVING_NAME], Date.now()).action === 'keep');
  await provide({ ...one, 'tls.key': (await make())['tls.key'] });
  await provide(await make());
  await untilTaken(replica, 2);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
});

test('webhook: auto uses the node name where it resolves to the node, and its address elsewhere', async (t) => {
  for (const [ips, url] of [
    [['127.0.0.1', '::1'], 'http://$(NODE_NAME):4140'],
    [['10.99.0.11'], 'http://$(NODE_IP):4140'],
    [['fd00::11'], 'http://[$(NODE_IP)]:4140'],
  ] as const) {
    const cluster = await Cluster.start(t);
    await cluster.node('localhost', ...ips);
    await cluster.serve(1, 'proxyAddress: auto\ndrainSeconds: 0');
    assert.equal((await cluster.pod('shop')).get('http_proxy'), url);
  }
});

test('webhook: stopping, it is unready at once and answers until the drain is over', async (t) => {
  const cluster = await Cluster.start(t);
  const [replica] = (await cluster.serve(1, 'proxyAddress: hostIP\ndrainSeconds: 1')) as [Replica];
  const { ip, port } = replica.webhook.adminAddress;
  const stopped = replica.webhook.stop();
  cluster.replicas.splice(0);
  const ready = await fetch(`http://${ip}:${port}/readyz`);
  assert.deepEqual([ready.status, await ready.text()], [503, 'stopping: the webhook is shutting down\n']);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await stopped;
  await assert.rejects(cluster.pod('shop'), /ECONNREFUSED/);
  await assert.rejects(fetch(`http://${ip}:${port}/readyz`));
});
