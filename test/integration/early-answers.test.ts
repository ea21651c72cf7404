import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { PLAINTEXT } from '../../daemon/client/connector.ts';
import { Http1ClientConnection } from '../../daemon/client/http1-client-connection.ts';
import type { ResponseSink } from '../../daemon/http/exchange.ts';
import { NO_BODY } from '../../daemon/http/message-head.ts';
import { runDiscoDaemon } from '../support/daemon.ts';
import { RawServer, splitAnswers } from '../support/raw-http.ts';

const TOO_LARGE = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nlong';
const BODY_BYTES = 32 * 1024 * 1024;
const ROUNDS = 10;

/** How an application that has answered without reading all goes on. */
const MANNERS: Readonly<Record<string, (socket: Socket) => void>> = {
  'closes its side and reads no more': (socket) => {
    socket.pause();
    socket.end(TOO_LARGE);
  },
  'closes, with much unread': (socket) => {
    socket.pause();
    socket.write(TOO_LARGE, () => socket.destroy());
  },
  'resets the connection': (socket) => {
    socket.pause();
    socket.write(TOO_LARGE, () => socket.resetAndDestroy());
  },
  'goes on reading': (socket) => {
    socket.write(TOO_LARGE);
  },
};

describe('an application that answers before it has read the request', () => {
  let behave: (socket: Socket) => void;
  /** After how many bytes it answers. */
  let patience = 0;
  let app: RawServer;
  let connections = 0;
  const ports: Record<string, number> = {};
  const stops: (() => Promise<void>)[] = [];

  before(async () => {
    app = await RawServer.start((socket) => {
      connections += 1;
      let seen = 0;
      socket.on('data', (bytes: Buffer) => {
        const answered = seen > patience;
        seen += bytes.length;
        if (!answered && seen > patience) behave(socket);
      });
    });
    const second = await runDiscoDaemon({ web: [`127.0.0.1 ${app.port}`] });
    const first = await runDiscoDaemon({ web: [`127.0.0.1 ${second.port}`] });
    Object.assign(ports, { 'one hop': second.port, 'two hops': first.port });
    stops.push(
      () => first.stop(),
      () => second.stop(),
      () => app.stop(),
    );
  });
  after(async () => {
    for (const stop of stops) await stop();
  });

  /** Sends a request with a large body as fast as it is taken, and reads the answer beside it. */
  async function post(port: number, framing: string): Promise<string> {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
    });
    socket.on('error', () => {}); // what counts is what came before
    const ended = Promise.race([once(socket, 'end').catch(() => {}), once(socket, 'close')]);
    socket.write(`POST http://web/ HTTP/1.1\r\nHost: web\r\n${framing}\r\n\r\n`);
    const body = Buffer.alloc(BODY_BYTES);
    if (framing.startsWith('Transfer')) socket.write(`${BODY_BYTES.toString(16)}\r\n`);
    socket.write(body);
    await ended;
    socket.destroy();
    return text;
  }

  for (const [manner, how] of Object.entries(MANNERS)) {
    for (const hops of ['one hop', 'two hops']) {
      test(`${manner}: the caller sees the answer, over ${hops}, on a connection that is not used again`, async () => {
        behave = how;
        connections = 0;
        for (let round = 0; round < ROUNDS; round += 1) {
          patience = round % 2 === 0 ? 0 : 1024 * 1024;
          const framing = round % 4 < 2 ? `Content-Length: ${BODY_BYTES}` : 'Transfer-Encoding: chunked';
          const [answer] = splitAnswers(await post(ports[hops] ?? 0, framing));
          assert.deepEqual([answer?.status, answer?.body, answer?.fields.connection], [413, 'long', 'close']);
        }
        assert.equal(connections, ROUNDS);
      });
    }
  }

  test('a caller that reads nothing before it has sent all is listened to meanwhile', async () => {
    behave = MANNERS['resets the connection'] as (socket: Socket) => void;
    patience = 0;
    const socket = connect({ port: ports['one hop'] ?? 0, host: '127.0.0.1' });
    let text = '';
    socket.pause();
    socket.write('POST http://web/ HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n');
    const piece = Buffer.from(`400\r\n${'x'.repeat(0x400)}\r\n`);
    const until = performance.now() + 2_500; // longer than one round of lingering
    while (performance.now() < until) {
      await new Promise<void>((resolve, reject) => socket.write(piece, (error) => (error ? reject(error) : resolve())));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    socket.resume();
    await once(socket, 'end');
    assert.equal(splitAnswers(text)[0]?.status, 413);
    socket.destroy();
  });
});

/** An application in a thread of its own: it answers one GET, then a POST with 413 and a reset, and says when that is done. */
const APPLICATION = `
const { createServer } = require('node:net');
const { parentPort, workerData } = require('node:worker_threads');
const done = new Int32Array(workerData);
createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    if (String(bytes).startsWith('GET')) return socket.write('HTTP/1.1 204 No Content\\r\\n\\r\\n');
    socket.write(${JSON.stringify(TOO_LARGE)}, () => {
      socket.resetAndDestroy();
      setTimeout(() => { Atomics.store(done, 0, 1); Atomics.notify(done, 0); }, 50);
    });
  });
}).listen(0, '127.0.0.1', function () { parentPort.postMessage(this.address().port); });
`;

test('a write that meets the reset before the answer has been read does not lose it', async (t) => {
  const done = new SharedArrayBuffer(4);
  const worker = new Worker(APPLICATION, { eval: true, workerData: done });
  t.after(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [number];
  const connection = new Http1ClientConnection({ ip: '127.0.0.1', port }, PLAINTEXT, {
    now: () => 0,
    onIdle() {},
    onGone() {},
  });
  t.after(() => connection.close());
  const answer = (begin: (sink: ResponseSink) => void) =>
    new Promise<number>((resolve, reject) => {
      begin({
        asksForTunnel: false,
        onTunnel() {},
        onInformation: () => true,
        onAnswer: ({ status }) => resolve(status),
        onAnswerData: () => true,
        onAnswerEnd() {},
        onReadDone() {},
        onUpstreamWritable() {},
        onUpstreamError: ({ error }) => reject(error),
      });
    });
  const first = await answer((sink) => {
    connection.send('GET', 'GET / HTTP/1.1\r\nHost: web\r\n', NO_BODY, sink);
    connection.end([]);
  });
  assert.equal(first, 204);
  const second = await answer((sink) => {
    connection.send('POST', 'POST / HTTP/1.1\r\nHost: web\r\n', { kind: 'length', length: 2_000 }, sink);
    connection.write(Buffer.alloc(1_000));
    Atomics.wait(new Int32Array(done), 0, 0); // nothing is read meanwhile
    connection.write(Buffer.alloc(1_000));
  });
  assert.equal(second, 413);
});
