import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { MeshPaths, WEB } from '../support/mesh-paths.ts';
import { ask, type RawAnswer, sendRaw, splitAnswers } from '../support/raw-http.ts';

const call = (name: string, type: string, method = 'POST') =>
  `${method} http://${name}/shop.Cart/Get HTTP/1.1\r\nHost: ${name}\r\nContent-Type: ${type}\r\nContent-Length: 0`;

/** What a gRPC client makes of an answer. */
function grpcOf({ status, fields, body }: RawAnswer) {
  const message = decodeURIComponent(fields['grpc-message'] ?? '');
  return {
    http: status,
    type: fields['content-type'],
    code: fields['grpc-status'],
    err: fields['l5d-err'],
    message,
    body,
  };
}

describe("the mesh's own errors to gRPC callers", () => {
  let mesh: DiscoDaemon;
  before(async () => {
    mesh = await runDiscoDaemon({ empty: [] });
  });
  after(() => mesh.stop());

  for (const type of [
    'application/grpc',
    'application/grpc+proto',
    'application/grpc-web-text',
    'Application/gRPC-Web+json',
  ]) {
    test(`${type}: 200 and the status in the head`, async () => {
      const { message, ...answer } = grpcOf(await ask(mesh.port, call('empty', `${type}; charset=utf-8`)));
      assert.deepEqual(answer, { http: 200, type, code: '14', err: 'no_endpoints', body: '' });
      assert.match(message, /^nodemesh: "empty" has no ready endpoints\nCheck that /);
    });
  }

  test('what is beyond ASCII arrives whole', async () => {
    const answer = await ask(mesh.port, `${call('empty', 'application/grpc')}\r\ngrpc-timeout: 5 µs%`);
    assert.deepEqual([answer.status, answer.fields['grpc-status']], [200, '13']);
    assert.match(decodeURIComponent(answer.fields['grpc-message'] ?? ''), /^nodemesh: grpc-timeout "5 .+s%" is not/);
    assert.match(answer.fields['grpc-message'] ?? '', /^[\x20-\x7e]*%25/);
  });

  test('the connection serves on, and metrics have the status of the table', async () => {
    const before = metricValue(await mesh.daemon.metrics(), 'response_total', { status_class: '5xx' });
    const once = `${call('empty', 'application/grpc')}\r\n`;
    const answers = splitAnswers(await sendRaw(mesh.port, `${once}\r\n${once}Connection: close\r\n\r\n`));
    assert.deepEqual(
      answers.map(({ fields }) => fields['grpc-status']),
      ['14', '14'],
    );
    assert.equal(metricValue(await mesh.daemon.metrics(), 'response_total', { status_class: '5xx' }), before + 2);
  });

  for (const [what, head, status] of [
    ['other types', call('empty', 'application/json'), 502],
    ['types that only begin so', call('empty', 'application/grpcx'), 502],
    ['a GET', call('empty', 'application/grpc', 'GET'), 502],
    [
      'a CONNECT, which must not seem to have succeeded',
      'CONNECT empty:80 HTTP/1.1\r\nHost: empty:80\r\nContent-Type: application/grpc',
      502,
    ],
  ] as const) {
    test(`${what}: as ever`, async () => {
      const answer = await ask(mesh.port, head);
      assert.deepEqual([answer.status, answer.fields['grpc-status']], [status, undefined]);
    });
  }
});

test('by way of a daemon: what it says stays as it is, and the caller gets it as gRPC', async () => {
  const paths = await MeshPaths.start('127.94');
  try {
    paths.play((socket: Socket) => socket.once('data', () => socket.destroy()));
    const seen: Record<string, unknown> = {};
    for (const { name, target, dress } of paths.paths) {
      const answer = await ask(target, dress(call(WEB, 'application/grpc')));
      const { 'grpc-status': code, 'l5d-err': err, 'mesh-error': mesh } = answer.fields;
      seen[name] = [answer.status, code, err, mesh];
    }
    assert.deepEqual(seen, {
      outgoing: [200, '14', 'upstream_reset', undefined],
      'incoming by name': [502, undefined, 'upstream_reset', 'upstream_reset'],
      'incoming by pick': [502, undefined, 'upstream_reset', 'upstream_reset'],
      'host to host': [200, '14', 'upstream_reset', undefined],
    });
  } finally {
    await paths.stop();
  }
});
