import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Agent, Agent as HttpsAgent, request } from 'node:https';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { createLog } from '../../lib/log.ts';
import type { AdmissionAnswer, AdmissionRequest } from '../../webhook/admission-review.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { type AdmissionServer, startAdmissionServer } from '../../webhook/server.ts';

const NAME = 'nodemesh-webhook.nodemesh.svc';
const REVIEW = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u-1', kind: { group: '', version: 'v1', kind: 'Pod' }, operation: 'CREATE', object: {} },
};

let set: CertificateSet;
let renewed: CertificateSet;
let server: AdmissionServer;
let answer: (review: AdmissionRequest) => Promise<AdmissionAnswer> = async () => ({ patch: [], warnings: [] });
const refused: number[] = [];
const operations: string[] = [];
const patches: number[] = [];

before(async () => {
  const authority = await createAuthority(Date.now());
  set = await createServingCertificate(authority, [NAME], Date.now());
  renewed = await createServingCertificate(authority, [NAME], Date.now());
  server = await startAdmissionServer({
    ip: '127.0.0.1',
    port: 0,
    answer: (review) => answer(review),
    onPatch: (bytes) => patches.push(bytes),
    onError: (status, operation) => {
      refused.push(status);
      operations.push(operation);
    },
    log: createLog('test', 'silent'),
  });
});
after(() => server.close());

interface Call {
  readonly method?: string;
  readonly path?: string;
  readonly type?: string | undefined;
  readonly body?: string;
  readonly agent?: Agent;
}
interface Result {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
}

function call({ method = 'POST', path = '/mutate', type = 'application/json', body, agent }: Call): Promise<Result> {
  return new Promise((resolve, reject) => {
    const { ip: host, port } = server.address;
    const headers = type === '' ? {} : { 'content-type': type };
    const outgoing = request(
      { host, port, method, path, headers, servername: NAME, ca: set['ca.crt'], agent: agent ?? false },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text }));
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function handshake(): Promise<TLSSocket> {
  const { ip: host, port } = server.address;
  const socket = connect({ host, port, servername: NAME, ca: set['ca.crt'] });
  await once(socket, 'secureConnect');
  return socket;
}

test('admission server: before it has a certificate no handshake succeeds, and it goes on listening', async () => {
  await assert.rejects(handshake());
  server.setCertificate({ cert: set['tls.crt'], key: set['tls.key'] });
  (await handshake()).destroy();
});

test('admission server: a review is answered, whatever the content type says behind its name', async () => {
  for (const type of ['application/json', 'application/json; charset=utf-8']) {
    const { status, headers, text } = await call({ type, body: JSON.stringify(REVIEW) });
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/json; charset=utf-8');
    assert.deepEqual(JSON.parse(text).response, { uid: 'u-1', allowed: true });
  }
});

test('admission server: the size of a patch is told, and of an answer without one nothing', async () => {
  const patch = [{ op: 'add', path: '/metadata/annotations', value: { a: 'ä' } }];
  const before = patches.length;
  await call({ body: JSON.stringify(REVIEW) });
  answer = async () => ({ patch, warnings: [] });
  await call({ body: JSON.stringify(REVIEW) });
  answer = async () => ({ patch: [], warnings: [] });
  assert.deepEqual(patches.slice(before), [Buffer.byteLength(JSON.stringify(patch))]);
});

const SECRET = 'hunter2';
const REFUSED: readonly [string, Call, number][] = [
  ['no body', {}, 400],
  ['no JSON', { body: `{"${SECRET}` }, 400],
  ['no review', { body: JSON.stringify({ password: SECRET }) }, 400],
  ['no uid', { body: JSON.stringify({ ...REVIEW, request: { name: SECRET } }) }, 400],
  ['a body cut short', { body: JSON.stringify(REVIEW).slice(0, 40) }, 400],
  ['YAML', { type: 'application/yaml', body: `password: ${SECRET}` }, 415],
  ['a text', { type: 'text/plain', body: SECRET }, 415],
  ['no content type', { type: '', body: JSON.stringify({ password: SECRET }) }, 415],
  ['GET', { method: 'GET' }, 405],
  ['PUT', { method: 'PUT', body: JSON.stringify(REVIEW) }, 405],
  ['DELETE', { method: 'DELETE' }, 405],
  ['another path', { path: `/${SECRET}`, body: JSON.stringify(REVIEW) }, 404],
  ['7 MiB and more', { body: JSON.stringify({ x: SECRET.repeat(1_050_000) }) }, 413],
];
for (const [name, bad, status] of REFUSED) {
  test(`admission server: ${name} gets ${status}, an error in JSON, and no echo`, async () => {
    const before = refused.length;
    const result = await call(bad);
    assert.equal(result.status, status);
    assert.equal(typeof JSON.parse(result.text).error, 'string');
    assert.ok(!result.text.includes(SECRET));
    assert.deepEqual(refused.slice(before), [status]);
    if (status === 405) assert.equal(result.headers.allow, 'POST');
  });
}

test('admission server: a fault of ours is HTTP 500 without its text', async () => {
  answer = async () => {
    throw new Error(SECRET);
  };
  const before = refused.length;
  const { status, text } = await call({ body: JSON.stringify(REVIEW) });
  assert.equal(status, 500);
  assert.deepEqual(refused.slice(before), [500]);
  assert.equal(operations.at(-1), 'CREATE');
  assert.ok(!text.includes(SECRET));
  answer = async () => ({ patch: [], warnings: [] });
});

test('admission server: legal keys that name object internals, and deep nesting, pass', async () => {
  const object = `{"metadata":{"annotations":{"__proto__":"x","constructor":{"prototype":1}}},"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
  const body = JSON.stringify(REVIEW).replace('"object":{}', `"object":${object}`);
  assert.equal((await call({ body })).status, 200);
});

test('admission server: a new certificate serves new connections, open ones go on', async (t) => {
  const agent = new HttpsAgent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const { headers } = await call({ body: JSON.stringify(REVIEW), agent });
  // An API server keeps an idle connection for 90 s, and would run into one that is closed before.
  assert.equal(headers['keep-alive'], 'timeout=120');
  const [kept] = Object.values(agent.freeSockets).flat() as TLSSocket[];
  server.setCertificate({ cert: renewed['tls.crt'], key: renewed['tls.key'] });
  await call({ body: JSON.stringify(REVIEW), agent });
  const [reused] = Object.values(agent.freeSockets).flat() as TLSSocket[];
  assert.equal(reused, kept);
  const fresh = await handshake();
  assert.notEqual(fresh.getPeerCertificate().serialNumber, kept?.getPeerCertificate().serialNumber);
  fresh.destroy();
});

test('admission server: a key that does not fit is refused and the old certificate stays', async () => {
  assert.throws(() => server.setCertificate({ cert: renewed['tls.crt'], key: set['tls.key'] }));
  assert.equal((await call({ body: JSON.stringify(REVIEW) })).status, 200);
});

test('admission server: bodies take so much memory and no more; callers that leave give theirs back', async () => {
  const large = (socket: TLSSocket) =>
    socket.write(
      `POST /mutate HTTP/1.1\r\nHost: ${NAME}\r\nContent-Type: application/json\r\nContent-Length: ${7 * 1024 * 1024}\r\n\r\n{`,
    );
  const callers: TLSSocket[] = [];
  const refusal = async (): Promise<string> => {
    const socket = await handshake();
    callers.push(socket);
    large(socket);
    return await new Promise((resolve) => socket.on('data', (data) => resolve(data.toString())));
  };
  // Whoever is taken in hears nothing until the body is whole; the fifth does not fit.
  const first = await Promise.race([0, 1, 2, 3, 4].map(refusal));
  assert.match(first, /^HTTP\/1\.1 503 /);
  assert.equal((await call({ body: JSON.stringify(REVIEW) })).status, 200);
  for (const caller of callers) caller.destroy();
  let status = 503;
  const body = JSON.stringify({ ...REVIEW, more: ' '.repeat(6 * 1024 * 1024) });
  while (status !== 200) status = (await call({ body })).status;
});

test('admission server: draining closes connections after their answer; closing finishes what is under way', async (t) => {
  // Callers that would keep their connections, as API servers do.
  const agent = new HttpsAgent({ keepAlive: true });
  t.after(() => agent.destroy());
  const begun = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  answer = async () => {
    begun.resolve();
    await finish.promise;
    return { patch: [], warnings: [] };
  };
  const pending = call({ body: JSON.stringify(REVIEW), agent });
  await begun.promise;
  assert.equal((await call({ method: 'GET', agent })).headers.connection, 'keep-alive');
  server.drain();
  assert.equal((await call({ method: 'GET', agent })).headers.connection, 'close');
  const closed = server.close();
  finish.resolve();
  const { status, headers } = await pending;
  assert.deepEqual([status, headers.connection], [200, 'close']);
  await closed;
  await assert.rejects(handshake(), { code: 'ECONNREFUSED' });
});
