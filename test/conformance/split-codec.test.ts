import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Reading, readRequests, readResponse } from '../support/codec-readers.ts';
import { REQUESTS, RESPONSES, STRAY_BYTES, TUNNEL_REQUESTS } from '../support/http-corpus.ts';

/** Every way to cut bytes in two, and into single bytes. */
function* cuts(bytes: Buffer): Generator<Buffer[]> {
  for (let at = 1; at < bytes.length; at += 1) yield [bytes.subarray(0, at), bytes.subarray(at)];
  yield Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
}

function sameHoweverItArrives(
  bytes: string,
  read: (pieces: Buffer[]) => Reading,
  check: (whole: Reading) => void,
): void {
  const whole = Buffer.from(bytes, 'latin1');
  const expected = read([whole]);
  check(expected);
  for (const pieces of cuts(whole)) {
    assert.deepEqual(read(pieces), expected, `cut into ${pieces.map((piece) => piece.length)}`);
  }
}

describe('a message split at every byte is read as in one piece', () => {
  for (const { name, bytes } of [...REQUESTS, ...TUNNEL_REQUESTS]) {
    test(`request: ${name}`, () => {
      sameHoweverItArrives(bytes, readRequests, ({ messages, refusal }) => {
        assert.equal(refusal, undefined);
        assert.ok(messages.length > 0 && messages.every(({ complete }) => complete));
      });
    });
  }

  for (const { name, method, bytes, closes } of [...RESPONSES, STRAY_BYTES]) {
    test(`response: ${name}`, () => {
      sameHoweverItArrives(
        bytes,
        (pieces) => readResponse(pieces, { method, ends: closes }),
        ({ messages, refusal }) => {
          assert.equal(refusal, undefined);
          assert.ok(messages.length > 0 && messages.every(({ complete }) => complete));
        },
      );
    });
  }
});

describe('the limits of a head are the same however it arrives', () => {
  const line = (length: number) => `GET /${'a'.repeat(length - 'GET / HTTP/1.1'.length)} HTTP/1.1\r\n`;
  const fields = (length: number) => {
    const [start, filler] = ['GET / HTTP/1.1\r\nHost: web\r\n', `X-A: ${'a'.repeat(993)}\r\n`];
    const filled = start + filler.repeat(Math.floor((length - start.length) / filler.length) - 1);
    return `${filled}X-B: ${'b'.repeat(length - filled.length - 'X-B: '.length)}\r\n\r\n`;
  };
  for (const [what, text, around, refusal] of [
    ['a line of 8192 bytes', `${line(8_192)}Host: web\r\n\r\n`, 8_192, undefined],
    ['a line of 8193 bytes', `${line(8_193)}Host: web\r\n\r\n`, 8_193, 'target_too_long'],
    ['a head of 65536 bytes', fields(65_536), 65_536, undefined],
    ['a head of 65537 bytes', fields(65_537), 65_537, 'head_too_large'],
  ] as const) {
    test(`${what}: ${refusal ?? 'read'}`, () => {
      const bytes = Buffer.from(text, 'latin1');
      assert.equal(readRequests([bytes]).refusal, refusal);
      for (let at = around - 5; at < Math.min(around + 6, bytes.length); at += 1) {
        for (const pieces of [
          [bytes.subarray(0, at), bytes.subarray(at)],
          [bytes.subarray(0, at), bytes.subarray(at, at + 1), bytes.subarray(at + 1)],
        ]) {
          assert.equal(readRequests(pieces).refusal, refusal, `cut at ${at}`);
        }
      }
    });
  }
});
