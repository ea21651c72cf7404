import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CountingClient } from '../support/counting-client.ts';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';

const NODE = '127.76.1.1';
const ASKED = 120;

describe("linkerd's admin paths, of a daemon of two threads", () => {
  let mesh: TestMesh;
  const get = async (path: string) => {
    const { ip, port } = mesh.daemon('node-1').admin;
    return fetch(`http://${ip}:${port}${path}`);
  };
  const text = async (path: string) => (await get(path)).text();
  const json = async (path: string) => (await (await get(path)).json()) as Record<string, number>;

  before(async () => {
    mesh = await TestMesh.start({ 'node-1': NODE }, true, {
      workers: 2,
      keys: ['telemetry: [{kind: io.l5d.prometheus}, {kind: io.l5d.prometheus, path: /admin/l5d, prefix: l5d_}]'],
      outgoingRouterKeys: ['service: {responseClassifier: {kind: io.l5d.http.retryableRead5XX}}'],
    });
  });
  after(() => mesh.stop());

  test('tell what callers and pods have counted themselves', async () => {
    const caller = await mesh.pod({ namespace: 'shop', name: 'front', ip: '127.76.1.10', node: 'node-1' });
    const seen = { answers: 0, failures: 0 };
    const flaky = new Set<string>();
    const pod = await mesh.pod(
      { namespace: 'shop', name: 'world', ip: '127.76.1.20', node: 'node-1' },
      (request, response) => {
        const [, kind = '', number = ''] = request.url?.split('/') ?? [];
        const status = kind === 'flaky' && !flaky.has(number) ? 500 : kind === 'missing' ? 404 : 200;
        flaky.add(number);
        seen.answers += 1;
        if (status === 500) seen.failures += 1;
        response.writeHead(status, { 'content-length': 0 }).end();
      },
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [pod]);
    const to = { host: NODE, port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
    // Many connections, so that both threads have some.
    const clients = Array.from({ length: 16 }, () => new CountingClient(to));
    const askWorld = (client: CountingClient, path: string) =>
      client.ask(`GET http://world${path} HTTP/1.1\r\nHost: world`);
    for (const client of clients) {
      await until(
        () => askWorld(client, '/get'),
        (status) => status === 200,
      );
      client.reset();
    }
    const service = 'rt/outgoing/service/svc/world.shop';
    const server = `rt/outgoing/server/${NODE}/0`;
    const client = 'rt/outgoing/client/#/io.l5d.k8s/shop/world';
    const settled = () =>
      until(
        () => json('/admin/metrics.json'),
        (all) => all[`${service}/pending`] === 0 && all[`${server}/pending`] === 0,
      );
    const first = await settled();
    Object.assign(seen, { answers: 0, failures: 0 });
    await Promise.all(
      clients.map(async (client, i) => {
        for (let n = i; n < ASKED; n += clients.length) {
          await askWorld(client, `/${n % 5 === 0 ? 'flaky' : n % 7 === 0 ? 'missing' : 'get'}/${n}`);
        }
      }),
    );
    const last = await settled();
    const counted = (name: string) => (last[name] ?? 0) - (first[name] ?? 0);
    const got = (status: number) => clients.reduce((sum, one) => sum + (one.counts.byStatus.get(status) ?? 0), 0);
    assert.ok(seen.failures > 0 && got(404) > 0);
    for (const scope of [service, server]) {
      assert.equal(counted(`${scope}/requests`), ASKED);
      assert.equal(counted(`${scope}/status/2XX`), got(200));
      assert.equal(counted(`${scope}/status/4XX`), got(404));
      assert.equal(counted(`${scope}/request_latency_ms.count`), ASKED);
    }
    assert.equal(counted(`${service}/retries/total`), seen.failures);
    assert.equal(counted(`${client}/requests`), seen.answers);
    assert.equal(counted(`${client}/failures`), seen.failures);
    assert.ok((last[`${client}/loadbalancer/size`] ?? 0) > 0);

    const ours = await mesh.daemon('node-1').metrics();
    const lines = await text('/admin/metrics/prometheus');
    const labels = { rt: 'outgoing', service: 'svc/world.shop' };
    const requests = metricValue(lines, 'rt:service:requests', labels);
    assert.equal(requests, last[`${service}/requests`]);
    assert.equal(requests, metricValue(ours, 'request_total', { router: 'outgoing', dst_service: 'world' }));
    assert.equal(metricValue(await text('/admin/l5d'), 'l5d_rt:service:requests', labels), requests);
    for (const one of clients) one.close();
  });

  test('ping, and what is not there', async () => {
    assert.equal(await text('/admin/ping'), 'pong');
    const nothing = await get('/admin/metrics.json?q=rt/none');
    assert.deepEqual([nothing.status, await nothing.text()], [404, 'there is nothing below rt/none\n']);
  });
});

test('the path for Prometheus is there where the config asks for it', async (t) => {
  const mesh = await TestMesh.start({ 'node-1': '127.76.2.1' }, true, { access: 'metrics: token' });
  t.after(() => mesh.stop());
  const { ip, port } = mesh.daemon('node-1').admin;
  const status = async (path: string) => (await fetch(`http://${ip}:${port}${path}`)).status;
  assert.deepEqual(
    [await status('/admin/metrics/prometheus'), await status('/admin/metrics.json'), await status('/admin/ping')],
    [404, 401, 200],
  );
});
