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
