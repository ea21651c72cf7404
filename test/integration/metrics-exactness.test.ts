import assert from 'node:assert/strict';
import type { RequestListener, ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { CountingClient } from '../support/counting-client.ts';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';

const COUNT = Number(process.env.NODEMESH_EXACT_COUNT ?? 3_000);
const NODES = { 'node-1': '127.71.1.1', 'node-2': '127.71.2.1' };
const CONNECTIONS = 16;
const SERVICE = { dst_namespace: 'shop', dst_service: 'world' };

/** What the pods themselves have seen. */
interface Seen {
  answers: number;
  failures: number;
  /** How many attempts of one request there were, by its number. */
  readonly attempts: Map<string, number>;
  readonly hanging: Map<string, () => void>;
}

/** Answers as the path says; `/flaky/<n>` fails at each request's first attempt. */
function application(seen: Seen): RequestListener {
  const answer = (response: ServerResponse, status: number) => {
    seen.answers += 1;
    if (status >= 500) seen.failures += 1;
    response.writeHead(status, { 'content-length': 2 }).end('ok');
  };
  return (request, response) => {
    const [, kind = '', number = ''] = request.url?.split('/') ?? [];
    request.resume().on('end', () => {
      if (kind === 'hang') {
        seen.hanging.get(number)?.();
        return;
      }
      const attempt = (seen.attempts.get(number) ?? 0) + 1;
      if (kind === 'flaky') seen.attempts.set(number, attempt);
      if (kind === 'fail' || (kind === 'flaky' && attempt === 1)) answer(response, 500);
      else answer(response, kind === 'missing' ? 404 : 200);
    });
  };
}

for (const workers of [1, 2]) {
  describe(`${COUNT} requests through two daemons of ${workers === 1 ? 'one thread' : 'two threads'}`, () => {
    let mesh: TestMesh;
    let pods: TestPod[];
    /** What was counted while the daemons got to know the pods. */
    let earlier = '';
    const seen: Seen = { answers: 0, failures: 0, attempts: new Map(), hanging: new Map() };
    const clients: { workload: string; client: CountingClient }[] = [];
    /** Both daemons' metrics, once nothing is under way any more. */
    const settled = () =>
      until(
        async () => {
          const texts = await Promise.all([...mesh.daemons.values()].map((daemon) => daemon.metrics()));
          return texts.join('\n');
        },
        (text) => metricValue(text, 'requests_in_flight') === 0,
      );

    before(async () => {
      mesh = await TestMesh.start(NODES, true, {
        workers,
        outgoingRouterKeys: ['service: {responseClassifier: {kind: io.l5d.http.retryableRead5XX}}'],
      });
      for (const [i, workload] of ['front', 'batch'].entries()) {
        const caller = await mesh.pod({
          namespace: 'shop',
          name: `${workload}-5d4f8c-x`,
          ip: `127.71.1.1${i}`,
          node: 'node-1',
          deployment: workload,
        });
        const to = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
        for (let n = 0; n < CONNECTIONS / 2; n += 1) clients.push({ workload, client: new CountingClient(to) });
      }
      pods = [];
      for (const [name, ip, node] of [
        ['world-1', '127.71.1.21', 'node-1'],
        ['world-2', '127.71.2.21', 'node-2'],
        ['world-3', '127.71.2.22', 'node-2'],
      ] as const) {
        pods.push(await mesh.pod({ namespace: 'shop', name, ip, node, deployment: 'world' }, application(seen)));
      }
      await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
      await mesh.endpoints('shop', 'world', pods);
      // Until both daemons know the pods, and their callers.
      for (const { client } of clients) {
        await until(
          () => client.ask('GET http://world/get/0 HTTP/1.1\r\nHost: world'),
          (status) => status === 200,
        );
      }
    });
    before(async () => {
      earlier = await settled();
      Object.assign(seen, { answers: 0, failures: 0 });
      for (const { client } of clients) client.reset();
    });
    after(() => {
      for (const { client } of clients) client.close();
      return mesh.stop();
    });

    test('each count is exactly what the load and the pods have counted themselves', async () => {
      let next = 0;
      const one = async (client: CountingClient) => {
        for (let n = next++; n < COUNT; n = next++) {
          if (n === Math.floor(COUNT / 2)) await mesh.kill(pods[2] as TestPod);
          const kind =
            n % 500 === 499 ? 'hang' : n % 10 === 0 ? 'fail' : n % 7 === 0 ? 'flaky' : n % 11 === 0 ? 'missing' : 'get';
          const method = kind === 'fail' ? 'POST' : 'GET';
          const lines = `${method} http://world/${kind}/${n} HTTP/1.1\r\nHost: world\r\nContent-Length: 0`;
          if (kind === 'hang') {
            const { promise, resolve } = Promise.withResolvers<void>();
            seen.hanging.set(String(n), resolve);
            await client.abandon(lines, promise);
          } else await client.ask(lines);
        }
      };
      await Promise.all(clients.map(({ client }) => one(client)));

      const text = await settled();
      const metric = (name: string, labels = {}) =>
        metricValue(text, name, labels) - metricValue(earlier, name, labels);
      const outgoing = (name: string, labels = {}) => metric(name, { router: 'outgoing', ...SERVICE, ...labels });
      const incoming = (name: string, labels = {}) => metric(name, { router: 'incoming', ...SERVICE, ...labels });
      const got = (workload: string, from: number, to: number) => {
        let sum = 0;
        for (const { client } of clients.filter((one) => one.workload === workload)) {
          for (const [status, count] of client.counts.byStatus) if (status >= from && status < to) sum += count;
        }
        return sum;
      };
      const total = (workload: string, key: 'requests' | 'broken') =>
        clients.reduce((sum, one) => sum + (one.workload === workload ? one.client.counts[key] : 0), 0);

      for (const workload of ['front', 'batch']) {
        const by = { src_namespace: 'shop', src_workload: workload };
        assert.equal(outgoing('request_total', by), total(workload, 'requests'));
        assert.equal(outgoing('response_latency_ms_count', by), total(workload, 'requests'));
        assert.equal(outgoing('response_latency_ms_bucket', { ...by, le: '+Inf' }), total(workload, 'requests'));
        for (const [statusClass, from] of [
          ['2xx', 200],
          ['4xx', 400],
          ['5xx', 500],
        ] as const) {
          assert.equal(
            outgoing('response_total', { ...by, status_class: statusClass }),
            got(workload, from, from + 100),
          );
        }
        assert.equal(outgoing('response_total', { ...by, status_class: 'none' }), total(workload, 'broken'));
        assert.equal(outgoing('response_total', { ...by, classification: 'success' }), got(workload, 200, 500));
        assert.equal(
          outgoing('response_total', { ...by, classification: 'failure' }),
          got(workload, 500, 600) + total(workload, 'broken'),
        );
        assert.ok(outgoing('retry_total', { ...by, reason: 'failure_answered' }) > 0);
      }
      const sources = ['front', 'batch'].reduce((sum, workload) => sum + total(workload, 'requests'), 0);
      assert.equal(metric('request_total', { router: 'outgoing' }), sources);

      // Of the pods: what they have answered, whoever got it in the end.
      const of = { dst_workload: 'world' };
      const answered = ['2xx', '4xx', '5xx'].map((status_class) => incoming('response_total', { ...of, status_class }));
      assert.equal(
        answered.reduce((sum, count) => sum + count, 0),
        seen.answers,
      );
      assert.equal(incoming('response_total', { ...of, status_class: '5xx' }), seen.failures);
      assert.equal(incoming('request_total', of), incoming('response_latency_ms_count', of));
      assert.equal(incoming('request_total'), metric('endpoint_request_total', SERVICE));

      // A failure that a pod has answered reached the caller, or was tried again.
      const failed = ['front', 'batch'].reduce((sum, workload) => sum + got(workload, 500, 600), 0);
      const byMesh = clients.reduce((sum, { client }) => sum + client.counts.byMesh, 0);
      assert.equal(outgoing('retry_total', { reason: 'failure_answered' }), seen.failures - (failed - byMesh));
    });
  });
}
