import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { type CollectedSpan, Collector } from '../support/collector.ts';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.97.1.1', 'node-2': '127.97.2.1' };
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const FORCED = 'l5d-sample: 1.0';

const kinds = {
  otlp: ({ otlp }: Collector) => `{kind: nodemesh.otlp, endpoint: '${otlp}', sampleRate: 0, headers: {x-token: t}}`,
  zipkin: ({ port }: Collector) => `{kind: io.l5d.zipkin, host: 127.0.0.1, port: ${port}, sampleRate: 0}`,
};

for (const [kind, workers] of [
  ['otlp', 1],
  ['zipkin', 1],
  ['otlp', 2],
] as const) {
  describe(`traces over two nodes, ${kind}, workers: ${workers}`, () => {
    let mesh: TestMesh;
    let collector: Collector;
    let caller: TestPod;
    let far: TestPod;
    let received: IncomingHttpHeaders = {};

    const askWorld = async (context: string, url = 'http://world/a?secret=1'): Promise<number> => {
      const to = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip };
      return (await ask(to, `GET ${url} HTTP/1.1\r\nHost: world\r\nUser-Agent: test/1${context && `\r\n${context}`}`))
        .status;
    };
    /** The spans of a trace once there are so many. */
    const spansOf = async (traceId: string, count: number): Promise<CollectedSpan[]> => {
      const found = () => collector.spans.filter((span) => span.traceId.padStart(32, '0') === traceId);
      await collector.until(() => found().length >= count);
      return found();
    };
    const ofKind = (spans: CollectedSpan[], wanted: string): CollectedSpan => {
      const [span, ...more] = spans.filter((one) => one.kind === wanted);
      assert.ok(span !== undefined && more.length === 0, `one span of kind ${wanted}`);
      return span;
    };
    const idsSent = (): { traceId: string; spanId: string } => {
      const [version, traceId = '', spanId = '', flags] = String(received.traceparent).split('-');
      assert.deepEqual([version, flags], ['00', '01'], `traceparent: ${received.traceparent}`);
      return { traceId, spanId };
    };

    before(async () => {
      collector = await Collector.start();
      mesh = await TestMesh.start(NODES, true, { workers, keys: [`telemetry: [${kinds[kind](collector)}]`] });
      caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.97.1.10', node: 'node-1' });
      far = await mesh.pod(
        { namespace: 'shop', name: 'world-2', ip: '127.97.2.11', node: 'node-2' },
        (request, response) => {
          received = request.headers;
          response.end('world');
        },
      );
      await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
      await mesh.endpoints('shop', 'world', [far]);
      await until(
        () => askWorld(''),
        (status) => status === 200,
      );
    });
    after(async () => {
      await mesh.stop();
      await collector.stop();
    });

    test('l5d-sample begins a trace: a client span of one daemon, a server span of the other, and the application told', async () => {
      assert.equal(await askWorld(FORCED), 200);
      const { traceId, spanId } = idsSent();
      const spans = await spansOf(traceId, 2);
      const [client, server] = [ofKind(spans, 'CLIENT'), ofKind(spans, 'SERVER')];
      assert.equal(client.parentSpanId, undefined);
      assert.equal(server.parentSpanId, client.spanId);
      assert.equal(server.spanId, spanId, 'the span that the application is told of is the one exported');
      assert.equal(received['l5d-sample'], undefined);
      assert.deepEqual([client.name, server.name], ['GET world.shop', 'GET world.shop']);
      assert.deepEqual([client.error, server.error], [undefined, undefined]);
      assert.ok(client.startMs <= server.startMs + 1 && client.durationMs + 1 >= server.durationMs);
      const { attributes } = client;
      assert.deepEqual(
        [
          attributes['http.request.method'],
          attributes['http.response.status_code'],
          attributes['url.path'],
          attributes['server.address'],
          attributes['user_agent.original'],
          attributes['k8s.pod.name'],
          attributes['nodemesh.dst_pod'],
          attributes['network.peer.address'],
        ],
        ['GET', '200', '/a', 'world', 'test/1', 'hello', 'world-2', NODES['node-2']],
      );
      assert.deepEqual(
        [server.attributes['k8s.pod.name'], server.attributes['nodemesh.src_pod']],
        ['world-2', 'hello'],
      );
      assert.ok(!JSON.stringify(spans).includes('secret'), 'no query string');
    });

    test('a sampled context goes on, in the form that it came in and as traceparent', async () => {
      for (const [context, form] of [
        [`traceparent: 00-${TRACE}-${PARENT}-01\r\ntracestate: rojo=1\r\ntracestate: congo=2`, 'tracestate'],
        [`b3: ${TRACE}-${PARENT}-1`, 'b3'],
        [`X-B3-TraceId: ${TRACE}\r\nX-B3-SpanId: ${PARENT}\r\nX-B3-Sampled: 1`, 'x-b3-spanid'],
        [`l5d-ctx-trace: ${l5d(TRACE, PARENT)}`, 'l5d-ctx-trace'],
      ] as const) {
        const before = collector.spans.length;
        assert.equal(await askWorld(context), 200);
        const { traceId, spanId } = idsSent();
        assert.equal(traceId, TRACE);
        await collector.until(({ spans }) => spans.slice(before).length >= 2);
        const spans = collector.spans.slice(before);
        const [client, server] = [ofKind(spans, 'CLIENT'), ofKind(spans, 'SERVER')];
        assert.deepEqual([client.traceId, client.parentSpanId], [TRACE, PARENT], form);
        assert.deepEqual([server.parentSpanId, server.spanId], [client.spanId, spanId], form);
        const sent = received[form];
        if (form === 'tracestate') assert.equal(sent, 'rojo=1,congo=2');
        else if (form === 'b3') assert.equal(sent, `${TRACE}-${spanId}-1-${client.spanId}`);
        else if (form === 'x-b3-spanid') assert.equal(sent, spanId);
        else assert.equal(sent, undefined, 'clearContext keeps it from going on');
      }
    });

    test('what is not sampled passes as it is, and nothing is exported', async () => {
      const before = collector.spans.length;
      const sampledOff = `00-${TRACE}-${PARENT}-00`;
      assert.equal(await askWorld(`traceparent: ${sampledOff}\r\ntracestate: a=b , c=d`), 200);
      assert.deepEqual([received.traceparent, received.tracestate], [sampledOff, 'a=b , c=d']);
      assert.equal(await askWorld('b3: 0\r\nl5d-sample: 1.0'), 200);
      assert.deepEqual([received.b3, received.traceparent], ['0', undefined]);
      assert.equal(await askWorld('traceparent: garbage\r\nl5d-sample: 0'), 200);
      assert.equal(received.traceparent, 'garbage');
      for (let i = 0; i < 10; i += 1) assert.equal(await askWorld(''), 200);
      assert.equal(received.traceparent, undefined);
      // A trace that follows has left with all that was before it.
      assert.equal(await askWorld(FORCED), 200);
      await spansOf(idsSent().traceId, 2);
      assert.equal(collector.spans.length - before, 2);
    });

    test('attempts that failed are events, and errors of the mesh are told', async () => {
      const dead = { namespace: 'shop', name: 'world-9', ip: '127.97.2.19', node: 'node-2' };
      await mesh.register(dead);
      await mesh.endpoints('shop', 'world', [{ ...dead, port: 9 }, far]);
      await until(
        () => askWorld(FORCED),
        () => collector.spans.some(({ kind: of, events }) => of === 'CLIENT' && events.length > 0),
      );
      const client = collector.spans.find(({ kind: of, events }) => of === 'CLIENT' && events.length > 0);
      const [event] = client?.events ?? [];
      assert.equal(event?.name, 'retry');
      assert.deepEqual(
        [event?.attributes['nodemesh.dst_pod'], event?.attributes['nodemesh.reason']],
        ['world-9', 'connect_failed'],
      );
      assert.deepEqual([client?.error, client?.attributes['nodemesh.dst_pod']], [undefined, 'world-2']);
      const failed = await spansOf(client?.traceId ?? '', 3);
      assert.ok(failed.some((span) => span.kind === 'SERVER' && span.error === 'connect_failed'));
      await askWorld(`traceparent: 00-${'c'.repeat(32)}-${PARENT}-01`, 'http://nobody.shop.svc.cluster.local/');
      const [unknown] = await spansOf('c'.repeat(32), 1);
      assert.equal(unknown?.error, 'unknown_name');
    });

    test('what was exported is counted', async () => {
      for (const node of ['node-1', 'node-2'] as const) {
        const text = await until(
          () => mesh.daemon(node).metrics(),
          (metrics) => metricValue(metrics, 'trace_spans_total', { result: 'exported' }) > 0,
        );
        assert.equal(metricValue(text, 'trace_spans_total', { result: 'failed' }), 0);
        assert.equal(metricValue(text, 'trace_spans_total', { result: 'dropped' }), 0);
      }
      if (kind === 'otlp') assert.ok(collector.headers.every((headers) => headers['x-token'] === 't'));
    });
  });
}

/** linkerd's form of a span without a parent, sampled. */
function l5d(traceId: string, spanId: string): string {
  const flags = '0000000000000006';
  return Buffer.from(`${spanId}${spanId}${traceId.slice(16)}${flags}${traceId.slice(0, 16)}`, 'hex').toString('base64');
}
