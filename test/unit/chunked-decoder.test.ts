import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkedDecoder, lastChunk } from '../../daemon/http/chunked-decoder.ts';

test('whatever the chunks and however the bytes arrive, the body comes out, and what follows is left', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 8 }),
      fc.array(fc.nat(50)),
      (chunks, cuts) => {
        const encoded = chunks.flatMap((chunk) => [
          Buffer.from(`${chunk.length.toString(16)};a=b\r\n`),
          Buffer.from(chunk),
          Buffer.from('\r\n'),
        ]);
        const wire = Buffer.concat([...encoded, Buffer.from(lastChunk(['X-Sum', '1'])), Buffer.from('NEXT')]);
        const decoder = new ChunkedDecoder();
        const body: Buffer[] = [];
        let at = 0;
        let next = '';
        for (const size of [...cuts.map((cut) => cut + 1), wire.length]) {
          const piece = wire.subarray(at, at + size);
          at += piece.length;
          const taken = decoder.decode(piece, 0, (bytes) => body.push(Buffer.from(bytes)));
          next += piece.toString('latin1', taken);
          if (!decoder.done) assert.equal(taken, piece.length);
        }
        assert.equal(decoder.done, true);
        assert.deepEqual(Buffer.concat(body), Buffer.concat(chunks));
        assert.deepEqual(decoder.trailers, ['X-Sum', '1']);
        assert.equal(next, 'NEXT');
      },
    ),
  );
});
