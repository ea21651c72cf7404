import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { TraceForm } from '../../daemon/telemetry/tracing/trace-context.ts';
import { ConfigError } from '../../lib/config-file.ts';

const ENVIRONMENT = { nodeName: 'node-1', nodeIp: '10.0.0.1', podNamespace: 'nodemesh' };

function read(telemetry: string, routerKeys = '') {
  const text = `namers: [{kind: io.l5d.fs, rootDir: /disco}]
telemetry: ${telemetry}
routers: [{protocol: http${routerKeys}}]`;
  return parseDaemonConfig('daemon.yaml', text, ENVIRONMENT);
}

function problem(telemetry: string, routerKeys = ''): string {
  try {
    read(telemetry, routerKeys);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return '';
}

test('nothing is traced that is not asked for', () => {
  assert.equal(read('[]').tracing, undefined);
  assert.equal(read('[{kind: nodemesh.tap}]').tracing, undefined);
});

test("linkerd's telemeter: its defaults, and Zipkin's own port", () => {
  assert.deepEqual(read('[{kind: io.l5d.zipkin}]').tracing, {
    sampleRate: 0.001,
    targets: [{ kind: 'zipkin', url: 'http://localhost:9411/api/v2/spans' }],
  });
  const { tracing } = read("[{kind: io.l5d.zipkin, host: '::1', port: 80}]");
  assert.deepEqual(tracing?.targets, [{ kind: 'zipkin', url: 'http://[::1]:80/api/v2/spans' }]);
  assert.match(problem('[{kind: io.l5d.zipkin, port: 9410}]'), /telemetry\[0\]\.port: .*9411; 9410 is that of Scribe/);
});

test('OTLP: where to, with which headers; of several telemeters the highest rate counts', () => {
  const { tracing } =
    read(`[{kind: nodemesh.otlp, endpoint: 'https://c:4318/v1/traces', sampleRate: 0.5, headers: {a: b}},
    {kind: io.l5d.zipkin, sampleRate: 0.1}]`);
  assert.deepEqual(tracing, {
    sampleRate: 0.5,
    targets: [
      { kind: 'zipkin', url: 'http://localhost:9411/api/v2/spans' },
      { kind: 'otlp', url: 'https://c:4318/v1/traces', headers: { a: 'b' } },
    ],
  });
});

test('what cannot be used is told', () => {
  assert.match(problem('[{kind: nodemesh.otlp}]'), /telemetry\[0\]\.endpoint: required: the URL/);
  for (const endpoint of ['collector:4317', 'grpc://collector:4317', '/v1/traces']) {
    assert.match(problem(`[{kind: nodemesh.otlp, endpoint: '${endpoint}'}]`), /endpoint: give the http or https URL/);
  }
  assert.match(
    problem("[{kind: nodemesh.otlp, endpoint: 'https://user:word@c/v1/traces'}]"),
    /endpoint: give no user or password in the URL/,
  );
  for (const rate of ['2', '-1', 'often']) {
    assert.match(problem(`[{kind: io.l5d.zipkin, sampleRate: ${rate}}]`), /sampleRate: give a number from 0 to 1/);
  }
  assert.match(
    problem(`[{kind: nodemesh.otlp, endpoint: 'http://c/', headers: {a: "b\\r\\nc: d"}}]`),
    /headers\.a: give a value of printable/,
  );
  assert.match(
    problem('[]', ', tracePropagator: {kind: x}'),
    /tracePropagator\.kind: give io\.l5d\.default or io\.l5d/,
  );
});

test('tracePropagator: in which forms traces go out beside traceparent', () => {
  const forms = (keys: string) => read('[]', keys).routers[0]?.traceForms;
  assert.equal(forms(''), 0);
  assert.equal(forms(', tracePropagator: {kind: io.l5d.default}'), TraceForm.l5d);
  assert.equal(forms(', tracePropagator: {kind: io.l5d.zipkin}'), TraceForm.b3Fields);
});
