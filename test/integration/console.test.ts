import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AdminAccess } from '../../lib/admin-access.ts';
import { type AdminServer, startAdminServer } from '../../lib/admin-server.ts';
import { MeshConsole } from '../../lib/console/mesh-console.ts';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { tokenReviewer } from '../../lib/kubernetes/token-review.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import type { MeshView } from '../../lib/stats/mesh-view.ts';
import { readManifest } from '../../scripts/playground/manifests.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';

const ACCESS = fileURLToPath(new URL('../../manifests/base/access.yaml', import.meta.url));
const NODES = { 'node-1': '127.71.1.1', 'node-2': '127.71.2.1' };
const CONSOLE_IP = '127.71.0.2'; // no 127.0.0.1, where everything is open
const log = createLog('test', 'silent');
const now = () => performance.now();

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

describe('the console of a mesh of two daemons, and of four addresses that answer badly', () => {
  let mesh: TestMesh;
  let server: AdminServer;
  let meshConsole: MeshConsole;
  let caller: TestPod;
  let token = '';
  let sent = 0;
  let failures = 0;
  const fakes: Server[] = [];
  const seen: { path: string; headers: IncomingHttpHeaders; closed: Promise<unknown> }[] = [];
  const warned: (string | undefined)[] = [];
  const warn = ({ stack }: Error) => warned.push(stack);

  before(async () => {
    process.on('warning', warn);
    mesh = await TestMesh.start(NODES, true, { before: applyAccess });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.71.1.10', node: 'node-1' });
    let asked = 0;
    const worlds = await Promise.all(
      (
        [
          ['world-1', '127.71.1.11', 'node-1'],
          ['world-2', '127.71.2.11', 'node-2'],
        ] as const
      ).map(([name, ip, node]) =>
        mesh.pod({ namespace: 'shop', name, ip, node }, (_request, response) => {
          asked += 1;
          if (asked % 4 === 0) failures += 1;
          response.writeHead(asked % 4 === 0 ? 500 : 200).end(ip);
        }),
      ),
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', worlds);
    for (const [node, daemon] of mesh.daemons) await publish(node, daemon.admin.ip, daemon.admin.port);
    await fake('hangs', '127.71.9.1', () => {});
    await fake('garbage', '127.71.9.2', (_request, response) => response.end('<html>not a daemon</html>'));
    await fake('huge', '127.71.9.3', (_request, response) => {
      const more = (error?: Error | null): void => {
        if (error == null && !response.destroyed) response.write('['.repeat(1 << 20), (why) => setImmediate(more, why));
      };
      more();
    });
    await fake('other-shape', '127.71.9.4', (_request, response) => response.end('{"node": 1}'));
    await fake('records', '127.71.9.5', recording);
    const api = loadApi();
    meshConsole = new MeshConsole({
      api,
      namespace: 'nodemesh',
      labelledNamespaces: () => 1,
      now,
      wallClock: Date.now,
    });
    server = await startAdminServer({
      ip: CONSOLE_IP,
      port: 0,
      readiness: new Readiness(),
      metrics: { render: () => '' },
      access: new AdminAccess({
        modes: { metrics: 'open', diagnostics: 'token', tap: 'token' },
        ip: CONSOLE_IP,
        review: tokenReviewer(async () => api, now),
        metrics: new MetricsRegistry(),
      }),
      routes: meshConsole.routes,
      log,
    });
    const path = '/api/v1/namespaces/nodemesh/serviceaccounts/nodemesh-viewer/token';
    const issued = (await api.request({ method: 'POST', path, body: { spec: {} } })) as { status: { token: string } };
    token = issued.status.token;
  });

  after(async () => {
    process.off('warning', warn);
    await server.close();
    meshConsole.close();
    for (const one of fakes) {
      one.closeAllConnections();
      one.close();
    }
    await mesh.stop();
  });

  test('counts are those of the load, and daemons that answer badly are shown with why', async () => {
    await until(
      () => askWorld(),
      (status) => status === 200,
    );
    for (let i = 0; i < 40; i += 1) await askWorld();
    const counted = (view: MeshView) => Math.round(((view.services[0]?.rps ?? 0) * view.windowMs) / 1_000);
    const view = await until(
      async () => JSON.parse((await ask('/api/mesh?window=60')).text) as MeshView,
      (one) => counted(one) === sent && one.services[0]?.pods === 2,
    );
    const [service] = view.services;
    assert.deepEqual([service?.namespace, service?.name, service?.pods], ['shop', 'world', 2]);
    assert.ok(failures > 5);
    assert.equal(service?.successRate, (sent - failures) / sent);
    assert.deepEqual(
      view.edges.map(({ source, target }) => [source, target]),
      [
        [
          { kind: 'workload', namespace: 'shop', name: 'hello' },
          { namespace: 'shop', name: 'world' },
        ],
      ],
    );
    const errors = new Map(view.nodes.map(({ name, error }) => [name, error]));
    assert.equal(errors.get('node-1'), null);
    assert.equal(errors.get('node-2'), null);
    assert.match(errors.get('hangs') ?? '', /^127\.71\.9\.1:\d+: no whole answer within 2 s/);
    assert.match(errors.get('garbage') ?? '', /no daemon of this version.*<html>/);
    assert.match(errors.get('huge') ?? '', /longer than 8 MiB/);
    assert.match(errors.get('other-shape') ?? '', /node: /);
    assert.match(view.hints.join(), /4 of 7 daemons do not answer/);
  });

  test("each daemon's own console shows its node alone", async () => {
    const { ip, port } = mesh.daemon('node-2').admin;
    const view = JSON.parse((await ask('/api/mesh', { at: { ip, port } })).text) as MeshView;
    assert.deepEqual(view.scope, { kind: 'node', node: 'node-2' });
    assert.deepEqual(
      view.pods.map(({ name }) => name),
      ['world-2'],
    );
  });

  test('without a token nothing but the page is served, and the answer says what to do', async () => {
    for (const path of [
      '/api/mesh',
      '/api/stream',
      '/api/tap',
      '/api/resolve',
      '/nodes/node-1/stats',
      '/nodes/node-1/tap',
    ]) {
      const { status, text } = await ask(path, { headers: {} });
      assert.equal(status, 401, path);
      assert.match(text, /kubectl -n nodemesh create token nodemesh-viewer/);
    }
    const clerk = await tokenOf('clerk');
    assert.equal((await ask('/api/mesh', { headers: { authorization: `Bearer ${clerk}` } })).status, 403);
    assert.equal((await ask('/', { headers: {} })).status, 200);
  });

  test('every answer has a policy; the page may ask its own server alone', async () => {
    for (const path of [
      '/',
      '/assets/console.js',
      '/api/mesh',
      '/api/mesh?window=x',
      '/nodes/node-1/stats',
      '/nodes/x/stats',
      '/nothing',
    ]) {
      const { headers } = await ask(path);
      const policy = String(headers['content-security-policy']);
      assert.match(policy, /^default-src 'none';.*frame-ancestors 'none'$/, path);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers['referrer-policy'], 'no-referrer', path);
      assert.doesNotMatch(policy, /unsafe|\*/, path);
    }
  });

  test('the page is sent compressed where that is taken, and not again where it is known', async () => {
    const plain = await ask('/assets/console.js');
    const small = await ask('/assets/console.js', { headers: { 'accept-encoding': 'gzip, br;q=0' } });
    assert.equal(small.headers['content-encoding'], 'gzip');
    assert.ok(Number(small.headers['content-length']) < Number(plain.headers['content-length']) / 2);
    const again = await ask('/assets/console.js', { headers: { 'if-none-match': String(small.headers.etag) } });
    assert.equal(again.status, 304);
    assert.equal((await ask('/assets/..%2fpackage.json')).status, 404);
  });

  test('a GET passes through to a daemon with a token of its own, and with nothing of the viewer', async () => {
    const stats = JSON.parse((await ask('/nodes/node-1/stats')).text);
    assert.equal(stats.node, 'node-1');
    seen.length = 0;
    const answer = await ask('/nodes/records/config?a=b%26c', {
      headers: { authorization: `Bearer ${token}`, cookie: 'session=1', 'x-forwarded-for': '1.2.3.4' },
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(answer.headers['x-inner'], undefined);
    const [passed] = seen;
    assert.equal(passed?.path, '/config?a=b%26c');
    assert.deepEqual(Object.keys(passed?.headers ?? {}).sort(), [
      'accept',
      'connection',
      'host',
      'nodemesh-authorization',
    ]);
    assert.notEqual(passed?.headers['nodemesh-authorization'], `Bearer ${token}`);
  });

  test('Node warned of nothing deprecated while it passed', async () => {
    await new Promise(setImmediate);
    assert.deepEqual(warned, []);
  });

  test('only GETs of known paths of known nodes pass', async () => {
    seen.length = 0;
    for (const path of ['metrics', 'livez', '%73tats', 'stats/..', 'stats/x', '', 'toString', '//stats']) {
      assert.equal((await ask(`/nodes/records/${path}`)).status, 404, path);
    }
    const unknown = await ask('/nodes/nobody/stats');
    assert.equal(unknown.status, 404);
    assert.match(JSON.parse(unknown.text).todo, /node-1/);
    assert.equal((await ask('/nodes/records/config', { method: 'POST' })).status, 405);
    const smuggled = await ask('/nodes/records/config', { body: 'GET /metrics HTTP/1.1\r\n\r\n' });
    assert.equal(smuggled.status, 400);
    assert.deepEqual(seen, []);
  });

  test('a daemon that ends without an answer, and one that is not there, are told of as JSON with what to do', async () => {
    await publish('gone', '127.71.9.9', 1);
    const { status, text } = await until(
      () => ask('/nodes/gone/stats'),
      (answer) => answer.status !== 404,
    );
    assert.equal(status, 502);
    assert.match(JSON.parse(text).error, /daemon of gone \(127\.71\.9\.9:1\) did not answer/);
    assert.match(JSON.parse(text).todo, /kubectl/);
  });

  test('a viewer who goes ends what was asked of the daemon for him', async () => {
    seen.length = 0;
    const sentRequest = request({
      host: CONSOLE_IP,
      port: server.address.port,
      path: '/nodes/records/tap',
      headers: bearer(),
    });
    sentRequest.end();
    const [response] = await once(sentRequest, 'response');
    await once(response, 'data');
    response.on('error', () => {});
    sentRequest.destroy();
    await seen[0]?.closed;
  });

  test('taps of all nodes come as one stream; those that fail are named', async () => {
    const tap = await events('/api/tap?namespace=shop&max=5');
    const names = new Set<string>();
    const got = await tap.until((name, data) => {
      if (name === 'failed') names.add(String(data.node));
      return name === 'request' && names.has('garbage') ? data : undefined;
    });
    assert.deepEqual(got, { direction: 'outgoing', uri: '/from-records' });
    tap.close();
  });

  test('resolve is asked of the daemon where the caller is', async () => {
    seen.length = 0;
    const { text } = await ask('/api/resolve?host=world&from=odd/pod-of-records');
    assert.equal(JSON.parse(text).path, '/resolve?host=world&from=odd%2Fpod-of-records');
    assert.equal(seen.length > 0, true);
  });

  test('a viewer who reads nothing keeps nobody else from the stream', async () => {
    const idle = connect(server.address.port, CONSOLE_IP);
    const fields = Object.entries(bearer()).map(([name, value]) => `${name}: ${value}\r\n`);
    idle.write(`GET /api/stream HTTP/1.1\r\nhost: x\r\n${fields.join('')}\r\n`);
    idle.pause();
    const stream = await events('/api/stream?window=10');
    const ats = new Set<unknown>();
    await stream.until((name, data) => {
      if (name === 'mesh') ats.add(data.at);
      return ats.size >= 2 ? true : undefined;
    });
    stream.close();
    idle.destroy();
  });

  async function applyAccess(starting: TestMesh): Promise<void> {
    for (const object of readManifest(ACCESS)) await starting.kubernetes.apply(object as never);
    const metadata = { name: 'clerk', namespace: 'nodemesh' };
    await starting.kubernetes.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata });
  }

  function loadApi() {
    return loadKubernetesApi({ env: { KUBECONFIG: mesh.kubeconfig }, log });
  }

  async function tokenOf(account: string): Promise<string> {
    const path = `/api/v1/namespaces/nodemesh/serviceaccounts/${account}/token`;
    const answer = await loadApi().request({ method: 'POST', path, body: { spec: {} } });
    return (answer as { status: { token: string } }).status.token;
  }

  /** Makes an address one of the daemons'. */
  async function publish(node: string, ip: string, port: number): Promise<void> {
    await mesh.kubernetes.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        namespace: 'nodemesh',
        name: `admin-${node}`,
        labels: { 'kubernetes.io/service-name': 'nodemesh-daemon' },
      },
      addressType: 'IPv4',
      ports: [{ name: 'admin', port, protocol: 'TCP' }],
      endpoints: [{ addresses: [ip], conditions: { ready: true }, nodeName: node }],
    });
  }

  async function fake(node: string, ip: string, answer: RequestListener): Promise<void> {
    const one = createServer(answer);
    fakes.push(one);
    one.listen(0, ip);
    await once(one, 'listening');
    await publish(node, ip, (one.address() as AddressInfo).port);
  }

  function recording(...[incoming, response]: Parameters<RequestListener>): void {
    seen.push({ path: incoming.url ?? '', headers: incoming.headers, closed: once(response, 'close') });
    if (incoming.url?.startsWith('/tap')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: request\ndata: no json\n\nevent: other\ndata: {}\n\n');
      response.write(`event: request\ndata: ${JSON.stringify({ direction: 'outgoing', uri: '/from-records' })}\n\n`);
      const again = setInterval(
        () => response.write('event: request\ndata: {"direction":"outgoing","uri":"/from-records"}\n\n'),
        50,
      );
      response.once('close', () => clearInterval(again));
      return;
    }
    response.writeHead(200, { 'set-cookie': 'a=b', 'x-inner': '1', 'content-type': 'application/json' });
    response.end(
      incoming.url?.startsWith('/stats') ? JSON.stringify(statsOfRecords()) : JSON.stringify({ path: incoming.url }),
    );
  }

  async function askWorld(): Promise<number> {
    const asked = request({
      host: NODES['node-1'],
      port: mesh.daemon('node-1').port('outgoing'),
      localAddress: caller.ip,
      path: 'http://world/',
      agent: false,
    });
    asked.end();
    const [response] = await once(asked, 'response');
    response.resume();
    await once(response, 'end');
    sent += 1;
    return response.statusCode;
  }

  function bearer(): Record<string, string> {
    return { 'nodemesh-authorization': `Bearer ${token}` };
  }

  async function ask(
    path: string,
    {
      headers = bearer(),
      method = 'GET',
      body,
      at = { ip: CONSOLE_IP, port: server.address.port },
    }: { headers?: Record<string, string>; method?: string; body?: string; at?: { ip: string; port: number } } = {},
  ): Promise<Answer> {
    const asked = request({ host: at.ip, port: at.port, path, method, headers, agent: false });
    if (body !== undefined) asked.setHeader('content-length', Buffer.byteLength(body));
    asked.end(body);
    const [response] = await once(asked, 'response');
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    return { status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() };
  }

  async function events(path: string) {
    const asked = request({ host: CONSOLE_IP, port: server.address.port, path, headers: bearer(), agent: false });
    asked.on('error', () => {});
    asked.end();
    const [response] = await once(asked, 'response');
    assert.equal(response.statusCode, 200);
    response.setEncoding('utf8');
    return {
      close: () => asked.destroy(),
      async until<T>(accept: (name: string, data: Record<string, unknown>) => T | undefined): Promise<T> {
        let rest = '';
        for await (const chunk of response.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
          const blocks = (rest + chunk).split('\n\n');
          rest = blocks.pop() ?? '';
          for (const block of blocks) {
            const [, name = '', data = '{}'] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? [];
            const found = accept(name, JSON.parse(data));
            if (found !== undefined) return found;
          }
        }
        throw new Error('the stream ended');
      },
    };
  }
});

/** A daemon of one idle pod. */
function statsOfRecords() {
  const counts = {
    requests: 0,
    successes: 0,
    failures: 0,
    retries: 0,
    latency: [],
    series: { requests: [], failures: [] },
  };
  const pod = {
    namespace: 'odd',
    name: 'pod-of-records',
    workload: 'odd',
    ip: '127.71.9.50',
    ready: true,
    injected: true,
  };
  return {
    ...{ node: 'records', at: 1, windowMs: 5_000, intervalMs: 5_000, boundsMs: [], edges: [] },
    pods: [{ ...pod, services: [], ...counts }],
    daemon: { ready: true, notes: [], tls: {}, certificateNotAfter: null, startedAt: 1, version: '0' },
  };
}
