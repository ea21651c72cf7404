import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import { type DiscoDaemon, type DiscoDaemonOptions, metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { TestMesh } from '../support/mesh.ts';
import { ask, RawServer } from '../support/raw-http.ts';

const GET = 'GET http://web/ HTTP/1.1\r\nHost: web';
const stops: (() => Promise<void>)[] = [];

after(async () => {
  for (const stop of stops.reverse()) await stop();
});

/** One application on raw sockets: what has come on each of its connections, and answers only when told to. */
class App extends EventEmitter {
  readonly connections: { readonly socket: Socket; text: string }[] = [];
  readonly #server: RawServer;

  private constructor(server: RawServer) {
    super();
    this.#server = server;
  }

  static async start(): Promise<App> {
    const app: { current?: App } = {};
    const server = await RawServer.start((socket) => app.current?.accept(socket));
    app.current = new App(server);
    stops.push(() => server.stop());
    return app.current;
  }

  accept(socket: Socket): void {
    const connection = { socket, text: '' };
    this.connections.push(connection);
    socket.on('data', (piece: Buffer) => {
      connection.text += piece.toString('latin1');
      this.emit('request', connection.text);
    });
  }

  get line(): string {
    return `127.0.0.1 ${this.#server.port}`;
  }

  /** Answers on the connection that was opened as number `index`. */
  answer(index: number): void {
    const connection = this.connections[index];
    if (connection === undefined) throw new Error(`no connection ${index}`);
    connection.text = '';
    connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  }
}

async function daemonFor(apps: readonly App[], options: DiscoDaemonOptions): Promise<DiscoDaemon> {
  const daemon = await runDiscoDaemon({ web: apps.map(({ line }) => line) }, options);
  stops.push(() => daemon.stop());
  return daemon;
}

const limits = (client: string, more = '') => ({
  routerKeys: `client: {loadBalancer: {kind: roundRobin}, ${client}}${more}`,
});

/** Sends a request and waits until the daemon has taken it in: it answers what came before on the admin port only after. */
async function send(mesh: DiscoDaemon, head = GET) {
  const { metrics } = mesh.daemon;
  const before = metricValue(await metrics(), 'request_total', { router: 'outgoing' });
  const answer = ask(mesh.port, head);
  while (metricValue(await metrics(), 'request_total', { router: 'outgoing' }) === before);
  return { answer };
}

describe('one connection at most', () => {
  test('a second request waits, and is sent on it once it is free', async () => {
    const app = await App.start();
    const mesh = await daemonFor([app], limits('hostConnectionPool: {maxSize: 1}'));
    const first = await send(mesh, 'GET http://web/1 HTTP/1.1\r\nHost: web');
    const second = await send(mesh, 'GET http://web/2 HTTP/1.1\r\nHost: web');
    const third = await send(mesh, 'GET http://web/3 HTTP/1.1\r\nHost: web');
    const seen: string[] = [];
    app.on('request', (text: string) => seen.push(text.split(' ')[1] ?? ''));
    app.answer(0);
    assert.equal((await first.answer).body, 'ok');
    if (seen.length === 0) await once(app, 'request');
    app.answer(0);
    assert.equal((await second.answer).body, 'ok');
    if (seen.length === 1) await once(app, 'request');
    app.answer(0);
    assert.equal((await third.answer).body, 'ok');
    assert.deepEqual(seen, ['/2', '/3']);
    assert.equal(app.connections.length, 1);
  });

  test('where it is lost, another takes its place', async () => {
    const app = await App.start();
    const mesh = await daemonFor([app], limits('hostConnectionPool: {maxSize: 1}'));
    const first = await send(mesh, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 0');
    const second = await send(mesh);
    const asked = once(app, 'request');
    app.connections[0]?.socket.destroy();
    assert.equal((await first.answer).fields['l5d-err'], 'upstream_reset');
    await asked;
    app.answer(1);
    assert.equal((await second.answer).body, 'ok');
  });

  test('a body that comes meanwhile is not lost, however long it is', async () => {
    const app = await App.start();
    const mesh = await daemonFor([app], limits('hostConnectionPool: {maxSize: 1}'));
    const first = await send(mesh);
    const size = 300_000;
    const second = ask(
      mesh.port,
      `POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: ${size}`,
      `${'x'.repeat(size - 1)}y`,
    );
    while (metricValue(await mesh.daemon.metrics(), 'request_total', { router: 'outgoing' }) < 2);
    app.answer(0);
    await first.answer;
    let text = '';
    while (!text.endsWith('y')) [text] = (await once(app, 'request')) as [string];
    assert.equal(text.length - text.indexOf('\r\n\r\n') - 4, size);
    app.answer(0);
    assert.equal((await second).body, 'ok');
    assert.equal(app.connections.length, 1);
  });

  test('more than maxWaiters go elsewhere, or get 503', async () => {
    const [one, other] = [await App.start(), await App.start()];
    const mesh = await daemonFor([one, other], limits('hostConnectionPool: {maxSize: 1, maxWaiters: 0}'));
    const held = [await send(mesh), await send(mesh)];
    assert.deepEqual([one.connections.length, other.connections.length], [1, 1]);
    const refused = await ask(mesh.port, GET);
    assert.deepEqual(
      [refused.status, refused.fields['l5d-err'], refused.fields['retry-after']],
      [503, 'overloaded', '1'],
    );
    assert.match(refused.body, /all 1 connections to 127\.0\.0\.1:\d+ are in use, and 0 requests wait for one/);
    const freed = held.map(({ answer }) => answer);
    one.answer(0);
    await Promise.race(freed);
    // Whichever is its turn: the one that is free takes it.
    for (let i = 0; i < 4; i += 1) {
      const asked = once(one, 'request');
      const next = ask(mesh.port, GET);
      await asked;
      one.answer(0);
      assert.equal((await next).body, 'ok');
    }
    other.answer(0);
    await Promise.all(freed);
    assert.deepEqual([one.connections.length, other.connections.length], [1, 1]);
  });

  for (const [what, keys, lines, code] of [
    ["the caller's time", '', '\r\nl5d-timeout: 40ms', 'deadline_exceeded'],
    ["the call's time", ', service: {totalTimeoutMs: 40}', '', 'total_timeout'],
    ["the router's for binding", ', bindingTimeoutMs: 400', '', 'binding_timeout'],
  ] as const) {
    test(`a request waits no longer than ${what}, and gives its place up`, async () => {
      const app = await App.start();
      const mesh = await daemonFor([app], limits('hostConnectionPool: {maxSize: 1, maxWaiters: 1}', keys));
      const first = await send(mesh, 'GET http://web/1 HTTP/1.1\r\nHost: web');
      const late = await ask(mesh.port, `${GET}${lines}`);
      assert.equal(late.fields['l5d-err'], code);
      const again = await ask(mesh.port, `${GET}${lines}`);
      assert.equal(again.fields['l5d-err'], code, 'and not that too many wait');
      app.answer(0);
      const { body } = await first.answer;
      if (code === 'binding_timeout') {
        assert.match(late.body, /none of the connections to 127\.0\.0\.1:\d+ was free within 400 ms/);
        assert.equal(body, 'ok', 'it had one, and its answer may take longer than that');
      }
      if (code !== 'total_timeout') assert.equal(app.connections.length, 1);
    });
  }

  test('an attempt that had none in its time goes elsewhere, whatever its method', async () => {
    const [one, other] = [await App.start(), await App.start()];
    const mesh = await daemonFor(
      [one, other],
      limits('requestAttemptTimeoutMs: 500, hostConnectionPool: {maxSize: 1}'),
    );
    const held = ask(mesh.port, GET);
    await once(one, 'request');
    one.connections[0]?.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'); // begun in time, and busy on
    for (let turns = 0; turns < 2; turns += 1) {
      const asked = once(other, 'request');
      const post = ask(mesh.port, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 0');
      await asked;
      other.answer(0);
      assert.equal((await post).body, 'ok');
    }
    assert.equal(metricValue(await mesh.daemon.metrics(), 'retry_total', { reason: 'attempt_timeout' }), 1);
    one.connections[0]?.socket.write('ok');
    assert.equal((await held).body, 'ok');
  });

  test('whoever goes away waits no more', async () => {
    const app = await App.start();
    const mesh = await daemonFor([app], limits('hostConnectionPool: {maxSize: 1, maxWaiters: 1}'));
    const first = await send(mesh);
    const leaving = connect(mesh.port, '127.0.0.1');
    leaving.write('GET http://web/leaving HTTP/1.1\r\nHost: web\r\n\r\n');
    const inFlight = async () => metricValue(await mesh.daemon.metrics(), 'requests_in_flight', { router: 'outgoing' });
    while ((await inFlight()) < 2);
    leaving.resetAndDestroy();
    while ((await inFlight()) > 1);
    const third = await send(mesh, 'GET http://web/third HTTP/1.1\r\nHost: web');
    const asked = once(app, 'request');
    app.answer(0);
    assert.equal((await first.answer).body, 'ok');
    assert.match(String(await asked), /^GET \/third /);
    app.answer(0);
    assert.equal((await third.answer).body, 'ok');
  });
});

describe('how long connections are kept', () => {
  const twoAtOnce = async (mesh: DiscoDaemon, app: App) => {
    const held = [await send(mesh), await send(mesh)];
    while (app.connections.some(({ text }) => text === '')) await once(app, 'request');
    app.answer(0);
    app.answer(1);
    for (const { answer } of held) await answer;
  };
  const closed = ({ connections }: App) =>
    Promise.race(connections.map(({ socket }, index) => once(socket, 'close').then(() => index)));

  test('idle ones above minSize for idleTimeMs, the others for as long as they last', async () => {
    let ahead = 0;
    const app = await App.start();
    const mesh = await daemonFor([app], {
      ...limits('hostConnectionPool: {minSize: 1, idleTimeMs: 1000}'),
      now: () => performance.now() + ahead,
    });
    await twoAtOnce(mesh, app);
    const first = closed(app);
    ahead = 3_600_000;
    const left = 1 - (await first);
    const asked = once(app, 'request');
    const next = ask(mesh.port, GET);
    await asked;
    app.answer(left);
    assert.equal((await next).body, 'ok');
    assert.equal(app.connections.length, 2);
  });

  for (const key of ['lifeTimeMs', 'idleTimeMs']) {
    test(`none beyond clientSession.${key}, minSize or not`, async () => {
      let ahead = 0;
      const app = await App.start();
      const mesh = await daemonFor([app], {
        ...limits(`hostConnectionPool: {minSize: 2}, clientSession: {${key}: 600000}`),
        now: () => performance.now() + ahead,
      });
      await twoAtOnce(mesh, app);
      const both = Promise.all(app.connections.map(({ socket }) => once(socket, 'close')));
      ahead = 3_600_000;
      await both;
    });
  }

  test('one that is busy beyond its life ends with its answer', async () => {
    let ahead = 0;
    const app = await App.start();
    const mesh = await daemonFor([app], {
      ...limits('clientSession: {lifeTimeMs: 600000}'),
      now: () => performance.now() + ahead,
    });
    const first = await send(mesh);
    ahead = 3_600_000;
    app.answer(0);
    assert.equal((await first.answer).body, 'ok');
    const asked = once(app, 'request');
    const next = ask(mesh.port, GET);
    await asked;
    app.answer(1);
    assert.equal((await next).body, 'ok');
  });
});

test('a daemon has so many connections to another for a Service, over TLS too', async () => {
  const nodes = { 'node-1': '127.95.1.1', 'node-2': '127.95.2.1' };
  const mesh = await TestMesh.start(nodes, true, {
    tls: 'required',
    outgoingRouterKeys: ['client: {hostConnectionPool: {maxSize: 1}}'],
  });
  try {
    const waiting: ServerResponse[] = [];
    const arrivals = new EventEmitter().setMaxListeners(0);
    const place = { namespace: 'shop', node: 'node-2', name: 'world', ip: '127.95.2.10' };
    const far = await mesh.pod(place, (_request, response) => {
      waiting.push(response);
      arrivals.emit('request');
    });
    const caller = await mesh.pod({ ...place, node: 'node-1', name: 'hello', ip: '127.95.1.10' });
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [far]);
    const target = { host: nodes['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
    const get = (path: string) => ask(target, `GET http://world${path} HTTP/1.1\r\nHost: world`);
    const metric = async (name: string, labels: Record<string, string>) =>
      metricValue(await mesh.daemon('node-1').metrics(), name, labels);
    while ((await Promise.race([get('/'), once(arrivals, 'request').then(() => undefined)])) !== undefined);
    const requests = () => metric('request_total', { router: 'outgoing', dst_service: 'world' });
    const before = await requests();
    const answers = [get('/2'), get('/3')];
    while ((await requests()) < before + 2);
    assert.equal(waiting.length, 1);
    assert.equal(await metric('open_connections', { side: 'peer' }), 1);
    for (let i = 0; i < 3; i += 1) {
      while (waiting.length <= i) await once(arrivals, 'request');
      assert.equal(waiting.length, i + 1);
      waiting[i]?.end('ok');
    }
    for (const answer of answers) assert.equal((await answer).body, 'ok');
    assert.equal(await metric('open_connections', { side: 'peer' }), 1);
  } finally {
    await mesh.stop();
  }
});
