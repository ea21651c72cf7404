import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { after, before, describe, mock, test } from 'node:test';
import { PLAINTEXT } from '../../daemon/client/connector.ts';
import { Http1ClientConnection } from '../../daemon/client/http1-client-connection.ts';
import type { Exchange } from '../../daemon/http/exchange.ts';
import { NO_BODY } from '../../daemon/http/message-head.ts';
import { type ConnectionHost, Http1ServerConnection } from '../../daemon/listener/http1-server-connection.ts';
import { DirectSocket } from '../support/codec-readers.ts';
import { splitAnswers } from '../support/raw-http.ts';

const MINUTE = 60_000;
const CALLER = { address: '127.0.0.1', port: 1 };
const HOST: Omit<ConnectionHost, 'handle'> = {
  draining: false,
  now: () => 0,
  onClosed() {},
  onRefused() {},
  admit: () => undefined,
  release() {},
  refusalLines: () => '',
};

/** One accepted connection whose only request has arrived as far as it has been sent. */
interface Held {
  readonly caller: Socket;
  readonly connection: Http1ServerConnection;
  readonly exchange: Exchange;
  /** Settles when this many bytes of the body have been handed on. */
  received(bytes: number): Promise<void>;
  /** What the sink answers to the next piece: whether more may come. */
  takesMore: boolean;
  readonly gone: Promise<void>;
  readonly refused: string[];
}

describe('a body that stalls', () => {
  const server = createServer({ allowHalfOpen: true });

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  async function begin(bytes: string): Promise<Held> {
    const refused: string[] = [];
    const gone = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<Exchange>();
    let count = 0;
    let waiting: { bytes: number; resolve: () => void } | undefined;
    const host: ConnectionHost = {
      ...HOST,
      onRefused: ({ code }) => refused.push(code),
      handle(exchange) {
        exchange.watcher = { onCallerGone: gone.resolve, onCallerWritable() {} };
        arrived.resolve(exchange);
      },
    };
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const caller = connect((server.address() as AddressInfo).port, '127.0.0.1');
    caller.on('error', () => {});
    caller.write(bytes);
    const [socket] = await accepted;
    const connection = new Http1ServerConnection(socket, CALLER, host);
    const exchange = await arrived.promise;
    const held: Held = {
      caller,
      connection,
      exchange,
      takesMore: true,
      gone: gone.promise,
      refused,
      received: (bytes) =>
        new Promise((resolve) => {
          if (count >= bytes) resolve();
          else waiting = { bytes, resolve };
        }),
    };
    exchange.readBody({
      write(piece) {
        count += piece.length;
        if (waiting !== undefined && count >= waiting.bytes) waiting.resolve();
        return held.takesMore;
      },
      flush() {},
      end() {},
    });
    return held;
  }

  async function answerTo({ caller }: Held): Promise<string> {
    let text = '';
    caller.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
    });
    await new Promise((resolve) => caller.on('close', resolve)); // a reset is an end too
    return text;
  }

  const POST = 'POST http://web/ HTTP/1.1\r\nHost: web\r\n';

  for (const [name, bytes] of [
    ['Content-Length', `${POST}Content-Length: 10\r\n\r\nabc`],
    ['chunked, in a chunk', `${POST}Transfer-Encoding: chunked\r\n\r\n5\r\nabc`],
    ['chunked, between chunks', `${POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`],
  ] as const) {
    test(`${name}: 408 after a minute of silence, and the request is cancelled`, async () => {
      const held = await begin(bytes);
      await held.received(3);
      held.connection.sweep(1_000);
      held.connection.sweep(1_000 + MINUTE);
      assert.deepEqual(held.refused, []);
      held.connection.sweep(1_001 + MINUTE);
      await held.gone;
      const [answer] = splitAnswers(await answerTo(held));
      assert.deepEqual([answer?.status, answer?.fields['l5d-err']], [408, 'body_timeout']);
      assert.equal(answer?.fields.connection, 'close');
      assert.deepEqual(held.refused, ['body_timeout']);
    });
  }

  test('each byte starts the minute anew', async () => {
    const held = await begin(`${POST}Content-Length: 10\r\n\r\nabc`);
    await held.received(3);
    for (let i = 0; i < 5; i += 1) {
      held.connection.sweep(i * MINUTE);
      held.caller.write('x');
      await held.received(4 + i);
    }
    assert.deepEqual(held.refused, []);
    held.caller.destroy();
    await held.gone;
  });

  test('a caller that is held back by the application is waited for', async () => {
    const held = await begin(`${POST}Content-Length: 10\r\n\r\n`);
    held.takesMore = false;
    held.caller.write('abc');
    await held.received(3);
    held.connection.sweep(0);
    held.connection.sweep(10 * MINUTE);
    assert.deepEqual(held.refused, []);
    held.exchange.resumeBody();
    held.connection.sweep(11 * MINUTE);
    assert.deepEqual(held.refused, []);
    held.connection.sweep(11 * MINUTE + 1);
    await held.gone;
    assert.deepEqual(held.refused, ['body_timeout']);
    held.caller.destroy();
  });

  test('a caller that waits for 100 (Continue) is waited for until it has come', async () => {
    const held = await begin(`${POST}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
    held.connection.sweep(0);
    held.connection.sweep(10 * MINUTE);
    assert.deepEqual(held.refused, []);
    held.exchange.inform(100, 'Continue', '');
    held.connection.sweep(11 * MINUTE + 1);
    await held.gone;
    assert.deepEqual(held.refused, ['body_timeout']);
    held.caller.destroy();
  });

  test('an answer that has begun is cut, so that it does not look complete', async () => {
    const held = await begin(`${POST}Content-Length: 10\r\n\r\nabc`);
    await held.received(3);
    held.exchange.respond({ status: 200, reason: 'OK', fieldLines: '', framing: { kind: 'chunked' } });
    held.exchange.writeBody(Buffer.from('half'));
    held.connection.sweep(0);
    held.connection.sweep(MINUTE + 1);
    await held.gone;
    assert.ok(!(await answerTo(held)).endsWith('0\r\n\r\n'));
  });

  test('a complete body waits for its answer without limit', async () => {
    const held = await begin(`${POST}Content-Length: 3\r\n\r\nabc`);
    await held.received(3);
    held.connection.sweep(0);
    held.connection.sweep(1_000 * MINUTE);
    held.exchange.respond({ status: 204, reason: 'No Content', fieldLines: '', framing: NO_BODY });
    held.exchange.endBody([]);
    held.caller.end();
    assert.match(await answerTo(held), /^HTTP\/1\.1 204 /);
  });
});

describe('an answer that is not taken', () => {
  const MORE_THAN_KERNELS_HOLD = Buffer.alloc(64 * 1024 * 1024);
  const LIMIT = 5 * MINUTE;
  const server = createServer({ allowHalfOpen: true });

  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  interface Untaken {
    readonly caller: Socket;
    readonly connection: Http1ServerConnection;
    readonly exchange: Exchange;
    readonly refused: string[];
    readonly released: Promise<void>;
    readonly gone: Promise<void>;
    /** Settles when the caller has taken all that was written. */
    taken(): Promise<void>;
  }

  /** A request whose answer of `length` bytes has begun, to a caller that does not read. */
  async function begin(length: number): Promise<Untaken> {
    const refused: string[] = [];
    const [gone, released, arrived] = [
      Promise.withResolvers<void>(),
      Promise.withResolvers<void>(),
      Promise.withResolvers<Exchange>(),
    ];
    let onTaken = () => {};
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const caller = connect((server.address() as AddressInfo).port, '127.0.0.1');
    caller.on('error', () => {});
    caller.write('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n');
    const [socket] = await accepted;
    const connection = new Http1ServerConnection(socket, CALLER, {
      ...HOST,
      release: () => released.resolve(),
      onRefused: ({ code }) => refused.push(code),
      handle(exchange) {
        exchange.watcher = { onCallerGone: gone.resolve, onCallerWritable: () => onTaken() };
        exchange.readBody({ write: () => true, flush() {}, end() {} });
        arrived.resolve(exchange);
      },
    });
    const exchange = await arrived.promise;
    exchange.respond({ status: 200, reason: 'OK', fieldLines: '', framing: { kind: 'length', length } });
    assert.equal(exchange.writeBody(MORE_THAN_KERNELS_HOLD), false);
    const taken = () =>
      new Promise<void>((resolve) => {
        onTaken = resolve;
      });
    return { caller, connection, exchange, refused, released: released.promise, gone: gone.promise, taken };
  }

  /** How a caller that reads again sees its connection end, and after how many bytes. */
  async function endOf(caller: Socket): Promise<[number, string | undefined]> {
    const failed = once(caller, 'error') as Promise<[NodeJS.ErrnoException]>;
    let received = 0;
    caller.on('data', (piece: Buffer) => {
      received += piece.length;
    });
    return [received, (await failed)[0].code];
  }

  test('after five minutes the connection is reset, the request cancelled and its place given back', async () => {
    const { caller, connection, refused, gone, released } = await begin(2 * MORE_THAN_KERNELS_HOLD.length);
    connection.sweep(1_000);
    connection.sweep(1_000 + LIMIT);
    assert.deepEqual(refused, []);
    connection.sweep(1_001 + LIMIT);
    await gone;
    await released;
    connection.sweep(2 * LIMIT + 2_000);
    assert.deepEqual(refused, ['send_timeout']);
    const [received, code] = await endOf(caller);
    assert.equal(code, 'ECONNRESET');
    assert.ok(received < MORE_THAN_KERNELS_HOLD.length);
  });

  test('also where all of it has been handed over, and the connection only waits to be closed', async () => {
    const { caller, connection, exchange, refused } = await begin(MORE_THAN_KERNELS_HOLD.length);
    caller.end();
    exchange.endBody([]);
    connection.drain();
    connection.sweep(0);
    connection.sweep(LIMIT + 1);
    assert.deepEqual(refused, ['send_timeout']);
    assert.equal((await endOf(caller))[1], 'ECONNRESET');
  });

  test('each piece that is taken starts the time anew', async () => {
    const { caller, connection, exchange, refused, taken } = await begin(3 * MORE_THAN_KERNELS_HOLD.length);
    connection.sweep(0);
    const first = taken();
    caller.resume();
    await first;
    caller.pause();
    connection.sweep(LIMIT); // nothing waits
    exchange.writeBody(MORE_THAN_KERNELS_HOLD);
    connection.sweep(2 * LIMIT);
    exchange.writeBody(MORE_THAN_KERNELS_HOLD);
    const second = taken();
    connection.sweep(3 * LIMIT);
    assert.deepEqual(refused, []);
    caller.resume();
    await second;
    caller.destroy();
  });
});

test('requests that are sent without reading the answers wait until those are taken', () => {
  const socket = new DirectSocket();
  const asked: string[] = [];
  const connection = new Http1ServerConnection(socket.asSocket(), CALLER, {
    ...HOST,
    handle(exchange) {
      asked.push(exchange.request.target);
      exchange.readBody({ write: () => true, flush() {}, end() {} });
      exchange.respond({ status: 204, reason: 'No Content', fieldLines: '', framing: NO_BODY });
      exchange.endBody([]);
    },
  });
  const request = (path: string) => `GET http://web/${path} HTTP/1.1\r\nHost: web\r\n\r\n`;
  socket.deliver([Buffer.from(request('a'))]);
  socket.full = true;
  socket.deliver([Buffer.from(`${request('b')}${request('c')}GET http://web/d`)]);
  assert.deepEqual(asked, ['http://web/a']);
  assert.equal(socket.paused, true);
  connection.sweep(MINUTE);
  assert.ok(!socket.written.includes('408'), 'no head is late that is not looked for');
  socket.full = false;
  socket.emit('drain');
  assert.deepEqual(asked, ['http://web/a', 'http://web/b', 'http://web/c']);
  assert.equal(socket.paused, false);
});

test('interim answers without end are held back like any other', () => {
  const [callerSide, appSide] = [new DirectSocket(), new DirectSocket()];
  const app = new Http1ClientConnection(
    { ip: '127.0.0.1', port: 1 },
    { ...PLAINTEXT, connect: () => appSide.asSocket() },
    { now: () => 0, onIdle() {}, onGone() {} },
  );
  new Http1ServerConnection(callerSide.asSocket(), CALLER, {
    ...HOST,
    handle(exchange) {
      exchange.watcher = { onCallerGone() {}, onCallerWritable: () => app.resume() };
      exchange.readBody({ write: () => true, flush() {}, end() {} });
      app.send('GET', 'GET / HTTP/1.1\r\n', NO_BODY, {
        asksForTunnel: false,
        onInformation: ({ status, reason }) => exchange.inform(status, reason, ''),
        onTunnel() {},
        onAnswer() {},
        onAnswerData: () => true,
        onAnswerEnd() {},
        onReadDone() {},
        onUpstreamWritable() {},
        onUpstreamError() {},
      });
    },
  });
  callerSide.deliver([Buffer.from('GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n')]);
  const hints = Buffer.from('HTTP/1.1 103 Early Hints\r\n\r\n');
  appSide.deliver([hints]);
  assert.equal(appSide.paused, false);
  callerSide.full = true;
  appSide.deliver([hints]);
  assert.equal(appSide.paused, true);
  callerSide.full = false;
  callerSide.emit('drain');
  assert.equal(appSide.paused, false);
  assert.equal(callerSide.written, 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(2));
});

test('an answer that ends its connection is never cut for a caller that reads slowly', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const socket = new DirectSocket();
    let exchange: Exchange | undefined;
    new Http1ServerConnection(socket.asSocket(), CALLER, {
      ...HOST,
      handle(one) {
        exchange = one;
        one.readBody({ write: () => true, flush() {}, end() {} });
      },
    });
    socket.deliver([Buffer.from('GET http://web/ HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n')]);
    exchange?.respond({ status: 200, reason: 'OK', fieldLines: '', framing: { kind: 'length', length: 4 } });
    exchange?.writeBody(Buffer.from('slow'));
    exchange?.endBody([]);
    mock.timers.tick(10 * MINUTE);
    assert.equal(socket.destroyed, false, 'closed before all was out');
    socket.onFinished?.();
    mock.timers.tick(MINUTE);
    assert.equal(socket.destroyed, true);
  } finally {
    mock.timers.reset();
  }
});
