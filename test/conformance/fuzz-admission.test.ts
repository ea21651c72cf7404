import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { applyPatch, type Operation } from 'rfc6902';
import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { NamespaceLabels } from '../../webhook/namespaces.ts';
import { Reviewer } from '../../webhook/reviewer.ts';
import { type AdmissionServer, startAdmissionServer } from '../../webhook/server.ts';
import { webhookMetrics } from '../../webhook/webhook-metrics.ts';
import { fuzzPlan } from '../support/differential.ts';
import { seededRandom } from '../support/mutations.ts';
import { mutateReview } from '../support/review-mutations.ts';

const NAME = 'nodemesh-webhook.nodemesh.svc';
const CONNECTIONS = 8;
/** A review takes as long as so many messages of the codec's fuzzing. */
const REVIEW_COST = 10;
/** What a heap of this process comes and goes by. */
const HEAP_NOISE_BYTES = 8 * 1024 * 1024;

const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
let set: CertificateSet;
let server: AdmissionServer;

before(async () => {
  set = await createServingCertificate(await createAuthority(Date.now()), [NAME], Date.now());
  const log = createLog('test', 'silent');
  const api: KubernetesApi = {
    server: '',
    request: async () => {
      throw new KubernetesError(404, 'NotFound', 'no such namespace');
    },
    list: () => assert.fail('nothing is watched'),
    stream: () => assert.fail('nothing is watched'),
  };
  const reviewer = new Reviewer({
    ownNamespace: 'nodemesh',
    namespaces: new NamespaceLabels(api, log, (name) => ({ name, enabled: name === 'shop' })),
    settings: () => ({
      proxyAddress: { by: 'nodeName' },
      proxyPort: 4140,
      clusterDomain: 'cluster.local',
      namespaceInProxyUrl: true,
      envFrom: 'inject',
    }),
    metrics: webhookMetrics(new MetricsRegistry()),
    events: { record: () => {} },
    elapsed: () => performance.now(),
    log,
  });
  server = await startAdmissionServer({
    ip: '127.0.0.1',
    port: 0,
    answer: (review, entry) => reviewer.answer(review, entry),
    onPatch: () => {},
    onError: () => {},
    log,
  });
  server.setCertificate({ cert: set['tls.crt'], key: set['tls.key'] });
});
after(async () => {
  agent.destroy();
  await server.close();
});

function post(path: string, body: string): Promise<{ status: number; text: string }> {
  const { ip: host, port } = server.address;
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const options = { host, port, method: 'POST', path, headers, servername: NAME, ca: set['ca.crt'], agent };
    const outgoing = request(options, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** What is wrong about the answer to a body; undefined where nothing is. */
function fault(body: string, status: number, text: string): string | undefined {
  if (status === 400) return typeof JSON.parse(text).error === 'string' ? undefined : 'an error without its text';
  if (status !== 200) return `HTTP ${status}: ${text}`;
  const { request: asked, apiVersion } = JSON.parse(body);
  const { kind, apiVersion: answered, response } = JSON.parse(text);
  if (kind !== 'AdmissionReview' || answered !== apiVersion || response.uid !== asked.uid) return 'it is not echoed';
  if (response.allowed !== true) return 'it is not allowed';
  const warnings: string[] = response.warnings ?? [];
  if (warnings.join('').length > 4096 || warnings.some((one) => one.length > 256)) return 'warnings too long';
  if ((response.patch === undefined) !== (response.patchType === undefined)) return 'patch and patchType part';
  if (response.patch === undefined) return undefined;
  const patch: Operation[] = JSON.parse(Buffer.from(response.patch, 'base64').toString());
  if (!patch.every(({ op, path }) => op === 'add' && /^\/(metadata|spec\/\w+\/\d+\/env)/.test(path)))
    return 'its paths';
  const failures = applyPatch(JSON.parse(body).request.object, patch).filter((failure) => failure !== null);
  return failures.length === 0 ? undefined : `its patch does not apply: ${failures.join()}`;
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
  return process.memoryUsage().heapUsed;
}

test('any JSON gets an answer: allowed, echoed, with a patch that applies, or 400; and none leaves anything behind', async (t) => {
  const plan = fuzzPlan(30_000);
  const seed = plan.seed;
  const count = Math.ceil(plan.count / REVIEW_COST);
  t.diagnostic(`NODEMESH_FUZZ_SEED=${seed} NODEMESH_FUZZ_COUNT=${plan.count}`);
  let next = 0;
  let answered = 0;
  const until = async (end: number) => {
    const caller = async () => {
      while (next < end) {
        const one = seed + next;
        next += 1;
        const random = seededRandom(one);
        const body = mutateReview(random);
        const { status, text } = await post(random() < 0.7 ? '/mutate' : '/mutate/pods', body);
        const wrong = fault(body, status, text);
        assert.equal(wrong, undefined, `${wrong}\nagain: NODEMESH_FUZZ_SEED=${one} NODEMESH_FUZZ_COUNT=1\n${body}`);
        if (status === 200) answered += 1;
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, caller));
  };
  await until(Math.ceil(count / 3));
  const before = heapBytes();
  await until(count);
  const grown = heapBytes() - before;
  assert.ok(grown < HEAP_NOISE_BYTES, `the heap has grown by ${grown} bytes`);
  assert.ok(count < 100 || answered > count / 3, `only ${answered} of ${count} were reviews`);
});

test('what is deep, long or huge gets an answer', async () => {
  const review = (object: string) =>
    `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u",` +
    `"kind":{"group":"","version":"v1","kind":"Pod"},"operation":"CREATE","namespace":"shop","object":${object}}}`;
  const deep = (depth: number) => `${'[{"env":'.repeat(depth)}0${'}]'.repeat(depth)}`;
  const long = 'x'.repeat(1_000_000);
  const many = JSON.stringify(Array.from({ length: 5_000 }, (_, i) => ({ name: `c-${i}` })));
  for (const object of [
    `{"spec":{"containers":${deep(10_000)}}}`,
    `{"spec":{"containers":[{"name":"a","env":${deep(300_000)}}]}}`,
    `{"metadata":{"annotations":{"mesh-inject":"${long}","__proto__":"x"}},"spec":{"containers":[{"name":"${long}"}]}}`,
    `{"spec":{"containers":${many}}}`,
  ]) {
    const body = review(object);
    const { status, text } = await post('/mutate', body);
    assert.equal(fault(body, status, text), undefined);
    assert.equal(status, 200);
  }
});
