import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ToldRecord } from '../../daemon/telemetry/told-record.ts';
import { metricValue, runDaemon } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';
import { openTap, TestTap } from '../support/tap.ts';

const NODES = { 'node-1': '127.71.1.1', 'node-2': '127.71.2.1' };

/** What the application of the far pods does, as a test wants it. */
type Answering = (request: IncomingMessage, response: ServerResponse) => void;

describe('two daemons, and what they tell of requests', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let answering: Answering;
  const taps: { close(): void }[] = [];

  const tapOf = async (node: string, query = '') => {
    const tap = await TestTap.open(mesh.daemon(node), query);
    taps.push(tap);
    return tap;
  };
  const askRouter = (head: string, body = '', router = 'outgoing', node: keyof typeof NODES = 'node-1') =>
    ask({ host: NODES[node], port: mesh.daemon(node).port(router), localAddress: caller.ip }, head, body);
  const echo: Answering = (request, response) => {
    request.resume();
    // Until both daemons know who calls.
    if (request.headers['mesh-client'] === undefined) response.statusCode = 404;
    request.on('end', () => response.end('x'.repeat(1_000)));
  };

  before(async () => {
    answering = echo;
    mesh = await TestMesh.start(NODES, true, {
      tls: 'required',
      access: 'tap: open',
      routerKeys: ['policy: enforce'],
      incomingRouterKeys: ['clientHeader: true'],
      keys: ['telemetry: [{kind: nodemesh.tap, redact: [x-secret]}, {kind: io.l5d.recentRequests, sampleRate: 1}]'],
    });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.71.1.10', node: 'node-1' });
    const worlds = [
      await mesh.pod({ namespace: 'shop', name: 'world-1', ip: '127.71.2.11', node: 'node-2' }, (request, response) =>
        answering(request, response),
      ),
      await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.71.2.12', node: 'node-2' }, (request, response) =>
        answering(request, response),
      ),
    ];
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', worlds);
    await until(
      () => askRouter('GET http://world/ HTTP/1.1\r\nHost: world'),
      ({ status }) => status === 200,
    );
  });
  after(async () => {
    for (const tap of taps) tap.close();
    await mesh.stop();
  });

  test('a request that is tried again is told by both hops, with what the caller sent and got', async () => {
    let first: string | undefined;
    answering = (request, response) => {
      const address = request.socket.localAddress ?? '';
      if (request.url !== '/twice?key=1' || (first ?? address) !== address) return echo(request, response);
      first = address;
      request.socket.resetAndDestroy();
    };
    const [out, incoming] = [await tapOf('node-1', '?path=/twice&headers=true'), await tapOf('node-2', '?path=/twice')];
    const head =
      'PUT http://world/twice?key=1 HTTP/1.1\r\nHost: world\r\nUser-Agent: curl/8\r\nX-Secret: s\r\nCookie: c';
    const answer = await askRouter(`${head}\r\nContent-Length: 5`, 'hello');
    assert.equal(answer.status, 200);
    const told = await out.record();
    const [failed, served] = [await incoming.record(), await incoming.record()];
    answering = echo;

    assert.deepEqual(
      [told.direction, told.method, told.host, told.uri, told.version, told.user_agent],
      ['outgoing', 'PUT', 'world', '/twice?…', 'HTTP/1.1', 'curl/8'],
    );
    assert.deepEqual([told.src_namespace, told.src_workload, told.src_pod], ['shop', 'hello', 'hello']);
    assert.deepEqual([told.dst_namespace, told.dst_service], ['shop', 'world']);
    assert.deepEqual(
      [told.status, told.error, told.request_bytes, told.response_bytes],
      [200, '', 5, answer.body.length],
    );
    assert.deepEqual([told.attempts, told.retries.length], [2, 1]);
    assert.equal(told.peer, `${NODES['node-2']}:${mesh.daemon('node-2').port('incoming')}`);
    assert.equal(told.node, 'node-1');
    assert.match(told.client_addr, /^127\.71\.1\.10:\d+$/);
    assert.ok(told.processing_ms >= 0 && told.processing_ms <= told.total_ms);
    assert.equal(told.request_headers?.['x-secret'], '[redacted]');
    assert.equal(told.request_headers?.cookie, '[redacted]');

    assert.deepEqual([failed.direction, failed.status, [failed.error]], ['incoming', 502, told.retries]);
    assert.deepEqual([served.status, served.error, served.request_bytes], [200, '', 5]);
    assert.equal(served.response_bytes, answer.body.length);
    assert.notEqual(failed.dst_pod, served.dst_pod);
    assert.equal(served.dst_pod, told.dst_pod);
    assert.equal(served.backend, told.backend);
    assert.deepEqual([served.src_namespace, served.src_pod, served.dst_service], ['shop', 'hello', 'world']);
    assert.match(served.peer, /^127\.[\d.]+:\d+$/);
    assert.equal(served.node, 'node-2');
  });

  test('so is what is refused, and what is no request', async () => {
    const tap = await tapOf('node-1');
    const refused = async (head: string, status: number, error: string) => {
      const answer = await askRouter(head);
      const told = await tap.record();
      assert.deepEqual([answer.status, told.status, told.error], [status, status, error]);
      assert.equal(told.response_bytes, Buffer.byteLength(answer.body), error);
      assert.equal(told.attempts, 0);
      return told;
    };
    assert.equal((await refused('GET http://nobody/ HTTP/1.1\r\nHost: nobody', 502, 'unknown_name')).host, 'nobody');
    assert.equal((await refused('GET /x', 400, 'bad_request')).method, '');
    await refused('GET http://a@b/ HTTP/1.1\r\nHost: x', 400, 'bad_authority');
    await refused(
      'POST http://world/ HTTP/1.1\r\nHost: world\r\nTransfer-Encoding: chunked\r\nExpect: nonsense',
      417,
      'bad_expectation',
    );
    const port = mesh.daemon('node-1').port('outgoing');
    const stranger = await ask(
      { host: NODES['node-1'], port, localAddress: '127.71.1.99' },
      'GET http://world/ HTTP/1.1\r\nHost: world',
    );
    const told = await tap.record(({ error }) => error === 'not_local_pod');
    assert.deepEqual([stranger.status, told.status, told.src_pod], [403, 403, '']);
  });

  test('a caller that goes away is told as that', async () => {
    const tap = await tapOf('node-1', '?path=/never');
    const socket = connect({
      host: NODES['node-1'],
      port: mesh.daemon('node-1').port('outgoing'),
      localAddress: caller.ip,
    });
    answering = (request) => {
      if (request.url === '/never') socket.destroy();
    };
    socket.write('GET http://world/never HTTP/1.1\r\nHost: world\r\n\r\n');
    const told = await tap.record();
    answering = echo;
    assert.deepEqual([told.status, told.error, told.attempts], [0, 'caller_gone', 1]);
  });

  test('an answer that breaks off is told with the status that went out, and why', async () => {
    const tap = await tapOf('node-1', '?path=/broken');
    answering = (_request, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.write('12345', () => response.destroy());
    };
    const answer = await askRouter('GET http://world/broken HTTP/1.1\r\nHost: world');
    const told = await tap.record();
    answering = echo;
    assert.equal(answer.status, 200);
    assert.deepEqual([told.status, told.error, told.response_bytes], [200, 'upstream_reset', 5]);
  });

  test('a tunnel is told once it is closed, with what has passed each way', async (t) => {
    const server = createServer((socket) => socket.on('data', () => socket.end('b'.repeat(3_000))));
    t.after(() => server.close());
    server.listen(0, '127.71.2.13');
    await once(server, 'listening');
    const where = { namespace: 'shop', name: 'raw', ip: '127.71.2.13', node: 'node-2' };
    const { port } = server.address() as { port: number };
    await mesh.register(where);
    await mesh.service('shop', 'raw', [{ name: 'http', port }]);
    await mesh.endpoints('shop', 'raw', [{ ...where, port }]);
    const [out, incoming] = [
      await tapOf('node-1', '?method=CONNECT&status=2xx'),
      await tapOf('node-2', '?method=CONNECT&status=2xx'),
    ];
    const open = async () => {
      const socket = connect({
        host: NODES['node-1'],
        port: mesh.daemon('node-1').port('outgoing'),
        localAddress: caller.ip,
      });
      socket.write(`CONNECT raw:${port} HTTP/1.1\r\nHost: raw:${port}\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      return { socket, opened: answer.toString().startsWith('HTTP/1.1 200') };
    };
    const { socket } = await until(open, ({ opened }) => opened);
    let received = 0;
    socket.on('data', (piece: Buffer) => {
      received += piece.length;
    });
    socket.write(Buffer.alloc(2_000, 0xff));
    await once(socket, 'end');
    socket.end();
    for (const told of [await out.record(), await incoming.record()]) {
      assert.deepEqual(
        [told.status, told.request_bytes, told.response_bytes, told.dst_pod],
        [200, 2_000, 3_000, 'raw'],
      );
    }
    assert.equal(received, 3_000);
  });

  test('a tap has so many a second as it asks for, and is told how many it did not have', async () => {
    const tap = await tapOf('node-1', '?path=/many&max=10');
    for (let i = 0; i < 60; i += 1) {
      assert.equal((await askRouter('GET http://world/many HTTP/1.1\r\nHost: world')).status, 200);
    }
    const { records, dropped } = await tap.total(60);
    assert.equal(records + dropped, 60);
    assert.ok(dropped > 0, 'all of 60 requests within six seconds at ten a second');
  });

  test('a tap that nobody reads holds up no request', async () => {
    const tap = await tapOf('node-1', '?path=/long*&max=1000');
    tap.pause();
    const path = `/long/${'x'.repeat(500)}`;
    for (let i = 0; i < 40; i += 1) {
      const asked = Array.from({ length: 25 }, () => askRouter(`GET http://world${path} HTTP/1.1\r\nHost: world`));
      for (const { status } of await Promise.all(asked)) assert.equal(status, 200);
    }
    tap.close();
  });

  test('a tap that asks for what there is not gets 400; the ninth gets 503', async () => {
    const bad = await openTap(mesh.daemon('node-2'), '?stauts=500');
    assert.equal(bad.statusCode, 400);
    assert.match((await bad.toArray()).join(''), /unknown key "stauts"; known keys: namespace/);
    const seen: (number | undefined)[] = [];
    while (seen.length < 9 && !seen.includes(503)) {
      const response = await openTap(mesh.daemon('node-2'), '');
      response.on('error', () => {});
      seen.push(response.statusCode);
      if (response.statusCode === 503) assert.match((await response.toArray()).join(''), /8 taps are open/);
      else taps.push({ close: () => response.destroy() });
    }
    assert.equal(seen.at(-1), 503);
  });

  test('/requests has the last ones, the latest first', async () => {
    const { ip, port } = mesh.daemon('node-1').admin;
    const recent = async () => {
      await askRouter('GET http://world/last-but-one HTTP/1.1\r\nHost: world');
      await askRouter('GET http://world/last?key=1 HTTP/1.1\r\nHost: world');
      return (await (await fetch(`http://${ip}:${port}/requests`)).json()) as ToldRecord[];
    };
    // No more than a hundred a second are kept, and the test before has asked for more.
    const all = await until(recent, ([last, before]) => last?.uri === '/last?…' && before?.uri === '/last-but-one');
    assert.equal(all.length, 10);
  });
});

for (const [config, keys, source] of [
  ['nothing that asks for it', {}, ['', '', '']],
  ['policies and none in the cluster', { routerKeys: ['policy: enforce'] }, ['shop', '', 'hello-5d4f8c-x']],
  ['telemetry', { keys: ['telemetry: [{kind: nodemesh.tap}]'] }, ['shop', 'hello', 'hello-5d4f8c-x']],
] as const) {
  test(`the daemon that is called knows the source of a request with ${config}: ${source.join(' ') || 'not'}`, async (t) => {
    const mesh = await TestMesh.start(NODES, true, { tls: 'required', ...keys });
    t.after(() => mesh.stop());
    const [name, ip] = ['hello-5d4f8c-x', '127.71.1.10'];
    await mesh.pod({ namespace: 'shop', name, ip, node: 'node-1', deployment: 'hello' });
    const world = await mesh.pod({ namespace: 'shop', name: 'world', ip: '127.71.2.11', node: 'node-2' });
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [world]);
    const to = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: ip };
    const tap = await TestTap.open(mesh.daemon('node-2'));
    await until(
      () => ask(to, 'GET http://world/ HTTP/1.1\r\nHost: world'),
      ({ status }) => status === 200,
    );
    const told = await tap.record(({ status, direction }) => status === 200 && direction === 'incoming');
    tap.close();
    assert.deepEqual([told.src_namespace, told.src_workload, told.src_pod], source);
  });
}

describe('a daemon of two threads', () => {
  test('has both in one tap, and in the log', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nodemesh-log-'));
    const path = join(dir, 'log');
    const daemon = await runDaemon(
      `admin: {port: 0, shutdownGraceMs: 200}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
telemetry: [{kind: nodemesh.accessLog, path: ${path}}, {kind: io.l5d.recentRequests, sampleRate: 1, capacity: 1000}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]`,
      { workers: 2 },
    );
    const askWorld = (path: string) =>
      ask({ host: '127.0.0.1', port: daemon.port('outgoing') }, `GET http://nobody${path} HTTP/1.1\r\nHost: nobody`);
    const tap = await TestTap.open(daemon, '?path=/x&max=1000');
    const connections = async () => {
      const text = await daemon.metrics();
      return ['0', '1'].map((worker) => metricValue(text, 'worker_connection_total', { worker }));
    };
    const asked = 64; // each thread gets one of them but once in 2⁶³ runs
    for (let i = 0; i < asked; i += 1) assert.equal((await askWorld('/x')).status, 502);
    for (const count of await connections()) assert.ok(count > 0);
    const { records, dropped } = await tap.total(asked);
    assert.deepEqual([records, dropped], [asked, 0]);
    const { ip, port } = daemon.admin;
    const recent = () =>
      fetch(`http://${ip}:${port}/requests`).then((answer) => answer.json() as Promise<ToldRecord[]>);
    await until(recent, (all) => all.length === asked);
    tap.close();
    await daemon.stop();
    assert.equal((await readFile(path, 'utf8')).split('\n').length - 1, asked);
    await rm(dir, { recursive: true });
  });
});
