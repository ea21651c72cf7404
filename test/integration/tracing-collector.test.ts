import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Collector, type CollectorManners } from '../support/collector.ts';
import { metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { until } from '../support/mesh.ts';
import { ask, RawServer } from '../support/raw-http.ts';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const REQUESTS = 50;

const otlp = (port: number) => `{kind: nodemesh.otlp, endpoint: 'http://127.0.0.1:${port}/v1/traces', sampleRate: 1}`;
const zipkin = (port: number) => `{kind: io.l5d.zipkin, host: 127.0.0.1, port: ${port}, sampleRate: 1}`;

/** A daemon that traces everything answers REQUESTS; gives it, and how to stop it. */
async function runTraced(telemeters: readonly string[]) {
  const app = await RawServer.answering(OK);
  const disco = await runDiscoDaemon(
    { world: [`127.0.0.1 ${app.port}`] },
    { keys: `telemetry: [${telemeters.join(', ')}]` },
  );
  for (let i = 0; i < REQUESTS; i += 1) {
    assert.equal((await ask(disco.port, 'GET http://world/ HTTP/1.1\r\nHost: world')).status, 200);
  }
  const spans = (result: string) => async () =>
    metricValue(await disco.daemon.metrics(), 'trace_spans_total', { result });
  return {
    spans,
    async stop() {
      await disco.stop();
      await app.stop();
    },
  };
}

for (const [kind, telemeter] of Object.entries({ otlp, zipkin })) {
  for (const manners of ['answers 500', 'answers garbage'] satisfies CollectorManners[]) {
    test(`a collector that ${manners}, ${kind}: requests are answered, spans counted as failed`, async () => {
      const collector = await Collector.start(manners);
      const traced = await runTraced([telemeter(collector.port)]);
      await until(traced.spans('failed'), (count) => count === REQUESTS);
      assert.equal(await traced.spans('exported')(), 0);
      await traced.stop();
      await collector.stop();
    });
  }

  for (const manners of ['hangs', 'never ends its answer'] satisfies CollectorManners[]) {
    test(`a collector that ${manners}, ${kind}: requests are answered, and the daemon stops`, async () => {
      const collector = await Collector.start(manners);
      const traced = await runTraced([telemeter(collector.port)]);
      await collector.until(({ spans }) => spans.length > 0);
      await traced.stop();
      await collector.stop();
    });
  }

  test(`a collector that is away, ${kind}: requests are answered, and the daemon stops`, async () => {
    const gone = await Collector.start();
    const { port } = gone;
    await gone.stop();
    const traced = await runTraced([telemeter(port)]);
    if (kind === 'zipkin') await until(traced.spans('failed'), (count) => count === REQUESTS);
    await traced.stop();
  });
}

test('all collectors get the same spans, what is left when the daemon stops included', async () => {
  const [one, two] = [await Collector.start(), await Collector.start()];
  const traced = await runTraced([otlp(one.port), zipkin(two.port)]);
  await traced.stop();
  const ids = ({ spans }: Collector) => spans.map(({ spanId }) => spanId).sort();
  assert.equal(ids(one).length, REQUESTS);
  assert.deepEqual(ids(one), ids(two));
  await one.stop();
  await two.stop();
});

test('no proxy of the environment comes into it', async () => {
  let asked = 0;
  const proxy = createServer((_request, response) => {
    asked += 1;
    response.end();
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as { port: number };
  const before = { ...process.env };
  Object.assign(process.env, { http_proxy: `http://127.0.0.1:${port}`, NODE_USE_ENV_PROXY: '1' });
  const collector = await Collector.start();
  const traced = await runTraced([otlp(collector.port), zipkin(collector.port)]);
  await collector.until(({ spans }) => spans.length >= 2);
  await traced.stop();
  assert.equal(asked, 0);
  process.env = before;
  await collector.stop();
  proxy.close();
});
