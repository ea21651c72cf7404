import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { Agent, createServer, request, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask, RawServer } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.64.1.1', 'node-2': '127.64.2.1', 'node-3': '127.64.3.1' };
const CALLERS = 8;

/** An application that ends as Kubernetes asks for it. */
class EndingPod {
  readonly name: string;
  readonly ip: string;
  readonly node: string;
  readonly #server: Server;
  readonly #seen: Map<string, number>;

  /** `seen`: how often each request came to any pod, by its `request-id`. */
  constructor(name: string, node: keyof typeof NODES, ip: string, seen: Map<string, number>) {
    this.name = name;
    this.node = node;
    this.ip = ip;
    this.#seen = seen;
    this.#server = createServer((asked, response) => {
      const id = String(asked.headers['request-id']);
      this.#seen.set(id, (this.#seen.get(id) ?? 0) + 1);
      asked.resume().on('end', () => setImmediate(() => response.end(name)));
    });
  }

  async start(mesh: TestMesh): Promise<TestPod> {
    const place = { namespace: 'shop', name: this.name, ip: this.ip, node: this.node };
    await mesh.register(place);
    this.#server.listen(0, this.ip);
    await once(this.#server, 'listening');
    return { ...place, port: (this.#server.address() as AddressInfo).port };
  }

  /** Takes no connection more and closes each as it becomes idle; settles when none is left. */
  async end(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    const closing = setInterval(() => this.#server.closeIdleConnections(), 1);
    await closed;
    clearInterval(closing);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Sends GETs and POSTs in turns, several at a time, until it is told to end; gives what became of each that is not 200. */
function keepAsking(mesh: TestMesh, from: string, methods: readonly string[]) {
  const agent = new Agent({ keepAlive: true });
  const failures: string[] = [];
  const answered = new EventEmitter();
  let [count, ended] = [0, false];
  const port = mesh.daemon('node-1').port('outgoing');
  const askOnce = (method: string) =>
    new Promise<void>((resolve) => {
      count += 1;
      const options = { agent, method, host: NODES['node-1'], port, localAddress: from, path: 'http://web/' };
      const headers = { 'request-id': `${method} ${count}` };
      const asked = request({ ...options, headers }, (response) => {
        response.resume();
        if (response.statusCode !== 200)
          failures.push(`${method} ${response.statusCode} ${response.headers['l5d-err']}`);
        response.on('close', resolve);
      });
      asked.on('error', (error) => {
        failures.push(`${method} ${error.message}`);
        resolve();
      });
      asked.end(method === 'POST' ? 'body' : undefined);
    });
  const caller = async () => {
    while (!ended) {
      await askOnce(methods[count % methods.length] ?? 'GET');
      answered.emit('one');
    }
  };
  const callers = Array.from({ length: CALLERS }, caller);
  return {
    failures,
    /** Settles when so many requests more have been sent. */
    async more(requests: number): Promise<void> {
      const wanted = count + requests;
      while (count < wanted) await once(answered, 'one');
    },
    async end(): Promise<void> {
      ended = true;
      await Promise.all(callers);
      agent.destroy();
    },
  };
}

async function startWeb(t: TestContext, tls: 'off' | 'required') {
  const mesh = await TestMesh.start(NODES, true, { tls });
  const pods: EndingPod[] = [];
  t.after(async () => {
    await mesh.stop();
    for (const pod of pods) pod.stop();
  });
  const seen = new Map<string, number>();
  const caller = await mesh.pod({ namespace: 'shop', name: 'caller', ip: '127.64.1.10', node: 'node-1' });
  await mesh.service('shop', 'web', [{ name: 'http', port: 80 }]);
  const start = async (node: 'node-2' | 'node-3') => {
    const pod = new EndingPod(`web-${pods.length}`, node, `127.64.${node.slice(-1)}.${20 + pods.length}`, seen);
    pods.push(pod);
    return { pod, endpoint: await pod.start(mesh) };
  };
  const web = [await start('node-2'), await start('node-3'), await start('node-2'), await start('node-3')];
  const publish = () =>
    mesh.endpoints(
      'shop',
      'web',
      web.map(({ endpoint }) => endpoint),
    );
  await publish();
  const target = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
  await until(
    () => ask(target, 'GET http://web/ HTTP/1.1\r\nHost: web'),
    ({ status }) => status === 200,
  );
  return { mesh, caller, web, start, publish, seen };
}

for (const tls of ['off', 'required'] as const) {
  describe(`tls: ${tls}`, () => {
    test('a daemon that dies takes no GET with it', async (t) => {
      const { mesh, caller } = await startWeb(t, tls);
      const asking = keepAsking(mesh, caller.ip, ['GET']);
      await asking.more(200);
      const dying = mesh.daemon('node-2');
      const drained = dying.stop();
      await dying.stop(); // at once, whatever is under way
      await asking.more(400);
      await asking.end();
      await drained;
      assert.deepEqual(asking.failures, []);
      const text = await mesh.daemon('node-1').metrics();
      assert.ok(metricValue(text, 'retry_total', { router: 'outgoing' }) > 0, 'nothing was under way to the daemon');
    });

    test('pods that are replaced one by one fail no request, and none is worked on twice', async (t) => {
      const { mesh, caller, web, start, publish, seen } = await startWeb(t, tls);
      const asking = keepAsking(mesh, caller.ip, ['GET', 'POST']);
      for (let i = 0; i < 4; i += 1) {
        web.push(await start(i % 2 === 0 ? 'node-2' : 'node-3'));
        await publish();
        await asking.more(100);
        const { pod, endpoint } = web[0] as (typeof web)[number];
        const ended = pod.end(); // before any daemon hears of it
        await mesh.kubernetes.remove(`/api/v1/namespaces/shop/pods/${endpoint.name}?gracePeriodSeconds=30`);
        await asking.more(50);
        web.shift();
        await publish();
        await ended;
      }
      await asking.end();
      assert.deepEqual(asking.failures, []);
      const twice = [...seen].filter(([id, times]) => id.startsWith('POST') && times > 1);
      assert.deepEqual(twice, []);
    });
  });
}

test('a pod that terminates loses its idle connections, and no other pod does', async (t) => {
  const mesh = await TestMesh.start({ 'node-1': NODES['node-1'] }, true, { now: () => 1_000_000 }); // nothing grows old
  t.after(() => mesh.stop());
  const sockets: Record<string, Set<Socket>> = { leaving: new Set(), staying: new Set() };
  const caller = await mesh.pod({ namespace: 'shop', name: 'caller', ip: '127.64.1.10', node: 'node-1' });
  const target = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
  const askPod = (name: string) =>
    until(
      () => ask(target, `GET http://${name}/ HTTP/1.1\r\nHost: ${name}`),
      ({ status }) => status === 200,
    );
  for (const [i, name] of ['leaving', 'staying'].entries()) {
    const place = { namespace: 'shop', name, ip: `127.64.1.${30 + i}`, node: 'node-1' };
    const pod = await mesh.pod(place, ({ socket }, response) => {
      sockets[name]?.add(socket);
      response.end();
    });
    await mesh.service('shop', name, [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', name, [pod]);
    await askPod(name);
  }
  const [leaving] = sockets.leaving ?? [];
  const closed = once(leaving as Socket, 'close');
  await mesh.kubernetes.remove('/api/v1/namespaces/shop/pods/leaving?gracePeriodSeconds=30');
  await closed;
  await askPod('staying');
  assert.equal(sockets.staying?.size, 1);
});

test('when all pods are out for their failures, requests go on to them, and are answered as soon as they recover', async (t) => {
  let status = 503;
  let asked = 0;
  const pods = await Promise.all(
    Array.from({ length: 3 }, () =>
      RawServer.start((socket) =>
        socket.on('data', () => {
          asked += 1;
          socket.write(`HTTP/1.1 ${status} Whatever\r\nContent-Length: 0\r\n\r\n`);
        }),
      ),
    ),
  );
  const mesh = await runDiscoDaemon({ web: pods.map(({ port }) => `127.0.0.1 ${port}`) });
  t.after(async () => {
    await mesh.stop();
    for (const pod of pods) await pod.stop();
  });
  const get = async () => (await ask(mesh.port, 'GET http://web/ HTTP/1.1\r\nHost: web')).status;
  const failing = await Promise.all(Array.from({ length: 100 }, get));
  assert.deepEqual([new Set(failing), asked], [new Set([503]), 100]);
  assert.ok(metricValue(await mesh.daemon.metrics(), 'panic_total') > 0);
  status = 200;
  const recovered = await Promise.all(Array.from({ length: 20 }, get));
  assert.deepEqual(new Set(recovered), new Set([200]));
});
