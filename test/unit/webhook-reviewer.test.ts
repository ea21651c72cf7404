import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import type { AdmissionRequest } from '../../webhook/admission-review.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { NamespaceLabels } from '../../webhook/namespaces.ts';
import type { OwnerEvent } from '../../webhook/owner-events.ts';
import { Reviewer } from '../../webhook/reviewer.ts';
import { webhookMetrics } from '../../webhook/webhook-metrics.ts';

const SETTINGS: InjectionSettings = {
  proxyAddress: { by: 'nodeName' },
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject',
};
const OWNER = { apiVersion: 'batch/v1', kind: 'Job', name: 'once', uid: 'u-1' };

function setUp(settings: () => InjectionSettings = () => SETTINGS, log = createLog('test', 'silent')) {
  const told: OwnerEvent[] = [];
  const api: KubernetesApi = {
    server: '',
    request: () => assert.fail('nothing is asked'),
    list: () => assert.fail('nothing is watched'),
    stream: () => assert.fail('nothing is watched'),
  };
  const registry = new MetricsRegistry();
  const metrics = webhookMetrics(registry);
  const reviewer = new Reviewer({
    ownNamespace: 'nodemesh',
    namespaces: new NamespaceLabels(api, log, (name) => ({ name, enabled: true })),
    settings,
    metrics,
    events: { record: (event) => told.push(event) },
    elapsed: () => 0,
    log,
  });
  return { reviewer, told, metrics, registry };
}

function review(spec: object, annotations: object = {}, change: Partial<AdmissionRequest> = {}): AdmissionRequest {
  return {
    apiVersion: 'admission.k8s.io/v1',
    uid: 'u',
    kind: '/v1/Pod',
    subResource: '',
    operation: 'CREATE',
    namespace: 'shop',
    dryRun: false,
    object: { metadata: { annotations, ownerReferences: [{ ...OWNER, controller: true }] }, spec },
    oldObject: null,
    ...change,
  };
}

const CONTAINERS = { containers: [{ name: 'app' }] };

test('reviewer: the controller is told what became of its pod, whatever kind it is', async () => {
  const { reviewer, told } = setUp();
  await reviewer.answer(review(CONTAINERS), 'labelledNamespaces');
  await reviewer.answer(review({ ...CONTAINERS, hostNetwork: true }), 'labelledNamespaces');
  await reviewer.answer(review(CONTAINERS, { 'mesh-inject': 'yes' }), 'labelledNamespaces');
  assert.deepEqual(
    told.map(({ namespace, owner, type, reason, message }) => [namespace, owner.kind, type, reason, message]),
    [
      ['shop', 'Job', 'Normal', 'Injected', "the mesh's proxy was given to app"],
      [
        'shop',
        'Job',
        'Normal',
        'InjectionSkipped',
        "pods are created without the mesh's proxy: the pod uses its host's network, where the mesh cannot tell it from the host",
      ],
      [
        'shop',
        'Job',
        'Warning',
        'InjectionSkipped',
        'pods are created without the mesh\'s proxy: annotation mesh-inject: invalid value "yes" (want enabled|disabled)',
      ],
    ],
  );
});

test('reviewer: nobody is told of dry runs, of pods that did not ask, of debug containers, and of what is no pod', async () => {
  const { reviewer, told } = setUp();
  await reviewer.answer(review(CONTAINERS, {}, { dryRun: true }), 'labelledNamespaces');
  await reviewer.answer(review(CONTAINERS), 'otherNamespaces');
  await reviewer.answer(review(CONTAINERS, {}, { operation: 'UPDATE' }), 'labelledNamespaces');
  await reviewer.answer(review(CONTAINERS, {}, { object: null }), 'labelledNamespaces');
  const own = { name: 'own', env: [{ name: 'http_proxy', value: '' }] };
  const debugging = { ...CONTAINERS, ephemeralContainers: [own, { name: 'debug' }] };
  const status = { 'nodemesh.dev/status': '{"version":1,"containers":[]}' };
  for (const joining of [debugging, { ...CONTAINERS, ephemeralContainers: [own] }]) {
    const change = { operation: 'UPDATE', subResource: 'ephemeralcontainers' };
    await reviewer.answer(review(joining, status, change), 'labelledNamespaces');
  }
  assert.deepEqual(told, []);
});

test('reviewer: a fault of ours rejects, is told to the controller, and leaves nothing under way', async () => {
  const { reviewer, told, metrics } = setUp(() => {
    throw new Error('no settings');
  });
  await assert.rejects(reviewer.answer(review(CONTAINERS), 'labelledNamespaces'), /no settings/);
  await assert.rejects(reviewer.answer(review(CONTAINERS, {}, { dryRun: true }), 'labelledNamespaces'));
  assert.deepEqual(
    told.map(({ type, reason }) => [type, reason]),
    [['Warning', 'InjectionFailed']],
  );
  assert.equal(metrics.inFlight.value, 0);
});

test('reviewer: one line says which review, whose pod, what was decided, why, and how long it took', async () => {
  const lines: string[] = [];
  const log = createLog('test', 'info', { write: (line) => void lines.push(line) });
  const { reviewer } = setUp(() => SETTINGS, log);
  const object = {
    metadata: { generateName: 'once-', ownerReferences: [{ ...OWNER, controller: true }] },
    spec: { ...CONTAINERS, hostNetwork: true },
  };
  await reviewer.answer({ ...review(CONTAINERS), object, dryRun: true }, 'labelledNamespaces');
  assert.equal(lines.length, 1);
  const { uid, namespace, pod, owner, dryRun, decision, reasons, ms } = JSON.parse(lines[0] ?? '');
  assert.deepEqual(
    { uid, namespace, pod, owner, dryRun, decision, reasons, ms },
    {
      uid: 'u',
      namespace: 'shop',
      pod: 'once-*****',
      owner: 'Job/once',
      dryRun: true,
      decision: 'skip',
      reasons: ['host_network'],
      ms: 0,
    },
  );
});

test('reviewer: whatever a request says of itself, its count has labels of ours alone', async () => {
  const { reviewer, registry } = setUp();
  for (const operation of ['CREATE', 'UPDATE', 'DELETE', 'CONNECT', '', 'x'.repeat(1_000), 'create']) {
    await reviewer.answer(review(CONTAINERS, {}, { operation }), 'labelledNamespaces');
  }
  const counted = [...registry.render().matchAll(/^requests_total\{operation="(.*)",result="(.*)"\} (\d+)$/gm)];
  assert.deepEqual(
    counted.map(([, operation, result, count]) => [operation, result, count]),
    [
      ['CREATE', 'injected', '1'],
      ['UPDATE', 'skipped', '1'],
      ['DELETE', 'skipped', '1'],
      ['CONNECT', 'skipped', '1'],
      ['unknown', 'skipped', '3'],
    ],
  );
});

test('webhook metrics: an error counts as refused or failed, and a fault of ours as a panic', () => {
  const { metrics, registry } = setUp();
  for (const status of [400, 413, 503, 500]) metrics.countError('CREATE', status);
  const text = registry.render();
  assert.match(text, /^requests_total\{operation="CREATE",result="refused"\} 2$/m);
  assert.match(text, /^requests_total\{operation="CREATE",result="failed"\} 2$/m);
  assert.match(text, /^panics_total 1$/m);
});

test('reviewer: a log line has its length, whatever the pod', async () => {
  const lines: string[] = [];
  const log = createLog('test', 'info', { write: (line) => void lines.push(line) });
  const { reviewer } = setUp(() => SETTINGS, log);
  const long = 'x'.repeat(1_000_000);
  const containers = Array.from({ length: 5_000 }, (_, i) => ({ name: `${i}${long.slice(0, 300)}`, env: 'none' }));
  const object = {
    metadata: { name: long, ownerReferences: [{ kind: long, controller: true }] },
    spec: { containers },
  };
  await reviewer.answer({ ...review(CONTAINERS), uid: long, namespace: long, object }, 'labelledNamespaces');
  assert.equal(lines.length, 1);
  assert.ok((lines[0] ?? '').length < 20_000);
});
