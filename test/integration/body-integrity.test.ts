import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { createServer, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type MeshPath, MeshPaths, WEB } from '../support/mesh-paths.ts';

/** Many reads long, and no multiple of one. */
const BODY_BYTES = 3 * 1024 * 1024 + 7;
const AT_ONCE = 6;
/** A slow reader pauses behind each so many bytes. */
const GULP_BYTES = 200_000;
const PAUSE_TURNS = 40;

/** Bytes of which no two stretches are alike, another sequence for each `seed`. */
function noise(seed: number): Buffer {
  return createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(BODY_BYTES));
}

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function readSlowly(readable: AsyncIterable<Buffer>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let gulp = 0;
  for await (const piece of readable) {
    pieces.push(piece);
    gulp += piece.length;
    for (let i = 0; gulp > GULP_BYTES && i < PAUSE_TURNS; i += 1) await turn();
    gulp %= GULP_BYTES;
  }
  return Buffer.concat(pieces);
}

for (const [tls, net] of [
  ['off', '127.71'],
  ['required', '127.72'],
] as const) {
  describe(`many bodies at a time, tls: ${tls}`, () => {
    let web: MeshPaths;
    const app = createServer(async (incoming, answer) => {
      const body = await readSlowly(incoming);
      if (incoming.headers['x-chunked'] === undefined) answer.setHeader('Content-Length', body.length);
      answer.end(body);
    });

    before(async () => {
      web = await MeshPaths.start(net, tls);
      web.play((socket: Socket) => app.emit('connection', socket));
    });
    after(async () => {
      await web.stop();
      app.closeAllConnections();
    });

    /** Sends a body, and gives what the application made of it: the same. */
    function echo({ target, dress }: MeshPath, body: Buffer, chunked: boolean): Promise<Buffer> {
      const mesh = dress('POST\r\n').slice('POST\r\n'.length).trimEnd().split('\r\n').filter(Boolean);
      const headers: Record<string, string | number> = { Host: WEB };
      for (const line of mesh) headers[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 1).trim();
      if (chunked) headers['X-Chunked'] = 1;
      else headers['Content-Length'] = body.length;
      const createConnection = () => connect({ host: '127.0.0.1', ...target });
      return new Promise((resolve, reject) => {
        const outgoing = request({ method: 'POST', path: '/', headers, createConnection }, (answer) => {
          readSlowly(answer).then(resolve, reject);
        });
        outgoing.on('error', reject);
        for (let at = 0; at < body.length; at += 50_000) outgoing.write(body.subarray(at, at + 50_000));
        outgoing.end();
      });
    }

    for (const chunked of [false, true]) {
      test(`pass unmixed and unchanged, ${chunked ? 'chunked' : 'of a stated length'}, to and from who reads slowly`, async () => {
        for (const path of web.paths) {
          const bodies = Array.from({ length: AT_ONCE }, (_, seed) => noise(seed + 1));
          const echoes = await Promise.all(bodies.map((body) => echo(path, body, chunked)));
          assert.deepEqual(echoes.map(digest), bodies.map(digest), path.name);
        }
      });
    }
  });
}
