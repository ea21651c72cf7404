import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { beginsRequest } from '../../daemon/http/first-bytes.ts';

/** The verdict once all has come, byte by byte; nothing may be said before that is taken back later. */
function verdict(text: string): boolean | undefined {
  const bytes = Buffer.from(text, 'latin1');
  let settled: boolean | undefined;
  for (let length = 0; length <= bytes.length; length += 1) {
    const said = beginsRequest(bytes.subarray(0, length));
    if (settled === undefined) settled = said;
    else assert.equal(said, settled, `after ${length} bytes of ${JSON.stringify(text)}`);
  }
  return settled;
}

describe('the first bytes inside a CONNECT', () => {
  for (const text of [
    'GET / HTTP/1.1\r\nHost: web\r\n\r\n',
    'POST http://web/a?b HTTP/1.0\r\n',
    'PRIVATE /a HTTP/1.1\r\n',
    'BASELINE-CONTROL /a HTTP/1.1\r\n',
    'CONNECT web:80 HTTP/1.1\r\n',
    'GET / HTTP/2.0\r\n',
    `GET /${'a'.repeat(9_000)} HTTP/1.1\r\n`,
  ]) {
    test(`a request: ${text.slice(0, 40).trim()}`, () => assert.equal(verdict(text), true));
  }

  for (const [what, text] of [
    ['TLS', '\x16\x03\x01\x02\x00'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['SSH', 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n'],
    ['memcached', 'get some:key\r\n'],
    ['memcached, storing', 'set some:key 0 0 5\r\nhello\r\n'],
    ['IRC', 'NICK someone\r\nUSER guest 0 * :Someone\r\n'],
    ['Redis', '*1\r\n$4\r\nPING\r\n'],
    ['Redis, in line', 'PING\r\n'],
    ['Graphite', 'servers.load 0.42 1700000000\n'],
    ['PostgreSQL', '\x00\x00\x00\x08\x04\xd2\x16\x2f'],
    ['two spaces', 'GET  / HTTP/1.1\r\n'],
    ['an empty line', '\r\n'],
    ['a long word', 'a'.repeat(25)],
  ] as const) {
    test(`something else: ${what}`, () => assert.equal(verdict(text), false));
  }

  test('too little to tell', () => {
    for (const text of [
      '',
      'G',
      'GET',
      'PRI',
      'GET ',
      'GET /',
      'GET / ',
      'GET / HTTP',
      'GET / HTTP/1.1',
      'GET / HTTP/1.1\r',
    ]) {
      assert.equal(verdict(text), undefined, text);
    }
  });
});
