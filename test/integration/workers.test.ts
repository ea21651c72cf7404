import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { BroadcastChannel } from 'node:worker_threads';
import {
  type DiscoDaemon,
  type DiscoDaemonOptions,
  metricValue,
  runDaemon,
  runDiscoDaemon,
} from '../support/daemon.ts';
import { ask } from '../support/raw-http.ts';

const GET = 'GET http://web/ HTTP/1.1\r\nHost: web';
const THREADS = ['0', '1'];
/** With so many connections, each thread gets one but once in 2⁶³ runs. */
const MANY = 64;

/** An application that answers `/` at once, and holds back what it is told to. */
class App {
  readonly held: ServerResponse[] = [];
  holds = false;
  readonly #server = createServer((_request, response) => {
    if (!this.holds) {
      response.end('hello');
      return;
    }
    this.held.push(response);
    this.#server.emit('held');
  });

  async start(options: DiscoDaemonOptions): Promise<DiscoDaemon> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return runDiscoDaemon({ web: [`127.0.0.1 ${(this.#server.address() as AddressInfo).port}`] }, options);
  }

  /** Leaves a request waiting, on a connection of its own. */
  async hold(port: number): Promise<{ answer: ReturnType<typeof ask> }> {
    const held = once(this.#server, 'held');
    const answer = ask(port, GET);
    await held;
    return { answer };
  }

  answerAll(): void {
    for (const response of this.held.splice(0)) response.end('late');
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const accepted = (metrics: string) =>
  THREADS.map((worker) => metricValue(metrics, 'worker_connection_total', { worker }));
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('two threads', () => {
  const app = new App();
  let mesh: DiscoDaemon;

  before(async () => {
    mesh = await app.start({ workers: 2, serverKeys: 'maxConcurrentRequests: 6' });
  });
  after(async () => {
    await mesh.stop();
    app.stop();
  });

  test('both serve, and what they count adds up to what was asked', async () => {
    for (let i = 1; i <= MANY; i += 1) {
      assert.equal((await ask(mesh.port, GET)).body, 'hello');
      if (i !== MANY / 2 && i !== MANY) continue;
      const text = await mesh.daemon.metrics();
      const of = { dst_service: 'web' };
      assert.equal(metricValue(text, 'request_total', of), i);
      assert.equal(metricValue(text, 'response_total', { ...of, status_class: '2xx' }), i);
      assert.equal(metricValue(text, 'response_latency_ms_count', of), i);
      assert.equal(metricValue(text, 'response_latency_ms_bucket', { ...of, le: '+Inf' }), i);
      assert.equal(metricValue(text, 'requests_in_flight', of), 0);
      assert.equal(sum(accepted(text)), i);
    }
    const text = await mesh.daemon.metrics();
    for (const count of accepted(text)) assert.ok(count > 0, `connections by thread: ${accepted(text)}`);
    for (const worker of THREADS) assert.ok(metricValue(text, 'worker_busy_seconds_total', { worker }) > 0);
  });

  test('a limit is that of both together, to whichever a request comes', async () => {
    app.holds = true;
    const held = [];
    for (let i = 0; i < 6; i += 1) held.push(await app.hold(mesh.port));
    for (let i = 0; i < MANY; i += 1) {
      const { status, fields } = await ask(mesh.port, GET);
      assert.deepEqual([status, fields['l5d-err']], [503, 'overloaded']);
    }
    assert.equal(metricValue(await mesh.daemon.metrics(), 'rejected_total', { reason: 'overloaded' }), MANY);
    app.holds = false;
    app.answerAll();
    for (const { answer } of held) assert.equal((await answer).body, 'late');
    for (let i = 0; i < MANY; i += 1) assert.equal((await ask(mesh.port, GET)).status, 200);
  });

  test('a change of endpoints reaches both', async () => {
    const other = createServer((_request, response) => response.end('moved'));
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    await mesh.set('web', `127.0.0.1 ${(other.address() as AddressInfo).port}`);
    let run = 0;
    while (run < MANY) run = (await ask(mesh.port, GET)).body === 'moved' ? run + 1 : 0;
    other.closeAllConnections();
    other.close();
  });
});

test('at the end, both finish what is under way, and accept nothing more', async () => {
  const app = new App();
  const mesh = await app.start({ workers: 2, serverKeys: '' });
  app.holds = true;
  const held = [];
  // Until both have some: what a thread has accepted, and not more than that, is what it has under way.
  while (held.length < MANY) held.push(await app.hold(mesh.port));
  for (const count of accepted(await mesh.daemon.metrics())) assert.ok(count > 0);
  const stopped = mesh.stop();
  // Asks until both listeners are closed; what arrives before waits as the others do.
  for (;;) {
    const socket = connect({ host: '127.0.0.1', port: mesh.port });
    const refused = await once(socket, 'connect').then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
    );
    socket.on('error', () => {}).destroy();
    if (refused) break;
  }
  app.answerAll();
  for (const { answer } of held) assert.equal((await answer).body, 'late');
  await stopped;
  app.stop();
});

test('requests that do not end are given up after the grace, by both', async () => {
  const app = new App();
  const mesh = await app.start({ workers: 2 });
  app.holds = true;
  const held = [];
  while (held.length < MANY) held.push((await app.hold(mesh.port)).answer.catch(() => 'broken'));
  await mesh.stop(); // shutdownGraceMs: 500
  for (const answer of await Promise.all(held)) assert.equal(answer, 'broken');
  app.stop();
});

test('a thread that is stuck does not hold up a scrape, and its counts stay as it last gave them', async () => {
  const app = new App();
  const mesh = await app.start({ workers: 2, workerEntry: new URL('../support/stalling-worker.ts', import.meta.url) });
  for (let i = 0; i < MANY; i += 1) await ask(mesh.port, GET);
  const before = accepted(await mesh.daemon.metrics());
  assert.equal(sum(before), MANY);
  const word = new Int32Array(new SharedArrayBuffer(4));
  const channel = new BroadcastChannel('stall');
  channel.postMessage(word.buffer);
  await Atomics.waitAsync(word, 0, 0).value;
  assert.deepEqual(accepted(await mesh.daemon.metrics()), before);
  Atomics.store(word, 0, 0);
  Atomics.notify(word, 0);
  for (let i = 0; i < MANY; i += 1) await ask(mesh.port, GET);
  assert.equal(sum(accepted(await mesh.daemon.metrics())), 2 * MANY);
  channel.close();
  await mesh.stop();
  app.stop();
});

describe('ports', () => {
  let dir: string;
  const start = (workers: number, ...ports: number[]) =>
    runDaemon(
      `admin: {port: 0}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
routers: [{protocol: http, label: outgoing, servers: [${ports.map((port) => `{port: ${port}}`)}]}]`,
      { workers },
    );
  const listenOnce = async () => {
    const server = createTcpServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { server, port: (server.address() as AddressInfo).port };
  };

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-workers-'));
  });
  after(() => rm(dir, { recursive: true }));

  test('one that another has is reported as it is with one thread, and nothing stays open', async () => {
    const taken = await listenOnce();
    const free = await listenOnce();
    free.server.close();
    const messages: string[] = [];
    for (const workers of [1, 2]) {
      await assert.rejects(start(workers, free.port, taken.port), (error: Error) => {
        messages.push(error.message);
        return error.message.includes(`EADDRINUSE: address already in use 127.0.0.1:${taken.port}`);
      });
      await assert.rejects(once(connect({ host: '127.0.0.1', port: free.port }), 'connect'), { code: 'ECONNREFUSED' });
    }
    assert.equal(messages[0], messages[1]);
    taken.server.close();
  });

  test('of a daemon with two threads are not shared with another', async () => {
    const first = await start(2, 0);
    await assert.rejects(start(2, first.port('outgoing')), { code: 'EADDRINUSE' });
    await first.stop();
  });
});

test('a thread that fails ends the process, which says so', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-workers-'));
  const config = join(dir, 'daemon.yaml');
  await writeFile(
    config,
    `workers: 2
admin: {port: 0}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]
`,
  );
  const support = new URL('../support/crashing-threads.ts', import.meta.url).href;
  const main = join(import.meta.dirname, '../../daemon/main.ts');
  const daemon = spawn(process.execPath, ['--import', support, main, config], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(daemon, 'exit');
  let last: { msg: string; level: number } | undefined;
  for await (const line of createInterface(daemon.stdout)) {
    last = JSON.parse(line);
    if (last?.msg === 'daemon runs') daemon.kill('SIGUSR2');
  }
  assert.deepEqual(await ended, [1, null]);
  assert.equal(last?.msg, 'daemon ends, to be started again: worker thread 1 has ended: failed as told');
  await rm(dir, { recursive: true });
});
