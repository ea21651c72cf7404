import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeadFields } from '../../daemon/http/fields.ts';
import { type FoundMessage, readRequest, readResponse } from '../../daemon/http/message-head.ts';
import { readQuickRequest, readQuickResponse } from '../../daemon/http/quick-head.ts';
import { fuzzPlan } from '../support/differential.ts';
import { REQUESTS, RESPONSES, TUNNEL_REQUESTS } from '../support/http-corpus.ts';
import { mutate, seededRandom } from '../support/mutations.ts';

/** What clients of several languages send, and what daemons send each other. */
const USUAL_REQUESTS = [
  'GET http://web/64 HTTP/1.1\r\nHost: web\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n',
  'GET / HTTP/1.1\r\nHost: web.shop:80\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n',
  'POST http://web/orders?x=1 HTTP/1.1\r\nAccept: application/json\r\nContent-Type: application/json\r\nUser-Agent: Java-http-client/17\r\nHost: web\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}',
  'GET http://web/ HTTP/1.1\r\nHost: web\r\nUser-Agent: python-requests/2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: close\r\n\r\n',
  'PUT /a HTTP/1.1\r\nhost: web\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n0\r\n\r\n',
  'POST /b3 HTTP/1.1\r\nHost: web\r\nX-Request-Id: 7\r\nX-B3-TraceId: 80f198ee56343ba864fe8b2a57d3eff7\r\nX-B3-SpanId: e457b5a2e4d86bd1\r\nx-b3-sampled: 1\r\nB3: 0\r\nl5d-ctx-trace: AAAA\r\nl5d-sample: 1.0\r\nl5d-ctx-dtab: /a\r\nTraceState: a=b\r\nContent-Length: 0\r\n\r\n',
  'GET /64 HTTP/1.1\r\nHost: web\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nl5d-dst-override: x\r\nVia: 1.1 nodemesh-node-1\r\nmesh-endpoint: 10.1.2.3:80\r\nmesh-service: web.shop\r\nmesh-deadline-ms: 100\r\n\r\n',
];
const USUAL_RESPONSES = [
  'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 201 Created\r\nDate: Mon, 05 Jan 2026 00:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 503 \r\nServer: app\r\nContent-Length: 0\r\nl5d-err: no_endpoints\r\nmesh-error: no_endpoints\r\nmesh-retryable: true\r\nVia: 1.1 a\r\nConnection: close\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n',
];

const NAMES = [
  'mesh-endpoint',
  'mesh-service',
  'mesh-error',
  'mesh-retryable',
  'proxy-authorization',
  'content-length',
];

/** Everything that a head says, fields as they would travel on. */
function meaning({ head, bodyOffset }: FoundMessage<{ readonly fields: HeadFields }>): unknown {
  const { fields, ...rest } = head;
  return [
    rest,
    bodyOffset,
    fields.list,
    fields.classes,
    fields.via,
    NAMES.map((name) => fields.value(name)),
    [false, true].flatMap((dropL5d) =>
      ([undefined, 'sample', 'all'] as const).map((dropTrace) => fields.forwardedLines('', { dropL5d, dropTrace })),
    ),
  ];
}

test('the usual heads are read quickly, as the strict reading has them', () => {
  for (const text of USUAL_REQUESTS) {
    const bytes = Buffer.from(`\r\n${text}`, 'latin1');
    const quick = readQuickRequest(bytes, 2);
    const strict = readRequest(bytes, 2);
    assert.ok(quick !== undefined && strict !== undefined, text);
    assert.deepEqual(meaning(quick), meaning(strict));
  }
  for (const text of USUAL_RESPONSES) {
    const bytes = Buffer.from(`x${text}`, 'latin1');
    const quick = readQuickResponse(bytes, 1, 'GET');
    const strict = readResponse(bytes, 1, 'GET');
    assert.ok(quick !== undefined && strict !== undefined, text);
    assert.deepEqual(meaning(quick), meaning(strict));
  }
});

test('of heads that are cut short, the quick reading says nothing', () => {
  for (const text of USUAL_REQUESTS) {
    const bytes = Buffer.from(text, 'latin1');
    const end = text.indexOf('\r\n\r\n') + 4;
    for (let length = 0; length < end; length += 1) {
      assert.equal(readQuickRequest(bytes.subarray(0, length), 0), undefined);
    }
  }
  for (const text of USUAL_RESPONSES) {
    const bytes = Buffer.from(text, 'latin1');
    const end = text.indexOf('\r\n\r\n') + 4;
    for (let length = 0; length < end; length += 1) {
      assert.equal(readQuickResponse(bytes.subarray(0, length), 0, 'GET'), undefined);
    }
  }
});

test('a head over 8 KB is left to the strict reading', () => {
  const start = 'GET / HTTP/1.1\r\nHost: web\r\nX: ';
  const of = (bytes: number) => Buffer.from(`${start}${'x'.repeat(bytes - start.length - 4)}\r\n\r\n`);
  assert.ok(readQuickRequest(of(8 * 1024), 0));
  assert.equal(readQuickRequest(of(8 * 1024 + 1), 0), undefined);
});

test('of mutated heads the quick reading takes none otherwise than the strict one', (t) => {
  const { seed, count } = fuzzPlan(60_000);
  const requests = [...USUAL_REQUESTS, ...[...REQUESTS, ...TUNNEL_REQUESTS].map(({ bytes }) => bytes)];
  const responses = [...USUAL_RESPONSES, ...RESPONSES.map(({ bytes }) => bytes)];
  t.diagnostic(`NODEMESH_FUZZ_SEED=${seed} NODEMESH_FUZZ_COUNT=${count}`);
  let taken = 0;
  for (let i = 0; i < count; i += 1) {
    const random = seededRandom(seed + i);
    const corpus = i % 2 === 0 ? requests : responses;
    const bytes = Buffer.from(mutate(corpus[Math.floor(random() * corpus.length)] as string, corpus, random), 'latin1');
    const quick = i % 2 === 0 ? readQuickRequest(bytes, 0) : readQuickResponse(bytes, 0, 'GET');
    if (quick === undefined) continue;
    taken += 1;
    const again = `again: NODEMESH_FUZZ_SEED=${seed + i - (i % 2)} NODEMESH_FUZZ_COUNT=2`;
    const strict = i % 2 === 0 ? readRequest(bytes, 0) : readResponse(bytes, 0, 'GET');
    assert.ok(strict !== undefined, again);
    assert.deepEqual(meaning(quick), meaning(strict), again);
  }
  assert.ok(count < 100 || taken > 0);
});
