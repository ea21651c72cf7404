import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { HttpKubernetesApi, loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { inClusterAccess } from '../../lib/kubernetes/credentials.ts';
import { KubernetesError } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { plainApi } from '../support/reflector.ts';

const log = createLog('test', 'silent');

async function serve(t: TestContext, server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function apiOf(t: TestContext, listener: RequestListener) {
  return plainApi(`http://${await serve(t, createServer(listener))}`);
}

async function directory(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-client-'));
  t.after(() => rm(dir, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
  return dir;
}

async function failure(promise: Promise<unknown>): Promise<KubernetesError> {
  const error = await promise.then(
    () => assert.fail('it did not fail'),
    (e: unknown) => e,
  );
  assert.ok(error instanceof KubernetesError, String(error));
  return error;
}

const get = (path: string) => ({ method: 'GET', path }) as const;

test('client: a body goes as JSON, of the patch type given, and the answer is parsed', async (t) => {
  const seen: string[] = [];
  const api = await apiOf(t, async (request, response) => {
    const { method, url, headers } = request;
    seen.push(`${method} ${url} ${headers['content-type']} ${await request.toArray()}`);
    response.end('{"kind":"Pod"}');
  });
  assert.deepEqual(await api.request({ method: 'POST', path: '/api/v1/x?a=b', body: { a: 'ü' } }), { kind: 'Pod' });
  await api.request({ method: 'PATCH', path: '/p', body: [], contentType: 'application/json-patch+json' });
  assert.deepEqual(seen, ['POST /api/v1/x?a=b application/json {"a":"ü"}', 'PATCH /p application/json-patch+json []']);
});

test('client: requests share one connection', async (t) => {
  const ports = new Set<number | undefined>();
  const api = await apiOf(t, (request, response) => {
    ports.add(request.socket.remotePort);
    response.end('{}');
  });
  for (let i = 0; i < 3; i += 1) await api.request(get('/'));
  assert.equal(ports.size, 1);
});

test('client: a connection that the server closed meanwhile does not fail a GET', async (t) => {
  let requests = 0;
  const api = await apiOf(t, (request, response) => {
    requests += 1;
    // The second request on a connection meets its end.
    if (requests === 2) request.socket.resetAndDestroy();
    else response.end('{}');
  });
  await api.request(get('/'));
  await api.request(get('/'));
  assert.equal(requests, 3);
});

test('client: a Status says what was refused, and the message names server, method and path', async (t) => {
  const status = { kind: 'Status', reason: 'NotFound', message: 'pods "x" not found' };
  const api = await apiOf(t, (_, response) => response.writeHead(404).end(JSON.stringify(status)));
  const error = await failure(api.request(get('/api/v1/pods/x')));
  assert.deepEqual([error.status, error.reason], [404, 'NotFound']);
  assert.equal(error.message, `GET ${api.server}/api/v1/pods/x: 404 NotFound (pods "x" not found)`);
});

test('client: an error page of something between is quoted in part', async (t) => {
  const api = await apiOf(t, (_, response) => response.writeHead(502).end(`<html>${'x'.repeat(100_000)}`));
  const error = await failure(api.request(get('/')));
  assert.equal(error.status, 502);
  assert.ok(error.message.includes('502 (<html>xxx') && error.message.length < 400, error.message);
});

test('client: an answer that is no JSON is a failure', async (t) => {
  const api = await apiOf(t, (_, response) => response.end('<html>log in</html>'));
  const error = await failure(api.request(get('/')));
  assert.match(error.message, /not JSON but "<html>log in<\/html>"; is this an API server\?/);
});

test('client: an answer that breaks off is a failure', async (t) => {
  const api = await apiOf(t, (_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('{"half":', () => response.destroy());
  });
  assert.equal((await failure(api.request(get('/')))).status, 0);
});

test('client: nobody listens', async () => {
  const error = await failure(plainApi('http://127.0.0.1:1').request(get('/version')));
  assert.equal(error.status, 0);
  assert.match(error.message, /^GET http:\/\/127\.0\.0\.1:1\/version: .*ECONNREFUSED/);
});

test('client: no answer in time, whether its head or its body is late', async (t) => {
  const api = await apiOf(t, (request, response) => {
    if (request.url === '/body') response.writeHead(200).write('{');
  });
  for (const path of ['/head', '/body']) {
    const error = await failure(api.request({ ...get(path), timeoutMs: 50 }));
    assert.deepEqual([error.status, error.reason], [0, 'Timeout']);
    assert.match(error.message, /no answer within 50 ms/);
  }
});

test('client: a caller that gives up', async (t) => {
  const abort = new AbortController();
  const api = await apiOf(t, () => abort.abort());
  assert.equal((await failure(api.request({ ...get('/'), signal: abort.signal }))).reason, 'Aborted');
  assert.equal((await failure(api.stream('/', abort.signal))).reason, 'Aborted');
});

test('client: a stream is read line by line until it is closed', async (t) => {
  const api = await apiOf(t, (_, response) => response.write('{"a":1}\n{"b":2}\n{"c"'));
  const stream = await api.stream('/watch', new AbortController().signal);
  const lines: string[] = [];
  for await (const line of stream.lines) {
    lines.push(line);
    if (lines.length === 2) stream.close();
  }
  assert.deepEqual(lines, ['{"a":1}', '{"b":2}']);
});

test('client: a stream that is not read holds its server back', async (t) => {
  const megabyte = `${'x'.repeat(1024 * 1024 - 1)}\n`;
  let written = 0;
  const api = await apiOf(t, async (request, response) => {
    if (request.url === '/other') return void response.end('{}');
    for (; written < 256 && !response.destroyed; written += 1) {
      if (!response.write(megabyte)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
  });
  const stream = await api.stream('/watch', new AbortController().signal);
  const iterator = stream.lines[Symbol.asyncIterator]();
  await iterator.next();
  // Other requests go through meanwhile, and the server has not got rid of its 256 MB.
  for (let i = 0; i < 20; i += 1) await api.request(get('/other'));
  assert.ok(written < 64, `${written} MB were taken`);
  stream.close();
});

test('client: a stream that is refused gives the answer', async (t) => {
  const api = await apiOf(t, (_, response) => response.writeHead(410).end('too old'));
  const stream = await api.stream('/watch', new AbortController().signal);
  assert.deepEqual([stream.status, stream.errorBody], [410, 'too old']);
  for await (const line of stream.lines) assert.fail(line);
});

test('client: a pod logs in with its service account, and reads the token anew once it is refused', async (t) => {
  const authority = await createAuthority(Date.now());
  const set = await createServingCertificate(authority, ['localhost'], Date.now());
  const dir = await directory(t, { token: 'old\n', 'ca.crt': set['ca.crt'] });
  const seen: string[] = [];
  const server = createHttpsServer({ cert: set['tls.crt'], key: set['tls.key'] }, (request, response) => {
    seen.push(request.headers.authorization ?? '');
    response.writeHead(request.headers.authorization === 'Bearer new' ? 200 : 401).end('{}');
  });
  const port = (await serve(t, server)).split(':')[1];
  let now = 0;
  const api = new HttpKubernetesApi(inClusterAccess(new URL(`https://localhost:${port}`), dir, () => now));
  assert.equal((await failure(api.request(get('/')))).status, 401);
  await writeFile(join(dir, 'token'), 'new\n');
  await api.request(get('/'));
  assert.deepEqual(seen, ['Bearer old', 'Bearer old', 'Bearer old', 'Bearer new']);
  await writeFile(join(dir, 'token'), 'newer\n');
  now = 59_999;
  await api.request(get('/'));
  now = 60_000;
  await failure(api.request(get('/')));
  assert.deepEqual(seen.slice(4), ['Bearer new', 'Bearer newer', 'Bearer newer']);
});

test('client: a server of another CA is not believed', async (t) => {
  const [mine, theirs] = await Promise.all([createAuthority(Date.now()), createAuthority(Date.now())]);
  const set = await createServingCertificate(theirs, ['localhost'], Date.now());
  const dir = await directory(t, { token: 'secret', 'ca.crt': mine['ca.crt'] });
  const server = createHttpsServer({ cert: set['tls.crt'], key: set['tls.key'] }, () => assert.fail('it was asked'));
  const port = (await serve(t, server)).split(':')[1];
  const api = new HttpKubernetesApi(inClusterAccess(new URL(`https://localhost:${port}`), dir, () => 0));
  assert.match((await failure(api.request(get('/')))).message, /certificate/);
});

const kubeconfig = (server: string, user = '{}', context = 'c') => `
current-context: ${context}
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: '${server}'}}]
users: [{name: u, user: ${user}}]
`;

test('client: a kubeconfig with a token, a login command, a path in its server', async (t) => {
  const seen: string[] = [];
  const address = await serve(
    t,
    createServer((request, response) => {
      seen.push(`${request.url} ${request.headers.authorization}`);
      response.end('{}');
    }),
  );
  const command = `{apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['{"status":{"token":"made"}}']}`;
  const dir = await directory(t, {
    token: kubeconfig(`http://${address}/k8s/cluster-1/`, '{token: secret}'),
    command: kubeconfig(`http://${address}`, `{exec: ${command}}`),
  });
  for (const file of ['token', 'command']) {
    const api = loadKubernetesApi({ env: { KUBECONFIG: join(dir, file) }, log });
    await api.request(get('/version'));
  }
  assert.deepEqual(seen, ['/k8s/cluster-1/version Bearer secret', '/version Bearer made']);
});

test('client: a kubeconfig with a CA, a client certificate and another server name', async (t) => {
  const authority = await createAuthority(Date.now());
  const set = await createServingCertificate(authority, ['api.test'], Date.now());
  const client = await createServingCertificate(authority, ['me'], Date.now());
  let peer: unknown;
  const tls = { cert: set['tls.crt'], key: set['tls.key'], requestCert: true, rejectUnauthorized: false };
  const server = createHttpsServer(tls, (request, response) => {
    peer = (request.socket as TLSSocket).getPeerCertificate().subjectaltname;
    response.end('{}');
  });
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const dir = await directory(t, {
    'ca.pem': set['ca.crt'],
    config: `
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: 'https://${await serve(t, server)}', tls-server-name: api.test, certificate-authority: ca.pem}}]
users: [{name: u, user: {client-certificate-data: ${base64(client['tls.crt'])}, client-key-data: ${base64(client['tls.key'])}}}]
`,
  });
  await loadKubernetesApi({ env: { HOME: '/nonexistent', KUBECONFIG: join(dir, 'config') }, log }).request(get('/'));
  assert.equal(peer, 'DNS:me');
});

test('client: of several kubeconfigs the first that names a thing counts', async (t) => {
  const dir = await directory(t, {
    one: `clusters: [{name: k, cluster: {server: 'http://one:1'}}]`,
    two: kubeconfig('http://two:2'),
  });
  const env = { KUBECONFIG: [join(dir, 'missing'), join(dir, 'one'), join(dir, 'two')].join(':') };
  assert.equal(loadKubernetesApi({ env, log }).server, 'http://one:1');
});

test('client: ~/.kube/config', async (t) => {
  const home = await directory(t, {});
  await mkdir(join(home, '.kube'));
  await writeFile(join(home, '.kube', 'config'), kubeconfig('https://[fd00::1]:6443'));
  assert.equal(loadKubernetesApi({ env: { HOME: home }, log }).server, 'https://[fd00::1]:6443');
});

const BAD_KUBECONFIGS: readonly (readonly [what: string, text: string, expected: RegExp])[] = [
  ['no YAML', 'a: b: c', /kubeconfig \S+bad: /],
  ['empty', '', /no current-context/],
  ['a context that does not exist', kubeconfig('https://x', '{}', 'other'), /current-context "other" does not exist/],
  ['no cluster', 'current-context: c\ncontexts: [{name: c, context: {cluster: k}}]', /there is no cluster "k"/],
  ['no URL', kubeconfig('somewhere'), /cluster "k": server "somewhere" is no URL/],
];

for (const [what, text, expected] of BAD_KUBECONFIGS) {
  test(`client: a kubeconfig with ${what} is named`, async (t) => {
    const dir = await directory(t, { bad: text });
    assert.throws(() => loadKubernetesApi({ env: { KUBECONFIG: join(dir, 'bad') }, log }), expected);
  });
}

test('client: what is missing is named', () => {
  assert.throws(
    () => loadKubernetesApi({ env: { KUBECONFIG: '/nonexistent/config' }, log }),
    /\/nonexistent\/config: no such file/,
  );
  assert.throws(
    () => loadKubernetesApi({ env: { HOME: '/nonexistent' }, log }),
    /KUBECONFIG is not set, there is no \/nonexistent\/\.kube\/config, and KUBERNETES_SERVICE_HOST is not set/,
  );
});
