import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequestHead } from '../../daemon/http/message-head.ts';
import { contextRules, forwardedHead } from '../../daemon/router/forwarded-head.ts';
import { ExchangeRecord, type HopTarget } from '../../daemon/telemetry/exchange-record.ts';
import { type Attributes, spanOf } from '../../daemon/telemetry/tracing/span.ts';
import { TraceForm } from '../../daemon/telemetry/tracing/trace-context.ts';
import { Tracer } from '../../daemon/telemetry/tracing/tracer.ts';
import { zipkinSpan } from '../../daemon/telemetry/tracing/zipkin-exporter.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const SAMPLED = `traceparent: 00-${TRACE}-${PARENT}-01`;
const CALLER = { address: '10.1.0.5', port: 40_000 };
const POD: HopTarget = { namespace: 'shop', service: 'world', pod: 'world-1', node: 'node-2', backend: '10.1.1.7:80' };

type Role = 'outgoing' | 'incoming';

/** An exchange whose request has these field lines, as a tracer of that rate begins it; every id is 'c's. */
function begun(role: Role, lines: string, sampleRate: number, start = 'GET /a?b=c HTTP/1.1') {
  const tracer = new Tracer({ sampleRate, queues: [], random: () => 0.5, randomHex: (bytes) => 'cc'.repeat(bytes) });
  const request = parseRequestHead(`${start}\r\nHost: world:80${lines && `\r\n${lines}`}`);
  const exchange = { request, caller: CALLER, startedAt: 100 };
  const trace = tracer.begin(exchange, role);
  const clocks = { now: () => 130, wallClock: () => 1_000_030 };
  return { trace, record: new ExchangeRecord(exchange, { role, node: 'node-1', clocks, sinks: [], trace }) };
}

/** The span of an exchange that `happens` has happened to. */
function ended(role: Role, happens: (record: ExchangeRecord) => void, start?: string) {
  const { record, trace } = begun(role, SAMPLED, 0, start);
  happens(record);
  record.end();
  assert.ok(trace !== undefined);
  return spanOf(record, trace);
}

test('who begins a trace: the outgoing router, and the incoming one for whom no daemon has decided', () => {
  for (const [role, lines, rate, sampled] of [
    ['outgoing', '', 0.6, true],
    ['outgoing', '', 0.5, false],
    ['incoming', '', 0.6, true],
    ['incoming', 'mesh-endpoint: 10.1.1.7:80', 1, false],
    ['incoming', `mesh-endpoint: 10.1.1.7:80\r\n${SAMPLED}`, 0, true],
    ['incoming', 'mesh-endpoint: 10.1.1.7:80\r\nl5d-sample: 1', 1, false],
    ['outgoing', 'l5d-sample: 1', 0, true],
    ['outgoing', 'l5d-sample: 0', 1, false],
    ['outgoing', 'l5d-sample: nonsense', 0.6, true],
    ['outgoing', `l5d-sample: 0\r\n${SAMPLED}`, 0, true],
    ['outgoing', `${SAMPLED.slice(0, -2)}00\r\nl5d-sample: 1`, 1, false],
    ['outgoing', `b3: ${TRACE}-${PARENT}`, 0, false],
    ['outgoing', `b3: ${TRACE}-${PARENT}\r\nl5d-sample: 1`, 0, true],
    ['outgoing', 'b3: d', 0, true],
  ] as const) {
    assert.equal(begun(role, lines, rate).trace !== undefined, sampled, `${role} ${lines} ${rate}`);
  }
});

test('a span goes on in the trace that the request belongs to, or begins one', () => {
  assert.deepEqual(begun('outgoing', SAMPLED, 0).trace?.ids, {
    traceId: TRACE,
    spanId: 'c'.repeat(16),
    parentSpanId: PARENT,
  });
  const root = { traceId: 'c'.repeat(32), spanId: 'c'.repeat(16) };
  assert.deepEqual(begun('outgoing', '', 1).trace?.ids, root);
  assert.deepEqual(begun('outgoing', 'b3: 1', 0).trace?.ids, root);
});

test('the head of a request that is traced has its own context alone', () => {
  const target = { authority: 'world', path: '/' };
  const head = (lines: string, rate: number, context: ReturnType<typeof contextRules>) =>
    forwardedHead(
      { request: begun('outgoing', lines, rate).record.request, record: begun('outgoing', lines, rate).record },
      target,
      'me',
      context,
    )
      .split('\r\n')
      .slice(2, -2);
  const [ids, l5d] = [`00-${TRACE}-${'c'.repeat(16)}-01`, 'l5d-ctx-dtab: /a'];
  const tracing = contextRules(false, { tracing: true });
  const both = `X-A: 1\r\n${SAMPLED}\r\nb3: x\r\n${l5d}\r\nl5d-sample: 1\r\ntracestate: a=b`;
  assert.deepEqual(head(both, 0, tracing), ['X-A: 1', l5d, `traceparent: ${ids}`, 'tracestate: a=b']);
  assert.deepEqual(head(both, 0, contextRules(true, { tracing: true })), [
    'X-A: 1',
    `traceparent: ${ids}`,
    'tracestate: a=b',
  ]);
  assert.deepEqual(head(`b3: 0\r\n${l5d}\r\nl5d-sample: 1`, 1, tracing), ['b3: 0', l5d], 'l5d-sample was heeded');
  assert.deepEqual(head('l5d-sample: 0', 1, contextRules(false)), ['l5d-sample: 0'], 'nobody traces');
  const propagating = contextRules(true, { tracing: true, traceForms: TraceForm.l5d });
  assert.match(head('', 1, propagating).join(' '), /^traceparent: 00-c+-c+-01 l5d-ctx-trace: [\w+/=]+$/);
});

test('an outgoing span: who asked whom, and how it went', () => {
  const span = ended('outgoing', (record) => {
    record.from('front', 'hello', 'hello-1');
    record.destined('shop', 'world');
    record.attempt({ ...POD, pod: 'world-0', backend: '10.1.1.6:80' }, '10.0.0.2:4141', 101);
    record.attemptEnded(110);
    record.retried('connect_failed');
    record.attempt(POD, '10.0.0.2:4141', 111);
    record.status = 503;
  });
  assert.deepEqual(
    [span.name, span.kind, span.startMs, span.endMs, span.error, span.local, span.remote],
    ['GET world.shop', 'client', 1_000_000, 1_000_030, '503', 'hello', 'world.shop'],
  );
  assert.deepEqual(pick(span.attributes, 'http', 'url', 'server', 'network', 'k8s', 'error'), {
    'http.request.method': 'GET',
    'http.response.status_code': 503,
    'http.request.resend_count': 1,
    'url.scheme': 'http',
    'url.path': '/a',
    'server.address': 'world',
    'server.port': 80,
    'network.protocol.version': '1.1',
    'network.peer.address': '10.0.0.2',
    'error.type': '503',
    'k8s.namespace.name': 'front',
    'k8s.pod.name': 'hello-1',
  });
  const [event, ...more] = span.events;
  assert.deepEqual([event?.name, event?.atMs, more.length], ['retry', 1_000_010, 0]);
  assert.deepEqual(event?.attributes, {
    'nodemesh.attempt': 1,
    'nodemesh.reason': 'connect_failed',
    'nodemesh.backend': '10.1.1.6:80',
    'nodemesh.dst_pod': 'world-0',
    'nodemesh.peer': '10.0.0.2:4141',
  });
});

test('an incoming span: of the pod that was asked; a 4xx is no error of its', () => {
  const span = ended('incoming', (record) => {
    record.fromPeer = '10.0.0.1:50000';
    record.attempt(POD, '', 101);
    record.status = 404;
  });
  assert.deepEqual([span.kind, span.error, span.local, span.remote], ['server', '', 'world.shop', '']);
  assert.deepEqual(pick(span.attributes, 'k8s', 'client', 'network.peer'), {
    'k8s.namespace.name': 'shop',
    'k8s.pod.name': 'world-1',
    'network.peer.address': '10.1.0.5',
  });
  assert.equal(
    ended('outgoing', (record) => {
      record.status = 404;
    }).error,
    '404',
  );
});

test('methods that nobody knows make no names', () => {
  const span = ended('outgoing', () => {}, 'BREW /pot HTTP/1.1');
  assert.deepEqual(
    [span.name, span.attributes['http.request.method'], span.attributes['http.request.method_original']],
    ['HTTP', '_OTHER', 'BREW'],
  );
});

test("Zipkin's form", () => {
  const span = ended('outgoing', (record) => {
    record.from('front', 'hello', 'hello-1');
    record.attempt(POD, '', 101);
    record.retried('endpoint_out');
    record.failed('no_endpoints');
  });
  const { tags, ...zipkin } = zipkinSpan(span, 'node-1');
  assert.deepEqual(zipkin, {
    traceId: TRACE,
    id: 'c'.repeat(16),
    parentId: PARENT,
    name: 'GET world.shop',
    kind: 'CLIENT',
    timestamp: 1_000_000_000,
    duration: 30_000,
    localEndpoint: { serviceName: 'hello' },
    remoteEndpoint: { serviceName: 'world.shop' },
    annotations: [
      {
        timestamp: 1_000_030_000,
        value:
          'retry nodemesh.attempt=1 nodemesh.reason=endpoint_out nodemesh.backend=10.1.1.7:80 nodemesh.dst_pod=world-1',
      },
    ],
  });
  assert.deepEqual(pick(tags, 'error', 'k8s.node'), {
    error: 'no_endpoints',
    'error.type': 'no_endpoints',
    'k8s.node.name': 'node-1',
  });
});

function pick(attributes: Readonly<Attributes>, ...prefixes: string[]): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).filter(([key]) => prefixes.some((prefix) => key.startsWith(prefix))),
  );
}
