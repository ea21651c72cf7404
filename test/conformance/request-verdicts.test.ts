import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';
import { sendRaw, splitAnswers } from '../support/raw-http.ts';

/** Each row: what it is, the bytes, the status that RFC 9112 asks for. All end with the connection closed. */
const REFUSED: readonly (readonly [string, string, number])[] = [
  [
    'Content-Length and Transfer-Encoding',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding and Content-Length',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'two Content-Lengths that differ',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!',
    400,
  ],
  [
    'two equal Content-Lengths',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello',
    400,
  ],
  ['Content-Length list', 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 5, 5\r\n\r\nhello', 400],
  ['Content-Length with a sign', 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: +5\r\n\r\nhello', 400],
  ['hexadecimal Content-Length', 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 0x5\r\n\r\nhello', 400],
  ['empty Content-Length', 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: \r\n\r\n', 400],
  [
    'Content-Length over 2^53',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 99999999999999999999\r\n\r\n',
    400,
  ],
  ['Transfer-Encoding: gzip', 'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: gzip\r\n\r\n', 400],
  [
    'Transfer-Encoding: gzip, chunked',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    501,
  ],
  [
    'Transfer-Encoding: chunked, chunked',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding: xchunked',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding with a vertical tab',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'Transfer-Encoding in HTTP/1.0',
    'POST http://web/ HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunk size 0x5',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunk size with a blank',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunk size line with a bare LF',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n',
    400,
  ],
  [
    'chunk size that overflows',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
    400,
  ],
  [
    'chunk longer than its size',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n',
    400,
  ],
  [
    'Content-Length in trailers',
    'POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n',
    400,
  ],
  ['a folded field', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nX-A: a\r\n b\r\n\r\n', 400],
  ['a blank before the colon', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nX-A : a\r\n\r\n', 400],
  ['a line that ends in a bare LF', 'GET http://web/ HTTP/1.1\r\nHost: web\nX-A: a\r\n\r\n', 400],
  ['a bare CR in a value', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nX-A: a\rb\r\n\r\n', 400],
  ['a NUL in a value', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nX-A: a\0b\r\n\r\n', 400],
  ['an empty field name', 'GET http://web/ HTTP/1.1\r\nHost: web\r\n: a\r\n\r\n', 400],
  ['a field without a colon', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nX-A\r\n\r\n', 400],
  ['no Host in HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n', 400],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost: \r\n\r\n', 400],
  ['a Host list', 'GET / HTTP/1.1\r\nHost: web, other\r\n\r\n', 400],
  ['userinfo in Host', 'GET / HTTP/1.1\r\nHost: user@web\r\n\r\n', 400],
  ['userinfo in the target', 'GET http://user@web/ HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['a port over 65535', 'GET / HTTP/1.1\r\nHost: web:99999\r\n\r\n', 400],
  ['an empty port', 'GET / HTTP/1.1\r\nHost: web:\r\n\r\n', 400],
  ['a blank in Host', 'GET / HTTP/1.1\r\nHost: we b\r\n\r\n', 400],
  ['an https:// target', 'GET https://web/ HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['GET *', 'GET * HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['a fragment', 'GET http://web/#a HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['a raw 8-bit target', 'GET http://web/\xe9 HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['a backslash in the target', 'GET http://web\\a HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['two spaces in the request line', 'GET  http://web/ HTTP/1.1\r\nHost: web\r\n\r\n', 400],
  ['HTTP/0.9', 'GET http://web/\r\n\r\n', 400],
  ['HTTP/2.0', 'GET http://web/ HTTP/2.0\r\nHost: web\r\n\r\n', 505],
  ['an unknown expectation', 'GET http://web/ HTTP/1.1\r\nHost: web\r\nExpect: magic\r\n\r\n', 417],
  ['a request line over 8 KiB', `GET http://web/${'a'.repeat(9_000)} HTTP/1.1\r\nHost: web\r\n\r\n`, 414],
  [
    'a head over 64 KiB',
    `GET http://web/ HTTP/1.1\r\nHost: web\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(70)}\r\n`,
    431,
  ],
];

describe('requests that RFC 9112 forbids', () => {
  let upstream: Server;
  let mesh: DiscoDaemon;
  let reached = 0;

  before(async () => {
    upstream = createServer((request, response) => {
      reached += 1;
      request.resume();
      request.on('end', () => response.end('ok'));
      request.on('error', () => {});
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${(upstream.address() as AddressInfo).port}`] });
  });
  after(async () => {
    await mesh.stop();
    upstream.closeAllConnections();
    upstream.close();
  });

  for (const [what, bytes, status] of REFUSED) {
    test(`${what}: ${status}`, async () => {
      const before = reached;
      const [answer, ...more] = splitAnswers(await sendRaw(mesh.port, bytes));
      assert.equal(answer?.status, status);
      assert.equal(more.length, 0);
      assert.match(answer?.fields['l5d-err'] ?? '', /^[a-z_]+$/);
      assert.equal(answer?.fields.connection, 'close');
      const chunked = /Transfer-Encoding: chunked\r\n\r\n/.test(bytes) && !bytes.includes('Content-Length: 5');
      if (!chunked) assert.equal(reached, before, 'it reached the application');
    });
  }

  test('pipelined bytes after a refused request are never read as a request', async () => {
    const before = reached;
    const smuggled =
      'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n';
    const answers = splitAnswers(await sendRaw(mesh.port, smuggled));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [400],
    );
    assert.equal(reached, before);
  });

  test('what is unusual but allowed passes', async () => {
    const bytes = [
      '\r\nGET http://web/ HTTP/1.1\r\nHost: other\r\n\r\n',
      'PURGE /a?b=c HTTP/1.1\r\nhOST: web\r\nContent_Length: 3\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: Chunked\r\n\r\n5;ext="a"\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n',
      'GET http://web HTTP/1.0\r\n\r\n',
    ];
    const answers = splitAnswers(await sendRaw(mesh.port, bytes.join('')));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
  });
});
