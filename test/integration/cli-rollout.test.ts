import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MeshCluster } from '../support/mesh-cluster.ts';

const NOW = Date.UTC(2030, 0, 2, 3, 4, 5, 678);
const KINDS = {
  Deployment: 'deployments',
  StatefulSet: 'statefulsets',
  DaemonSet: 'daemonsets',
  ReplicaSet: 'replicasets',
};
type Kind = keyof typeof KINDS;

const path = (kind: Kind, name: string) => `/apis/apps/v1/namespaces/shop/${KINDS[kind]}/${name}`;

/** Pods of every kind of owner, made before their namespace was labelled. */
async function start(t: TestContext): Promise<MeshCluster> {
  const cluster = await MeshCluster.start(t);
  await cluster.namespace('shop');
  const workload = (kind: Kind, name: string, spec: object = {}, ownerReferences: object[] = []) =>
    cluster.apply({ apiVersion: 'apps/v1', kind, metadata: { name, namespace: 'shop', ownerReferences }, spec });
  const owner = (kind: string, name: string, apiVersion = 'apps/v1') => ({ apiVersion, kind, name });
  const template = { metadata: { labels: { app: 'web' } } };
  await workload('Deployment', 'web', { template });
  await workload('ReplicaSet', 'web-1', {}, [{ ...owner('Deployment', 'web'), uid: 'web', controller: true }]);
  await workload('Deployment', 'held', { paused: true, template });
  await workload('ReplicaSet', 'held-1', {}, [{ ...owner('Deployment', 'held'), uid: 'held', controller: true }]);
  await workload('ReplicaSet', 'alone');
  const annotations = { 'nodemesh.dev/status': '{"version":1,"containers":[]}' };
  await workload('StatefulSet', 'by-hand', { template: { metadata: { annotations } } });
  await workload('StatefulSet', 'db', { template });
  await workload('DaemonSet', 'agent', { template, updateStrategy: { type: 'OnDelete' } });
  await cluster.pod('shop', 'web-1-a', { owner: owner('ReplicaSet', 'web-1') });
  await cluster.pod('shop', 'web-1-b', { owner: owner('ReplicaSet', 'web-1') });
  await cluster.pod('shop', 'held-1-a', { owner: owner('ReplicaSet', 'held-1') });
  await cluster.pod('shop', 'alone-a', { owner: owner('ReplicaSet', 'alone') });
  await cluster.pod('shop', 'db-0', { owner: owner('StatefulSet', 'db') });
  await cluster.pod('shop', 'agent-a', { owner: owner('DaemonSet', 'agent') });
  await cluster.pod('shop', 'once-a', { owner: owner('Job', 'once', 'batch/v1') });
  await cluster.pod('shop', 'by-hand-0', { annotations, owner: owner('StatefulSet', 'by-hand') });
  await cluster.pod('shop', 'bare');
  await cluster.pod('plain', 'other');
  await cluster.namespace('shop', { 'mesh-inject': 'enabled' });
  await cluster.namespace('plain', { 'mesh-inject': 'enabled' });
  await cluster.pod('shop', 'new', { owner: owner('StatefulSet', 'new') });
  return cluster;
}

function restartedAt(cluster: MeshCluster, kind: Kind, name: string): string | undefined {
  const { spec } = cluster.kubernetes.get(path(kind, name)) as unknown as {
    spec: { template?: { metadata: { annotations?: Record<string, string> } } };
  };
  return spec.template?.metadata.annotations?.['kubectl.kubernetes.io/restartedAt'];
}

const MISSING = 'container app has no NODE_NAME';
const BY_HAND = [
  `shop DaemonSet/agent: 1 stale pod, ${MISSING}; not restarted: its updateStrategy is OnDelete: delete its pods by hand`,
  `shop Deployment/held: 1 stale pod, ${MISSING}; not restarted: it is paused; kubectl -n shop rollout resume`,
  `shop Job/once: 1 stale pod, ${MISSING}; not restarted: a Job is not restarted; its next run will be injected`,
  `shop Pod/bare: 1 stale pod, ${MISSING}; not restarted: delete the pods of a Pod by hand`,
  `shop ReplicaSet/alone: 1 stale pod, ${MISSING}; not restarted: delete the pods of a ReplicaSet by hand`,
  `shop StatefulSet/by-hand: 1 stale pod, ${MISSING}; not restarted: its manifest itself was injected, and would make the same pods again: nodemesh uninject or inject it anew`,
];

test('rollout --stale: lists what makes pods that are out of date, and restarts nothing', async (t) => {
  const cluster = await start(t);
  const all = await cluster.nodemesh(['rollout', '--stale']);
  assert.equal(all.status, 0);
  assert.equal(all.err, 'nothing was restarted; --yes does it\n');
  assert.deepEqual(all.out.trim().split('\n').sort(), [
    `plain Pod/other: 1 stale pod, ${MISSING}; not restarted: delete the pods of a Pod by hand`,
    BY_HAND[0],
    BY_HAND[1],
    `shop Deployment/web: 2 stale pods, ${MISSING}`,
    ...BY_HAND.slice(2),
    `shop StatefulSet/db: 1 stale pod, ${MISSING}`,
  ]);
  const one = await cluster.nodemesh(['rollout', '--stale', '-n', 'plain']);
  assert.match(one.out, /^plain Pod\/other: .*\n$/);
  assert.equal(one.err, '');
  assert.equal(restartedAt(cluster, 'Deployment', 'web'), undefined);
});

test('rollout --stale --yes: restarts by the annotation of kubectl rollout restart, what can be and nothing else', async (t) => {
  const cluster = await start(t);
  const { status, out, err } = await cluster.nodemesh(['rollout', '--stale', '-n', 'shop', '--yes'], NOW);
  assert.deepEqual([status, err], [0, '']);
  assert.deepEqual(out.trim().split('\n').sort(), [
    BY_HAND[0],
    BY_HAND[1],
    `shop Deployment/web: 2 stale pods, ${MISSING}: restarted`,
    ...BY_HAND.slice(2),
    `shop StatefulSet/db: 1 stale pod, ${MISSING}: restarted`,
  ]);
  assert.equal(restartedAt(cluster, 'Deployment', 'web'), '2030-01-02T03:04:05Z');
  assert.equal(restartedAt(cluster, 'StatefulSet', 'db'), '2030-01-02T03:04:05Z');
  assert.equal(restartedAt(cluster, 'DaemonSet', 'agent'), undefined);
  assert.equal(restartedAt(cluster, 'Deployment', 'held'), undefined);
  const { spec } = cluster.kubernetes.get(path('Deployment', 'web')) as unknown as {
    spec: { template: { metadata: { labels: unknown } } };
  };
  assert.deepEqual(spec.template.metadata.labels, { app: 'web' });
});

test('rollout --stale --yes: what the API server refuses is told, and the others are restarted', async (t) => {
  const cluster = await start(t);
  cluster.kubernetes.denied.add('patch deployments');
  const { status, out, err } = await cluster.nodemesh(['rollout', '--stale', '--yes'], NOW);
  assert.equal(status, 1);
  assert.match(err, /^shop Deployment\/web: 2 stale pods, .*: not restarted: PATCH .*403 Forbidden/);
  assert.match(out, /StatefulSet\/db.*: restarted/);
});

test('rollout --stale --yes: without a webhook that injects, nothing is restarted', async (t) => {
  const cluster = await start(t);
  await cluster.stopWebhook();
  const { status, out, err } = await cluster.nodemesh(['rollout', '--stale', '--yes'], NOW);
  assert.deepEqual([status, out], [1, '']);
  assert.match(err, /^nothing was restarted: the webhook does not inject new pods/);
  assert.equal(restartedAt(cluster, 'Deployment', 'web'), undefined);
});

test('rollout: where all is current, and where it is not understood', async (t) => {
  const cluster = await MeshCluster.start(t);
  await cluster.pod('shop', 'web');
  const { status, out } = await cluster.nodemesh(['rollout', '--stale', '--yes']);
  assert.deepEqual([status, out], [0, 'every pod of a labelled namespace is as it would be made today\n']);
  const missing = await cluster.nodemesh(['rollout']);
  assert.equal(missing.status, 1);
  assert.match(missing.err, /rollout wants --stale/);
  assert.equal((await cluster.nodemesh(['rollout', '--stale', 'web'])).status, 1);
  cluster.kubernetes.denied.add('list pods');
  const refused = await cluster.nodemesh(['rollout', '--stale']);
  assert.deepEqual([refused.status, refused.out], [1, '']);
  assert.match(refused.err, /403 Forbidden/);
});
