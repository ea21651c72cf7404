import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, metricValue, runDaemon, runDiscoDaemon } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { ask, RawServer, splitAnswers } from '../support/raw-http.ts';

const GET = 'GET http://web/ HTTP/1.1\r\nHost: web';
const POST = 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 4';

describe('four requests at a time', () => {
  const waiting: ServerResponse[] = [];
  const app = createServer((_request, response) => {
    waiting.push(response);
    app.emit('asked');
  });
  let mesh: DiscoDaemon;

  before(async () => {
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    mesh = await runDiscoDaemon(
      { web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] },
      { serverKeys: 'maxConcurrentRequests: 4' },
    );
  });
  after(async () => {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
  });

  /** Leaves a request waiting; wrapped, so that awaiting it does not await its answer. */
  const hold = async (from: string) => {
    const asked = once(app, 'asked');
    const answer = ask({ port: mesh.port, localAddress: from }, GET);
    await asked;
    return { answer };
  };
  const answerOne = () => waiting.shift()?.end('ok');

  test('a fifth is refused before the application sees it, and counted; admin answers', async () => {
    const held = [];
    for (let i = 0; i < 4; i += 1) held.push(await hold('127.0.0.1'));
    const refused = await ask(mesh.port, POST, 'body');
    assert.deepEqual(
      [refused.status, refused.fields['l5d-err'], refused.fields['retry-after'], refused.fields['mesh-error']],
      [503, 'overloaded', '1', undefined],
    );
    assert.equal(waiting.length, 4);
    assert.equal(metricValue(await mesh.daemon.metrics(), 'rejected_total', { reason: 'overloaded' }), 1);

    // A neighbour is refused too while all is taken; from then on nobody gets more than half.
    assert.equal((await ask({ port: mesh.port, localAddress: '127.0.0.2' }, GET)).status, 503);
    answerOne();
    answerOne();
    assert.equal((await held[0]?.answer)?.status, 200);
    assert.equal((await held[1]?.answer)?.status, 200);
    assert.equal((await ask({ port: mesh.port, localAddress: '127.0.0.1' }, GET)).status, 503);
    const neighbour = [await hold('127.0.0.2'), await hold('127.0.0.2')];
    assert.equal((await ask({ port: mesh.port, localAddress: '127.0.0.2' }, GET)).status, 503);
    while (waiting.length > 0) answerOne();
    for (const { answer } of [...held, ...neighbour]) assert.equal((await answer).status, 200);
  });

  test('whoever goes away gives its place back', async () => {
    for (let i = 0; i < 12; i += 1) {
      const asked = once(app, 'asked');
      const socket = connect({ host: '127.0.0.1', port: mesh.port, localAddress: '127.0.0.3' });
      socket.write(`${GET}\r\n\r\n`);
      await asked;
      const cancelled = once(waiting.shift() as ServerResponse, 'close');
      socket.resetAndDestroy();
      await cancelled;
    }
    assert.equal(metricValue(await mesh.daemon.metrics(), 'requests_in_flight'), 0);
  });
});

describe('adaptive concurrency', () => {
  const waiting: ServerResponse[] = [];
  const app = createServer((request, response) => {
    if (request.url === '/reset') {
      response.destroy();
      return;
    }
    waiting.push(response);
    app.emit('asked');
  });
  let connections = 0;
  app.on('connection', () => {
    connections += 1;
  });
  let mesh: DiscoDaemon;

  before(async () => {
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    const endpoint = `127.0.0.1 ${(app.address() as AddressInfo).port}`;
    mesh = await runDiscoDaemon(
      { web: [endpoint], other: [endpoint] },
      { routerKeys: 'service: {adaptiveConcurrency: {minLimit: 2, maxLimit: 2}}' },
    );
  });
  after(async () => {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
  });

  const hold = async (head = GET) => {
    const asked = once(app, 'asked');
    const answer = ask(mesh.port, head);
    await asked;
    return { answer, response: waiting.shift() as ServerResponse };
  };

  test('what a Service cannot do is refused before anything is asked of it, without its body; admin answers', async () => {
    const held = [await hold(), await hold()];
    const before = connections;
    // None of the body is ever sent.
    const refused = await ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 1000000');
    assert.deepEqual(
      [refused.status, refused.fields['l5d-err'], refused.fields['retry-after'], refused.fields.connection],
      [503, 'overloaded', '1', 'close'],
    );
    assert.match(refused.body, /"web" has 2 requests of this node to answer, as many as it can at a time/);
    assert.deepEqual([connections, waiting.length], [before, 0]);
    const metrics = await mesh.daemon.metrics();
    assert.equal(metricValue(metrics, 'rejected_total', { router: 'outgoing', reason: 'overloaded' }), 1);
    assert.equal(metricValue(metrics, 'adaptive_concurrency_limit', { dst_service: 'web' }), 2);
    for (const path of ['/livez', '/readyz']) {
      assert.equal((await fetch(`http://127.0.0.1:${mesh.daemon.admin.port}${path}`)).status, 200, path);
    }

    const elsewhere = await hold('GET http://other/ HTTP/1.1\r\nHost: other');
    for (const { answer, response } of [...held, elsewhere]) {
      response.end('ok');
      assert.equal((await answer).status, 200);
    }
  });

  test('a place is free when the answer begins, or when there will be none', async () => {
    const streams = [];
    for (let i = 0; i < 4; i += 1) {
      const asked = once(app, 'asked');
      const socket = connect({ host: '127.0.0.1', port: mesh.port });
      socket.write(`${GET}\r\n\r\n`);
      await asked;
      const begun = once(socket, 'data');
      waiting.shift()?.writeHead(200).write('begun');
      await begun;
      streams.push(socket);
    }
    for (let i = 0; i < 4; i += 1) {
      assert.equal((await ask(mesh.port, 'POST http://web/reset HTTP/1.1\r\nHost: web')).status, 502);
    }
    for (const socket of streams) socket.destroy();
  });
});

test('an incoming router tells the daemon that asks to try elsewhere', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-admission-'));
  const app = createServer();
  app.listen(0, '127.0.0.1');
  await once(app, 'listening');
  await writeFile(join(dir, 'web'), `127.0.0.1 ${(app.address() as AddressInfo).port}\n`);
  const daemon = await runDaemon(
    `admin: {port: 0, shutdownGraceMs: 0}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
routers: [{protocol: http, label: incoming, servers: [{port: 0, maxConcurrentRequests: 1}]}]`,
  );
  try {
    const asked = once(app, 'request');
    const held = ask(daemon.port('incoming'), GET);
    const [, response] = (await asked) as [unknown, ServerResponse];
    const refused = await ask(daemon.port('incoming'), GET);
    assert.deepEqual(
      [refused.status, refused.fields['mesh-error'], refused.fields['mesh-retryable']],
      [503, 'overloaded', 'true'],
    );
    response.end('ok');
    assert.equal((await held).body, 'ok');
  } finally {
    await daemon.stop();
    app.closeAllConnections();
    app.close();
    await rm(dir, { recursive: true });
  }
});

test('a daemon whose event loop is behind refuses new requests, not its admin port, and recovers', async () => {
  const app = await RawServer.answering('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  let pace = 1;
  let base = 0;
  // Time that runs ten times faster makes every timer ten times late.
  const now = () => base + performance.now() * pace;
  const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${app.port}`] }, { now });
  try {
    assert.equal((await ask(mesh.port, GET)).status, 200);
    base = now() - performance.now() * 10;
    pace = 10;
    const refused = await until(
      () => ask(mesh.port, GET),
      ({ status }) => status !== 200,
    );
    assert.deepEqual(
      [refused.status, refused.fields['l5d-err'], refused.fields['retry-after']],
      [503, 'overloaded', '1'],
    );
    assert.match(refused.body, /behind with its work/);
    for (const path of ['/livez', '/readyz']) {
      assert.equal((await fetch(`http://127.0.0.1:${mesh.daemon.admin.port}${path}`)).status, 200, path);
    }
    assert.ok(metricValue(await mesh.daemon.metrics(), 'rejected_total', { reason: 'overloaded' }) > 0);
    base = now() - performance.now();
    pace = 1;
    await until(
      () => ask(mesh.port, GET),
      ({ status }) => status === 200,
    );
  } finally {
    await mesh.stop();
    await app.stop();
  }
});

test('a neighbour does not wait behind all that a noisy caller has sent', async () => {
  const asked: string[] = [];
  const app = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('ok');
  }).listen(0, '127.0.0.1');
  await once(app, 'listening');
  // In slow time a slice of the loop's is long enough for all of them to arrive in, however busy the machine is.
  const now = () => performance.now() / 1_000;
  const mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] }, { now });
  const from = (localAddress: string) => connect({ host: '127.0.0.1', port: mesh.port, localAddress });
  const noisy = Array.from({ length: 100 }, () => from('127.0.0.9'));
  const quiet = from('127.0.0.2');
  const all = [...noisy, quiet];
  try {
    await Promise.all(all.map((socket) => once(socket, 'connect')));
    await until(
      () => mesh.daemon.metrics(),
      (text) => metricValue(text, 'open_connections', { side: 'caller' }) === all.length,
    );
    // Both have called before.
    for (const socket of [quiet, noisy[0] as Socket]) {
      socket.write('GET http://web/before HTTP/1.1\r\nHost: web\r\n\r\n');
      await once(socket, 'data');
    }
    asked.length = 0;
    const answered = all.map((socket) => once(socket, 'data'));
    for (const socket of noisy) socket.write('GET http://web/noisy HTTP/1.1\r\nHost: web\r\n\r\n');
    // The body comes with the head, and waits with it.
    quiet.write('POST http://web/quiet HTTP/1.1\r\nHost: web\r\nContent-Length: 4\r\n\r\nbody');
    await Promise.all(answered);
    assert.equal(asked.length, 101);
    assert.ok(asked.indexOf('/quiet') < 50, `asked as number ${asked.indexOf('/quiet')}`);
  } finally {
    for (const socket of all) socket.destroy();
    await mesh.stop();
    app.closeAllConnections();
    app.close();
  }
});

test('what an overloaded daemon refuses is asked of a pod on another node, a POST too', async () => {
  const nodes = { 'node-1': '127.69.1.1', 'node-2': '127.69.2.1', 'node-3': '127.69.3.1' };
  const mesh = await TestMesh.start(nodes, true, { incomingKeys: 'maxConcurrentRequests: 1' });
  try {
    const caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.69.1.10', node: 'node-1' });
    let taken: (response: ServerResponse) => void = () => {};
    const worlds = [
      await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.69.2.11', node: 'node-2' }, (request, response) => {
        if (request.url === '/hold') taken(response);
        else response.end('node-2');
      }),
      await mesh.pod({ namespace: 'shop', name: 'world-3', ip: '127.69.3.11', node: 'node-3' }, (_request, response) =>
        response.end('node-3'),
      ),
    ];
    const askWorld = async () => {
      const socket = connect({
        host: nodes['node-1'],
        port: mesh.daemon('node-1').port('outgoing'),
        localAddress: caller.ip,
      });
      socket.write('POST http://world/ HTTP/1.1\r\nHost: world\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody');
      let wire = '';
      socket.on('data', (piece: Buffer) => {
        wire += piece.toString('latin1');
      });
      await once(socket, 'close');
      const [answer] = splitAnswers(wire);
      return answer?.body ?? '';
    };
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', worlds);
    for (const node of ['node-2', 'node-3']) await until(askWorld, (body) => body === node);
    const held = new Promise<ServerResponse>((resolve) => {
      taken = resolve;
    });
    const occupying = connect({
      host: nodes['node-2'],
      port: mesh.daemon('node-2').port('incoming'),
      localAddress: caller.ip,
    });
    occupying.write('GET /hold HTTP/1.1\r\nHost: world.shop\r\n\r\n');
    const response = await held;
    for (let i = 0; i < 30; i += 1) assert.equal(await askWorld(), 'node-3');
    const retries = metricValue(await mesh.daemon('node-1').metrics(), 'retry_total', { reason: 'overloaded' });
    assert.ok(retries > 0, 'node-2 was never asked');
    response.end();
    await once(occupying, 'data');
    occupying.destroy();
    await until(askWorld, (body) => body === 'node-2');
  } finally {
    await mesh.stop();
  }
});
