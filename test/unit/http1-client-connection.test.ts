import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Connector, PLAINTEXT } from '../../daemon/client/connector.ts';
import { Http1ClientConnection } from '../../daemon/client/http1-client-connection.ts';
import type { ResponseSink } from '../../daemon/http/exchange.ts';
import { NO_BODY } from '../../daemon/http/message-head.ts';
import { RawServer } from '../support/raw-http.ts';

const BODY_BYTES = 20_000;

for (const next of ['the next', 'one on another connection']) {
  test(`what a slow caller still holds of one answer is not overwritten by ${next}`, (t) =>
    checkLentPiece(t, next === 'the next'));
}

async function checkLentPiece(t: TestContext, sameConnection: boolean): Promise<void> {
  let served = 0;
  const server = await RawServer.start((socket) => {
    socket.on('data', () => {
      const body = (served === 0 ? 'a' : 'b').repeat(BODY_BYTES);
      served += 1;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY_BYTES}\r\n\r\n${body}`);
    });
  });
  const connect = () =>
    new Http1ClientConnection({ ip: '127.0.0.1', port: server.port }, PLAINTEXT, {
      now: () => 0,
      onIdle() {},
      onGone() {},
    });
  const connection = connect();
  const other = sameConnection ? connection : connect();
  t.after(async () => {
    connection.close();
    other.close();
    await server.stop();
  });
  const first = await lastPieceOf(connection);
  const before = first.toString('latin1');
  await lastPieceOf(other);
  assert.equal(served, 2);
  assert.match(before, /^a+$/);
  assert.equal(first.toString('latin1'), before);
}

test('a connection that is no longer wanted ends while it is idle, and not while it is a tunnel', async (t) => {
  const kept = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
  const switched = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n';
  const answers = [kept, kept, switched];
  const server = await RawServer.start((socket) => {
    socket.on('data', () => socket.write(answers.shift() ?? ''));
  });
  t.after(() => server.stop());
  const open = () => {
    const gone = Promise.withResolvers<void>();
    let stale = () => {};
    const connector: Connector = {
      connect(address, events) {
        stale = () => events.onStale?.();
        return PLAINTEXT.connect(address, events);
      },
      explain: PLAINTEXT.explain,
    };
    const owner = { now: () => 0, onIdle() {}, onGone: () => gone.resolve() };
    const connection = new Http1ClientConnection({ ip: '127.0.0.1', port: server.port }, connector, owner);
    return { connection, stale: () => stale(), gone: gone.promise };
  };
  const idle = open();
  await outcomeOf(idle.connection);
  idle.stale();
  await idle.gone;
  const tunnel = open();
  await outcomeOf(tunnel.connection);
  const socket = await outcomeOf(tunnel.connection);
  tunnel.stale();
  assert.equal(socket?.destroyed, false);
  socket?.destroy();
});

/** Sends a request that asks for a switch of protocols; gives the tunnel's socket, or undefined where it is answered. */
function outcomeOf(connection: Http1ClientConnection): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const sink: ResponseSink = {
      asksForTunnel: true,
      onTunnel: (_head, { socket }) => resolve(socket),
      onInformation: () => true,
      onAnswer() {},
      onAnswerData: () => true,
      onAnswerEnd: () => resolve(undefined),
      onReadDone() {},
      onUpstreamWritable() {},
      onUpstreamError: ({ error }) => reject(error),
    };
    connection.send('GET', 'GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n', NO_BODY, sink);
    connection.end([]);
  });
}

/** Sends a request; gives the last piece of its answer, which it has said to be still in use. */
function lastPieceOf(connection: Http1ClientConnection): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let last = Buffer.alloc(0);
    let received = 0;
    const sink: ResponseSink = {
      asksForTunnel: false,
      onTunnel() {},
      onInformation: () => true,
      onAnswer() {},
      onAnswerData(piece) {
        last = piece as Buffer<ArrayBuffer>;
        received += piece.length;
        if (received < BODY_BYTES) setImmediate(() => connection.resume());
        return false;
      },
      onAnswerEnd: () => resolve(last),
      onReadDone() {},
      onUpstreamWritable() {},
      onUpstreamError: ({ error }) => reject(error),
    };
    connection.send('GET', 'GET / HTTP/1.1\r\nHost: web\r\n', NO_BODY, sink);
    connection.end([]);
  });
}
