import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { runDiscoDaemon } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask, type RawAnswer, splitAnswers } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.68.1.1', 'node-2': '127.68.2.1' };

describe('deadlines across two daemons', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let far: TestPod;
  let handler: RequestListener = (_request, response) => response.end('ok');

  before(async () => {
    mesh = await TestMesh.start(NODES, true, { outgoingRouterKeys: ['bindingTimeoutMs: 100'] });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.68.1.10', node: 'node-1' });
    far = await mesh.pod({ namespace: 'shop', name: 'world', ip: '127.68.2.11', node: 'node-2' }, (request, response) =>
      handler(request, response),
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [far]);
    await until(
      () => askWorld(''),
      ({ status, fields }) => status === 200 && fields.via?.includes('node-2') === true,
    );
  });
  after(() => mesh.stop());

  async function askAt(node: keyof typeof NODES, router: string, from: string, head: string): Promise<RawAnswer> {
    const socket = connect({ host: NODES[node], port: mesh.daemon(node).port(router), localAddress: from });
    socket.write(`${head}Connection: close\r\n\r\n`);
    let wire = '';
    socket.on('data', (piece: Buffer) => {
      wire += piece.toString('latin1');
    });
    await once(socket, 'close');
    const [answer] = splitAnswers(wire);
    if (answer === undefined) throw new Error('no answer');
    return answer;
  }
  const askWorld = (lines: string) =>
    askAt('node-1', 'outgoing', caller.ip, `GET http://world/ HTTP/1.1\r\nHost: world\r\n${lines}`);

  test('the application sees what is left of a grpc-timeout, and nothing of what daemons tell each other', async () => {
    let seen: IncomingHttpHeaders = {};
    handler = (request, response) => {
      seen = request.headers;
      response.end('ok');
    };
    assert.equal((await askWorld('grpc-timeout: 20S\r\n')).status, 200);
    const left = /^(\d+)m$/.exec(String(seen['grpc-timeout']))?.[1];
    assert.ok(Number(left) < 20_000 && Number(left) > 0, String(seen['grpc-timeout']));
    assert.equal(seen['mesh-deadline-ms'], undefined);
  });

  test('at its end the caller gets 504, and the application on the other node is told at once', async () => {
    const cancelled = Promise.withResolvers<void>();
    handler = (request) => request.on('close', () => cancelled.resolve());
    const answer = await askWorld('grpc-timeout: 60m\r\n');
    assert.deepEqual([answer.status, answer.fields['l5d-err']], [504, 'deadline_exceeded']);
    await cancelled.promise;
  });

  for (const [what, lines] of [
    ["linkerd2's", () => 'l5d-timeout: 60ms\r\n'],
    ["linkerd 1.x's", () => `l5d-ctx-deadline: ${Date.now()}000000 ${Date.now() + 60}000000\r\n`],
  ] as const) {
    test(`${what} is kept to though the context goes no further`, async () => {
      const cancelled = Promise.withResolvers<IncomingHttpHeaders>();
      handler = (request) => request.on('close', () => cancelled.resolve(request.headers));
      const answer = await askWorld(lines());
      assert.deepEqual([answer.status, answer.fields['l5d-err']], [504, 'deadline_exceeded']);
      const seen = Object.keys(await cancelled.promise).filter((name) => /^(?:l5d|mesh)-/.test(name));
      assert.deepEqual(seen, []);
    });
  }

  test('a context that cannot be read, and a time of years, break nothing', async () => {
    handler = (_request, response) => setTimeout(() => response.end('ok'), 20);
    for (const lines of [
      'l5d-timeout: soon\r\nl5d-ctx-deadline: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
      'l5d-timeout: 99999d\r\nl5d-ctx-deadline: 0 9223372036854775807\r\n',
      'grpc-timeout: 99999999H\r\n',
    ]) {
      assert.equal((await askWorld(lines)).status, 200, lines);
    }
  });

  for (const [lines, status, code] of [
    ['', 503, 'binding_timeout'],
    ['l5d-timeout: 50ms\r\n', 504, 'deadline_exceeded'],
    ['grpc-timeout: soon\r\n', 400, 'bad_request'],
  ] as const) {
    test(`a pod that is not known yet waits to be, but not beyond its time: ${code}`, async () => {
      const head = `GET http://world.shop/ HTTP/1.1\r\nHost: world.shop\r\n${lines}`;
      const answer = await askAt('node-1', 'outgoing', '127.68.1.99', head);
      assert.deepEqual([answer.status, answer.fields['l5d-err']], [status, code]);
    });
  }

  test('what cannot be read is refused', async () => {
    const answer = await askWorld('grpc-timeout: soon\r\n');
    assert.deepEqual([answer.status, answer.fields['l5d-err']], [400, 'bad_request']);
    assert.match(answer.body, /"soon"/);
  });

  test("a daemon's deadline is kept to; that of anyone else who claims to have one is not", async () => {
    handler = (_request, response) => response.end('ok');
    const head = `GET / HTTP/1.1\r\nHost: world.shop\r\nmesh-deadline-ms: 0\r\nmesh-endpoint: ${far.ip}:${far.port}\r\nmesh-service: world.shop\r\n`;
    const fromPeer = await askAt('node-2', 'incoming', NODES['node-1'], head);
    assert.deepEqual([fromPeer.status, fromPeer.fields['mesh-error']], [504, 'deadline_exceeded']);
    assert.equal((await askAt('node-2', 'incoming', caller.ip, head)).status, 200);
  });
});

test('where the context goes on, it goes on with what is left', async () => {
  const seen: IncomingHttpHeaders[] = [];
  const app = createServer((request, response) => {
    seen.push(request.headers);
    response.end('ok');
  }).listen(0, '127.0.0.1');
  await once(app, 'listening');
  const mesh = await runDiscoDaemon(
    { web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] },
    { serverKeys: 'clearContext: false' },
  );
  try {
    const deadline = `${Date.now()}000000 ${Date.now() + 60_000}000000`;
    const answer = await ask(
      mesh.port,
      `GET http://web/ HTTP/1.1\r\nHost: web\r\nl5d-timeout: 20s\r\nl5d-timeout: 30s\r\nl5d-ctx-deadline: ${deadline}`,
    );
    assert.equal(answer.status, 200);
    const left = Number(/^(\d+)ms$/.exec(String(seen[0]?.['l5d-timeout']))?.[1]);
    assert.ok(left > 0 && left < 20_000, String(seen[0]?.['l5d-timeout']));
    assert.equal(seen[0]?.['l5d-ctx-deadline'], deadline);
  } finally {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
  }
});
