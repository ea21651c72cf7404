import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type DiscoDaemon, runDiscoDaemon } from '../support/daemon.ts';
import { REQUESTS, RESPONSES } from '../support/http-corpus.ts';
import { RawServer, sendRaw, splitAnswers } from '../support/raw-http.ts';

/** Connections at a time. */
const AT_ONCE = 32;

/** Writes each piece once the other side, which runs in the same process, has had its turn to read the one before. */
async function writeApart(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Bytes in one piece, in two at each place, and one by one: cut 0, 1 … length - 1, length. */
function cutAt(bytes: Buffer, cut: number): Buffer[] {
  if (cut === 0) return [bytes];
  if (cut < bytes.length) return [bytes.subarray(0, cut), bytes.subarray(cut)];
  return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
}

/** Asks for every cut, a few at a time, and compares with the first. */
async function sameForEveryCut(length: number, ask: (cut: number) => Promise<unknown>): Promise<void> {
  const whole = await ask(0);
  for (let start = 1; start <= length; start += AT_ONCE) {
    const cuts = Array.from({ length: Math.min(AT_ONCE, length + 1 - start) }, (_, i) => start + i);
    const seen = await Promise.all(cuts.map(ask));
    for (const [i, one] of seen.entries()) assert.deepEqual(one, whole, `cut ${cuts[i]}`);
  }
}

describe('split at every byte on its way into a daemon', () => {
  let mesh: DiscoDaemon;
  const app = createServer((request, response) => {
    const { method, url, rawHeaders } = request;
    let body = '';
    request.setEncoding('latin1').on('data', (piece: string) => {
      body += piece;
    });
    request.on('end', () => {
      response.sendDate = false;
      response.end(JSON.stringify({ method, url, rawHeaders, body, trailers: request.rawTrailers }));
    });
  });

  before(async () => {
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${(app.address() as AddressInfo).port}`] });
  });
  after(async () => {
    await mesh.stop();
    app.closeAllConnections();
    app.close();
  });

  const END = 'GET http://web/end HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n';

  for (const { name, bytes: text } of REQUESTS) {
    test(`request: ${name}`, async () => {
      const bytes = Buffer.from(text, 'latin1');
      await sameForEveryCut(bytes.length, async (cut) => {
        const socket = connect(mesh.port, '127.0.0.1');
        let answers = '';
        socket.on('data', (piece: Buffer) => {
          answers += piece.toString('latin1');
        });
        const closed = once(socket, 'close');
        await writeApart(socket, cutAt(bytes, cut));
        if (socket.writable) socket.write(END);
        await closed;
        assert.match(answers, /^HTTP\/1\.1 [12]/);
        return answers;
      });
    });
  }
});

describe('split at every byte on its way back into a daemon', () => {
  let mesh: DiscoDaemon;
  let server: RawServer;

  before(async () => {
    server = await RawServer.start((socket) => {
      socket.on('data', async (request: Buffer) => {
        const [, which, cut] = /^\w+ \/(\d+)\/(\d+) /.exec(request.toString('latin1')) ?? [];
        const response = RESPONSES[Number(which)];
        if (response === undefined) return;
        await writeApart(socket, cutAt(Buffer.from(response.bytes, 'latin1'), Number(cut)));
        if (response.closes) socket.end();
      });
    });
    mesh = await runDiscoDaemon({ web: [`127.0.0.1 ${server.port}`] });
  });
  after(async () => {
    await mesh.stop();
    await server.stop();
  });

  for (const [which, { name, method, bytes }] of RESPONSES.entries()) {
    test(`response: ${name}`, async () => {
      await sameForEveryCut(Buffer.byteLength(bytes, 'latin1'), async (cut) => {
        const request = `${method} http://web/${which}/${cut} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`;
        const answers = splitAnswers(await sendRaw(mesh.port, request), method);
        assert.ok(answers.every(({ status }) => status < 500 || status === 599));
        return answers.map(({ status, fields, body, text }) => {
          const trailers = /\r\n0\r\n((?:[^\r]+\r\n)*)\r\n$/.exec(text)?.[1];
          return { status, fields, body, trailers };
        });
      });
    });
  }
});
