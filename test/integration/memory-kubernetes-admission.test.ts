import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { before, type TestContext, test } from 'node:test';
import type { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { type Json, PODS, podManifest as pod, startMemoryKubernetes as start } from '../support/memory-kubernetes.ts';

let certificates: CertificateSet;
before(async () => {
  certificates = await createServingCertificate(await createAuthority(Date.now()), ['hook.default.svc'], Date.now());
});

interface Hook {
  readonly reviews: Json[];
  /** What the webhook answers to a review's request. */
  respond: (request: Json) => unknown;
  server: Server;
}

/** A mutating webhook behind a Service, and a configuration for it with the given entry. */
async function startHook(t: TestContext, kubernetes: MemoryKubernetes, entry: object = {}): Promise<Hook> {
  const allow = ({ uid }: Json) => ({ uid, allowed: true });
  const server = createServer(
    { cert: certificates['tls.crt'], key: certificates['tls.key'] },
    async (request, response) => {
      const review = JSON.parse((await request.toArray()).join(''));
      hook.reviews.push({ ...review, url: request.url, host: request.headers.host });
      const answer = hook.respond(review.request);
      if (answer === undefined) response.writeHead(500).end('broken');
      else
        response.end(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }));
    },
  );
  const hook: Hook = { reviews: [], respond: allow, server };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const metadata = { name: 'hook' };
  await kubernetes.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: { ports: [{ name: 'https', port: 443, targetPort: 'https' }] },
  });
  const subsets = [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'https', port }] }];
  await kubernetes.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
  await configure(kubernetes, entry);
  return hook;
}

async function configure(
  kubernetes: MemoryKubernetes,
  entry: object,
  caBundle: string | undefined = Buffer.from(certificates['ca.crt']).toString('base64'),
) {
  const webhook = {
    name: 'inject.hook.test',
    clientConfig: { service: { name: 'hook', namespace: 'default', path: '/mutate' }, caBundle },
    rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    failurePolicy: 'Fail',
    timeoutSeconds: 5,
    ...entry,
  };
  const kind = 'MutatingWebhookConfiguration';
  await kubernetes.apply({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: { name: 'm' },
    webhooks: [webhook],
  });
}

const patchOf = (...operations: object[]) => ({
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

test('admission: a webhook sees the pod as an API server shows it, and its patch is applied', async (t) => {
  const { ask, kubernetes } = await start(t);
  const hook = await startHook(t, kubernetes);
  hook.respond = ({ uid }) => ({
    uid,
    allowed: true,
    ...patchOf({ op: 'add', path: '/metadata/labels', value: { seen: 'yes' } }),
  });
  const created = await ask('POST', PODS, { metadata: { generateName: 'p-' }, spec: { containers: [] } });
  assert.deepEqual(created.metadata.labels, { seen: 'yes' });
  assert.match(created.metadata.name, /^p-[a-z0-9]{5}$/);
  const [{ url, host, apiVersion, request }] = hook.reviews;
  assert.equal(url, '/mutate?timeout=5s');
  assert.equal(host, 'hook.default.svc:443');
  assert.equal(apiVersion, 'admission.k8s.io/v1');
  assert.deepEqual(
    [request.operation, request.namespace, request.kind, request.resource, request.dryRun, request.oldObject],
    [
      'CREATE',
      'default',
      { group: '', version: 'v1', kind: 'Pod' },
      { group: '', version: 'v1', resource: 'pods' },
      false,
      null,
    ],
  );
  // As with a real server, a pod of a controller has neither name nor namespace yet.
  assert.deepEqual(request.object.metadata, { generateName: 'p-' });
  assert.deepEqual(await ask('GET', `${PODS}/${created.metadata.name}`), created);
});

test('admission: selectors and rules choose what a webhook sees', async (t) => {
  const { ask, kubernetes } = await start(t);
  const matchExpressions = [
    { key: 'mesh', operator: 'In', values: ['on', 'auto'] },
    { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system'] },
    { key: 'tier', operator: 'Exists' },
    { key: 'off', operator: 'DoesNotExist' },
  ];
  const objectSelector = { matchLabels: { app: 'x' } };
  const hook = await startHook(t, kubernetes, { namespaceSelector: { matchExpressions }, objectSelector });
  const namespaces: Readonly<Record<string, Readonly<Record<string, string>>>> = {
    chosen: { mesh: 'on', tier: '' },
    other: { mesh: 'no', tier: '' },
    untiered: { mesh: 'on' },
    off: { mesh: 'on', tier: '', off: '' },
  };
  for (const [name, labels] of Object.entries(namespaces)) {
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
    const labelled = { metadata: { name: `in-${name}`, labels: { app: 'x' } }, spec: {} };
    await ask('POST', `/api/v1/namespaces/${name}/pods`, labelled);
  }
  await ask('POST', '/api/v1/namespaces/chosen/pods', pod('unlabelled'));
  await ask('POST', '/api/v1/namespaces/chosen/configmaps', { metadata: { name: 'no-pod', labels: { app: 'x' } } });
  await ask('PATCH', '/api/v1/namespaces/chosen/pods/in-chosen', { spec: { a: 1 } }, 'application/merge-patch+json');
  assert.deepEqual(
    hook.reviews.map(({ request }) => request.name),
    ['in-chosen'],
  );
});

test('admission: a refusal is told with its message, and nothing is created', async (t) => {
  const { ask, refusal, kubernetes } = await start(t);
  const hook = await startHook(t, kubernetes);
  hook.respond = ({ uid }) => ({ uid, allowed: false, status: { message: 'not today' } });
  await assert.rejects(
    ask('POST', PODS, pod('p')),
    /admission webhook "inject\.hook\.test" denied the request: not today/,
  );
  assert.deepEqual(await refusal('GET', `${PODS}/p`), [404, 'NotFound']);
});

test('admission: a dry run asks and stores nothing', async (t) => {
  const { ask, refusal, kubernetes } = await start(t);
  const hook = await startHook(t, kubernetes);
  await ask('POST', `${PODS}?dryRun=All`, pod('p'));
  assert.equal(hook.reviews[0].request.dryRun, true);
  assert.deepEqual(await refusal('GET', `${PODS}/p`), [404, 'NotFound']);
});

const FAILED_CALLS: readonly (readonly [
  what: string,
  expected: RegExp,
  fail: (kubernetes: MemoryKubernetes, hook: Hook) => Promise<void> | void,
])[] = [
  [
    'answers 500',
    /failed calling webhook .* status 500: broken/,
    (_, hook) => {
      hook.respond = () => undefined;
    },
  ],
  [
    'answers for another request',
    /expected response\.uid/,
    (_, hook) => {
      hook.respond = () => ({ uid: 'x', allowed: true });
    },
  ],
  [
    'answers no response',
    /not an admission\.k8s\.io\/v1 AdmissionReview/,
    (_, hook) => {
      hook.respond = () => 7;
    },
  ],
  [
    'does not listen',
    /ECONNREFUSED/,
    async (_, { server }) => void (await new Promise((resolve) => server.close(resolve))),
  ],
  [
    'has no endpoints',
    /no endpoints available for service "hook"/,
    (k) => k.remove('/api/v1/namespaces/default/endpoints/hook'),
  ],
  ['has no Service', /service "hook" not found/, (k) => k.remove('/api/v1/namespaces/default/services/hook')],
];

for (const [what, expected, fail] of FAILED_CALLS) {
  test(`admission: failurePolicy decides when a webhook ${what}`, async (t) => {
    const { ask, kubernetes } = await start(t);
    const hook = await startHook(t, kubernetes);
    await fail(kubernetes, hook);
    await assert.rejects(ask('POST', PODS, pod('p')), expected);
    await configure(kubernetes, { failurePolicy: 'Ignore' });
    assert.equal((await ask('POST', PODS, pod('p'))).metadata.name, 'p');
  });
}

test('admission: a webhook whose CA is not in the caBundle is not believed', async (t) => {
  const { ask, kubernetes } = await start(t);
  const hook = await startHook(t, kubernetes);
  const other = await createAuthority(Date.now());
  for (const caBundle of [Buffer.from(other['ca.crt']).toString('base64'), '']) {
    await configure(kubernetes, {}, caBundle);
    await assert.rejects(ask('POST', PODS, pod('p')), /failed calling webhook .*certificate/);
  }
  assert.deepEqual(hook.reviews, []);
});

test('admission: a patch that does not apply fails the request under either policy', async (t) => {
  const { ask, kubernetes } = await start(t);
  const hook = await startHook(t, kubernetes, { failurePolicy: 'Ignore' });
  hook.respond = ({ uid }) => ({
    uid,
    allowed: true,
    ...patchOf({ op: 'replace', path: '/metadata/labels/none', value: '' }),
  });
  await assert.rejects(ask('POST', PODS, pod('p')), /its patch does not apply/);
});
