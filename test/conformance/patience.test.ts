import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import type { Exchange } from '../../daemon/http/exchange.ts';
import { type ConnectionHost, Http1ServerConnection } from '../../daemon/listener/http1-server-connection.ts';
import { DirectSocket } from '../support/codec-readers.ts';

const SECOND = 1_000;
const GET = 'GET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n';

/** One caller on a connection whose time, of the timers and of the sweeps, the test sets. */
class PatientCaller {
  readonly socket = new DirectSocket();
  readonly refused: string[] = [];
  exchange: Exchange | undefined;
  gone = false;
  readonly #connection: Http1ServerConnection;
  #now = 0;

  constructor() {
    const host: ConnectionHost = {
      draining: false,
      now: () => this.#now,
      onClosed() {},
      onRefused: ({ code }) => this.refused.push(code),
      admit: () => undefined,
      release() {},
      refusalLines: () => '',
      handle: (exchange) => {
        this.exchange = exchange;
        exchange.watcher = {
          onCallerGone: () => {
            this.gone = true;
          },
          onCallerWritable() {},
        };
        exchange.readBody({ write: () => true, flush() {}, end() {} });
      },
    };
    this.#connection = new Http1ServerConnection(this.socket.asSocket(), { address: '127.0.0.1', port: 1 }, host);
  }

  send(text: string): void {
    this.socket.deliver([Buffer.from(text, 'latin1')]);
  }

  begin(): void {
    this.exchange?.respond({ status: 200, reason: 'OK', fieldLines: '', framing: { kind: 'chunked' } });
    this.write('event');
  }

  write(text: string): void {
    this.exchange?.writeBody(Buffer.from(text));
    this.exchange?.flush();
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= SECOND) {
      this.#now += SECOND;
      mock.timers.tick(SECOND);
      this.#connection.sweep(this.#now);
    }
  }
}

/** Runs with timers that only `pass` moves. */
function testInTime(what: string, run: (caller: PatientCaller) => void): void {
  test(what, () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      run(new PatientCaller());
    } finally {
      mock.timers.reset();
    }
  });
}

describe('a caller that has closed its sending side', () => {
  testInTime('half a second without an answer: its request is cancelled', (caller) => {
    caller.send(GET);
    caller.socket.emit('end');
    caller.pass(SECOND);
    assert.deepEqual([caller.gone, caller.socket.destroyed], [true, true]);
  });

  testInTime('five seconds without a byte of its answer: the same', (caller) => {
    caller.send(GET);
    caller.begin();
    caller.socket.emit('end');
    caller.pass(4 * SECOND);
    assert.equal(caller.gone, false);
    caller.pass(2 * SECOND);
    assert.deepEqual([caller.gone, caller.socket.destroyed], [true, true]);
  });

  testInTime('it gets an answer that goes on, however long', (caller) => {
    caller.send(GET);
    caller.begin();
    caller.socket.emit('end');
    for (let i = 0; i < 20; i += 1) {
      caller.pass(4 * SECOND);
      caller.write('event');
    }
    assert.equal(caller.gone, false);
    caller.exchange?.endBody([]);
    assert.ok(caller.socket.written.endsWith('\r\n0\r\n\r\n'));
  });

  testInTime('it may take its time over what is written', (caller) => {
    caller.send(GET);
    caller.begin();
    caller.socket.writableLength = 1;
    caller.socket.emit('end');
    caller.pass(20 * SECOND);
    assert.equal(caller.gone, false);
    caller.socket.writableLength = 0;
    caller.pass(10 * SECOND);
    assert.equal(caller.gone, true);
  });
});

describe('a connection that is closed with an error while the caller sends', () => {
  const refuse = (caller: PatientCaller) => {
    caller.send('GET / HTTP/1.1\r\nHost: a b\r\nX : y\r\n\r\n');
    assert.match(caller.socket.written, /^HTTP\/1\.1 400 /);
    caller.socket.onFinished?.();
  };

  testInTime('is read on as long as bytes come, so that no reset eats the answer', (caller) => {
    refuse(caller);
    for (let i = 0; i < 20; i += 1) {
      caller.send('more of the body');
      caller.pass(SECOND);
      assert.equal(caller.socket.destroyed, false);
    }
    caller.pass(SECOND);
    assert.equal(caller.socket.destroyed, true);
  });

  testInTime('is read on for half a minute at most', (caller) => {
    refuse(caller);
    for (let i = 0; i < 30; i += 1) {
      caller.send('more of the body');
      caller.pass(SECOND);
    }
    assert.equal(caller.socket.destroyed, true);
  });
});

describe('a head that does not come', () => {
  testInTime('its time begins with its first byte', (caller) => {
    caller.pass(60 * SECOND);
    caller.send('GET / HT');
    caller.pass(10 * SECOND);
    caller.send('TP/1.1\r\nHost:');
    caller.pass(10 * SECOND);
    assert.deepEqual(caller.refused, []);
    caller.pass(SECOND);
    assert.deepEqual(caller.refused, ['head_timeout']);
  });

  testInTime('an empty line, in one piece or two, begins none', (caller) => {
    caller.send('\r');
    caller.pass(15 * SECOND);
    caller.send('\n');
    caller.pass(15 * SECOND);
    caller.send('GET / HT');
    caller.pass(15 * SECOND);
    assert.deepEqual(caller.refused, []);
  });

  testInTime('empty lines keep no connection open', (caller) => {
    for (let i = 0; i < 13; i += 1) {
      caller.send('\r\n');
      caller.pass(10 * SECOND);
    }
    caller.socket.onFinished?.();
    caller.pass(2 * SECOND);
    assert.equal(caller.socket.destroyed, true);
  });
});
