import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { ProxyError } from '../../daemon/http/proxy-error.ts';
import { type ConnectionHost, Http1ServerConnection } from '../../daemon/listener/http1-server-connection.ts';
import { AT_ONCE, CallerTurns, MAX_WAIT_MS, SHARED_MS, SLICE_MS } from '../../daemon/policy/caller-turns.ts';
import { DirectSocket } from '../support/codec-readers.ts';

/** An event loop whose turns and time the test makes. */
class Loop {
  now = 0;
  readonly begun: string[] = [];
  readonly refused: ProxyError[] = [];
  readonly turns = new CallerTurns(
    () => this.now,
    (turn) => {
      this.next = turn;
    },
  );
  next: (() => void) | undefined;

  /** Two have called before. */
  constructor() {
    for (const caller of ['before', 'another']) this.turns.atOnce(caller, -SLICE_MS);
  }

  /** Gives a function that has the request go away. */
  arrive(caller: string): () => void {
    let since: number | undefined = this.now;
    const begin = (refusal: ProxyError | undefined) => {
      assert.notEqual(since, undefined, 'what has begun, or gone, must not begin');
      since = undefined;
      if (refusal === undefined) this.begun.push(caller);
      else this.refused.push(refusal);
    };
    if (this.turns.atOnce(caller, this.now)) begin(undefined);
    else {
      this.turns.wait(caller, {
        get waitingSince() {
          return since;
        },
        begin,
      });
    }
    return () => {
      since = undefined;
    };
  }

  turn(): void {
    const { next } = this;
    this.next = undefined;
    next?.();
  }
}

describe('turns of callers', () => {
  test('few begin at once, and no turn is asked for', () => {
    const loop = new Loop();
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < AT_ONCE; i += 1) loop.arrive('a');
      loop.now += SLICE_MS;
    }
    assert.equal(loop.begun.length, 3 * AT_ONCE);
    assert.equal(loop.next, undefined);
  });

  test('who is alone never waits, and shares from when there is another', () => {
    const loop = new Loop();
    loop.now = SHARED_MS;
    loop.arrive('alone');
    loop.now += SHARED_MS;
    for (let i = 0; i < 1_000; i += 1) loop.arrive('alone');
    assert.equal(loop.begun.length, 1_001);
    loop.now += SLICE_MS;
    loop.arrive('another');
    for (let i = 0; i < 1_000; i += 1) loop.arrive('alone');
    assert.equal(loop.begun.length, 1_001 + AT_ONCE);
  });

  test('a neighbour begins in the next turn, however many of another wait', () => {
    const loop = new Loop();
    for (let i = 0; i < 1_000; i += 1) loop.arrive('noisy');
    assert.equal(loop.begun.length, AT_ONCE);
    loop.arrive('quiet');
    loop.turn();
    assert.equal(loop.begun.length, 2 * AT_ONCE);
    assert.ok(loop.begun.includes('quiet'));
    while (loop.next !== undefined) loop.turn();
    assert.equal(loop.begun.length, 1_001);
  });

  test('while some wait nobody overtakes them, whatever the time', () => {
    const loop = new Loop();
    for (let i = 0; i < 30; i += 1) loop.arrive('noisy');
    loop.now += 10 * SLICE_MS;
    loop.arrive('noisy');
    assert.equal(loop.begun.length, AT_ONCE);
  });

  test('whoever has gone takes no place in a turn', () => {
    const loop = new Loop();
    const leave = Array.from({ length: 50 }, () => loop.arrive('noisy'));
    for (const one of leave) one();
    loop.arrive('quiet');
    loop.turn();
    assert.deepEqual([loop.begun.length, loop.begun.at(-1), loop.next], [AT_ONCE + 1, 'quiet', undefined]);
  });

  test('whoever waits too long for others of its own is refused, its neighbour is not', () => {
    const loop = new Loop();
    for (let i = 0; i < 40; i += 1) loop.arrive('10.0.0.9');
    loop.now = MAX_WAIT_MS + 1;
    loop.arrive('10.0.0.1');
    loop.turn();
    assert.deepEqual([loop.refused.length, loop.begun.at(-1)], [AT_ONCE - 1, '10.0.0.1']);
    assert.equal(loop.refused[0]?.code, 'overloaded');
    assert.match(loop.refused[0]?.message ?? '', /^10\.0\.0\.9 asks for more than its share/);
  });

  test('of callers that wait, none is ever served twice more than another that still waits', () => {
    const callers = ['a', 'b', 'c', 'd', 'e'] as const;
    const counts = fc.tuple(...callers.map(() => fc.nat(60)));
    fc.assert(
      fc.property(counts, (wanted) => {
        const loop = new Loop();
        for (let i = 0; i < AT_ONCE; i += 1) loop.arrive('first');
        callers.forEach((caller, i) => {
          for (let n = 0; n < (wanted[i] as number); n += 1) loop.arrive(caller);
        });
        const served = new Map<string, number>(callers.map((caller) => [caller, 0]));
        while (loop.next !== undefined) loop.turn();
        for (const caller of loop.begun.slice(AT_ONCE)) {
          served.set(caller, (served.get(caller) ?? 0) + 1);
          const waiting = callers.filter((one, i) => (served.get(one) ?? 0) < (wanted[i] as number));
          for (const one of waiting) assert.ok((served.get(caller) ?? 0) <= (served.get(one) ?? 0) + 1);
        }
        assert.equal(loop.begun.length, AT_ONCE + wanted.reduce((sum, n) => sum + n, 0));
      }),
    );
  });
});

describe('connections whose requests wait for a turn', () => {
  const post = (length: number) => `POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: ${length}\r\n\r\nbody`;

  /** A connection that waits behind those that began at once; its caller has sent `text`. */
  function waiting(text: string) {
    const loop = new Loop();
    const bodies: string[] = [];
    const refused: string[] = [];
    let released = 0;
    let handled = 0;
    const host: ConnectionHost = {
      draining: false,
      turns: loop.turns,
      now: () => loop.now,
      onClosed() {},
      onRefused: ({ code }) => refused.push(code),
      admit: () => undefined,
      release: () => {
        released += 1;
      },
      refusalLines: () => '',
      handle: (exchange) => {
        let body = '';
        handled += 1;
        exchange.readBody({
          write: (piece) => {
            body += piece.toString();
            return true;
          },
          flush() {},
          end: () => bodies.push(body),
        });
      },
    };
    for (let i = 0; i < AT_ONCE; i += 1) loop.arrive('first');
    const socket = new DirectSocket();
    new Http1ServerConnection(socket.asSocket(), { address: '127.0.0.1', port: 1 }, host);
    socket.deliver([Buffer.from(text)]);
    assert.equal(handled, 0);
    return { loop, socket, bodies, refused, handled: () => handled, released: () => released };
  }

  test('what came of the body meanwhile is not lost', () => {
    const { loop, socket, bodies } = waiting(post(8));
    socket.deliver([Buffer.from('more')]);
    loop.turn();
    assert.deepEqual(bodies, ['bodymore']);
  });

  test('a caller that goes away meanwhile is not served, and its place is free', () => {
    for (const event of ['close', 'end']) {
      const { loop, socket, handled, released } = waiting(post(8));
      socket.emit(event);
      loop.turn();
      socket.emit('close');
      assert.deepEqual([handled(), released()], [0, 1], event);
    }
  });

  test('one that has waited in vain is answered, counted, and its place is free', () => {
    const { loop, socket, bodies, refused, released } = waiting(post(4));
    loop.now = MAX_WAIT_MS + 1;
    loop.turn();
    assert.match(socket.written, /^HTTP\/1\.1 503 .*Retry-After: 1\r\n/s);
    assert.deepEqual([bodies, refused, released()], [[], ['overloaded'], 1]);
  });
});
