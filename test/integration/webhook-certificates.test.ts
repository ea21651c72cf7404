import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitBundle } from '../../lib/certificates/node-identity.ts';
import { createAuthority, createServingCertificate, judgeCertificates } from '../../webhook/certificate-authority.ts';
import {
  CONFIGURATION_PATH,
  configuration,
  type Replica,
  SECRET_PATH,
  SERVING_NAME,
  WebhookCluster,
} from '../support/webhook-cluster.ts';

const PROVIDED = 'proxyAddress: hostIP\nservingCertificate: provided\ndrainSeconds: 0';

test('webhook: three replicas that start at once share one CA, which every entry of the configuration gets', async (t) => {
  const cluster = await WebhookCluster.start(t);
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

test('webhook: replicas of two cluster domains share one certificate in peace', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const config = 'proxyAddress: hostIP\ndrainSeconds: 0\nclusterDomain: ';
  const replicas = await Promise.all(['cluster.local', 'corp.local'].map((domain) => cluster.replica(config + domain)));
  await Promise.all(replicas.map(({ readiness }) => readiness.whenReady()));
  await cluster.lead(replicas);
  const before = cluster.kubernetes.get(SECRET_PATH)?.metadata.resourceVersion;
  for (let i = 0; i < 20; i += 1) assert.ok((await cluster.pod('shop')).has('http_proxy'));
  assert.equal(cluster.kubernetes.get(SECRET_PATH)?.metadata.resourceVersion, before);
});

test('webhook: a caBundle that is wiped, or replaced, is repaired', async (t) => {
  const cluster = await WebhookCluster.start(t);
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
  const cluster = await WebhookCluster.start(t);
  await cluster.kubernetes.remove(CONFIGURATION_PATH);
  const replica = await cluster.replica();
  const missing = () => replica.readiness.pending().find((line) => line.startsWith('caBundle:'));
  const { ip, port } = replica.webhook.adminAddress;
  while (!missing()?.includes('apply the manifests')) await fetch(`http://${ip}:${port}/readyz`);
  assert.equal(missing(), 'caBundle: MutatingWebhookConfiguration nodemesh is not there; apply the manifests');
  await cluster.kubernetes.apply(configuration());
  await replica.readiness.whenReady();
});

test('webhook: a corrupt Secret is written anew from the certificates that work', async (t) => {
  const cluster = await WebhookCluster.start(t);
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

const refusals = async ({ metrics }: Replica) =>
  Number(/^cert_reload_total\{result="failed"\} (\d+)/m.exec(await metrics())?.[1]);

test('webhook: a Secret with a key of another certificate is counted and written anew, and no pod fails', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const [replica] = (await cluster.serve(1)) as [Replica];
  const before = cluster.secret();
  const foreign = await createServingCertificate(await createAuthority(Date.now()), [SERVING_NAME], Date.now());
  assert.equal(await refusals(replica), 0);
  const files = { ...before, 'tls.key': foreign['tls.key'] };
  const data = Object.fromEntries(Object.entries(files).map(([k, v]) => [k, Buffer.from(v).toString('base64')]));
  const metadata = { name: 'nodemesh-webhook-tls', namespace: 'nodemesh' };
  await cluster.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, data });
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await cluster.untilSecret((now) => judgeCertificates(now, [SERVING_NAME], Date.now()).action === 'keep');
  assert.equal(cluster.secret()['ca.crt'], before['ca.crt']);
  assert.equal(await refusals(replica), 1);
  assert.ok(replica.readiness.ready);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
});

test('webhook: a Secret that is deleted is made again from the certificates that work, which are served all along', async (t) => {
  const cluster = await WebhookCluster.start(t);
  await cluster.serve(2);
  const before = cluster.secret();
  await cluster.kubernetes.remove(SECRET_PATH);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await cluster.untilSecret((files) => files['tls.crt'] === before['tls.crt']);
  assert.deepEqual(cluster.secret(), before);
});

test('webhook: a Secret without a usable CA is replaced, one that was made beforehand and is empty is filled', async (t) => {
  for (const data of [{}, { 'ca.crt': 'Z2FyYmFnZQ==', 'ca.key': 'eA==', 'tls.crt': 'eA==', 'tls.key': 'eA==' }]) {
    const cluster = await WebhookCluster.start(t);
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
  const cluster = await WebhookCluster.start(t);
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
  for (const replica of replicas) assert.equal(await refusals(replica), 0);
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

test('webhook: with a certificate that has ended it is not ready, and with the next one it is', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const authority = await createAuthority(Date.now());
  const provide = async (at: number) => {
    const set = await createServingCertificate(authority, [SERVING_NAME], at);
    await provideCertificate(cluster, {
      'ca.crt': set['ca.crt'],
      'tls.crt': set['tls.crt'],
      'tls.key': set['tls.key'],
    });
  };
  await provide(Date.now());
  let ahead = 0;
  const replica = await cluster.replica(PROVIDED, () => Date.now() + ahead);
  await replica.readiness.whenReady();
  const { ip, port } = replica.webhook.adminAddress;
  const ready = async () => (await fetch(`http://${ip}:${port}/readyz`)).text();
  assert.match(await ready(), /^ok/);
  await cluster.untilSecret((files) => judgeCertificates(files, [SERVING_NAME], Date.now()).action === 'keep');
  ahead = 366 * 86_400_000;
  // Any change of a Secret has the certificates looked at, as every minute has.
  await cluster.annotateSecret('serving');
  while (!(await ready()).includes('certificate: the serving certificate ended at '));
  await provide(Date.now() + ahead);
  await untilTaken(replica, 2);
  while ((await ready()).includes('certificate: '));
});

test('webhook: a provided certificate is served, its CA comes into every caBundle, and a new one is taken', async (t) => {
  const cluster = await WebhookCluster.start(t);
  const provide = (set: object) => provideCertificate(cluster, set);
  const make = async () => {
    const { 'ca.key': _key, ...set } = await createServingCertificate(
      await createAuthority(Date.now()),
      [SERVING_NAME],
      Date.now(),
    );
    return set;
  };
  const replica = await cluster.replica(PROVIDED);
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
  while (!/^cert_reload_total\{result="failed"\} [1-9]/m.test(await replica.metrics()));
  assert.ok(replica.readiness.ready);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
  await provide(await make());
  await untilTaken(replica, 2);
  assert.ok((await cluster.pod('shop')).has('http_proxy'));
});

async function provideCertificate(cluster: WebhookCluster, set: object): Promise<void> {
  const metadata = { name: 'nodemesh-webhook-serving', namespace: 'nodemesh' };
  const data = Object.fromEntries(Object.entries(set).map(([k, v]) => [k, Buffer.from(v).toString('base64')]));
  await cluster.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', data });
}
