import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import fc from 'fast-check';
import { parseRequestHead } from '../../daemon/http/message-head.ts';
import { ProxyError } from '../../daemon/http/proxy-error.ts';
import { type Acquiring, CallTime } from '../../daemon/router/call-time.ts';
import {
  askedDeadline,
  deadlineLines,
  parseGrpcTimeout,
  parseL5dDeadline,
  parseL5dTimeout,
} from '../../daemon/router/deadline.ts';
import { DEFAULT_POLICY } from '../../daemon/router/route-policy.ts';

const NOW = 1_700_000_000_000;
/** 7 ms after the request's arrival. */
const clocks = { now: () => 107, wallClock: () => NOW + 7 };
const POD = { peer: false, dropL5d: true, clocks };
const PEER = { peer: true, dropL5d: false, clocks };

describe('deadlines', () => {
  test('grpc-timeout in each of its units, ms', () => {
    const texts = ['2H', '3M', '4S', '5m', '6000u', '7000000n', '99999999S'];
    assert.deepEqual(texts.map(parseGrpcTimeout), [7_200_000, 180_000, 4_000, 5, 6, 7, 99_999_999_000]);
    for (const text of ['', '5', 'm', '123456789m', '-1m', '1.5S', '5 m', '5s', '5m5m']) {
      assert.throws(
        () => parseGrpcTimeout(text),
        (error) => error instanceof ProxyError && error.code === 'bad_request',
        text,
      );
    }
  });

  test('what goes on is never more than what is left, and can be read again', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e11, noNaN: true }), (leftMs) => {
        const [, text = ''] =
          /^grpc-timeout: (\w+)\r\n$/.exec(deadlineLines(leftMs, { byGrpc: true, byL5d: false, peer: false })) ?? [];
        const read = parseGrpcTimeout(text);
        assert.ok(read <= leftMs * (1 + 1e-12) && read >= leftMs - 1_000, `${leftMs} → ${text}`);
      }),
    );
  });

  test('a daemon is told too, others are not', () => {
    assert.equal(deadlineLines(12.3, { byGrpc: false, byL5d: false, peer: true }), 'mesh-deadline-ms: 13\r\n');
    assert.equal(deadlineLines(12.3, { byGrpc: false, byL5d: false, peer: false }), '');
    assert.equal(
      deadlineLines(2_000, { byGrpc: true, byL5d: false, peer: true }),
      'grpc-timeout: 2000m\r\nmesh-deadline-ms: 2000\r\n',
    );
    assert.equal(deadlineLines(12.3, { byGrpc: false, byL5d: true, peer: false }), 'l5d-timeout: 12ms\r\n');
    assert.equal(deadlineLines(0.3, { byGrpc: false, byL5d: true, peer: false }), 'l5d-timeout: 1ms\r\n'); // 0 is no limit
  });

  test('the sooner of both counts; a daemon alone is believed', () => {
    const request = (lines: string) => ({
      request: parseRequestHead(`GET / HTTP/1.1\r\nHost: a${lines}`),
      startedAt: 100,
    });
    const both = request('\r\ngrpc-timeout: 50m\r\nmesh-deadline-ms: 40');
    const by = (leftMs: number, fields: { byGrpc?: boolean; byL5d?: boolean } = {}) => ({
      leftMs,
      byGrpc: false,
      byL5d: false,
      ...fields,
    });
    assert.deepEqual(askedDeadline(both, PEER), by(40, { byGrpc: true }));
    assert.deepEqual(askedDeadline(both, POD), by(50, { byGrpc: true }));
    assert.deepEqual(askedDeadline(request('\r\nmesh-deadline-ms: 40'), PEER), by(40));
    assert.equal(askedDeadline(request('\r\nmesh-deadline-ms: 40'), POD), undefined);
    assert.equal(askedDeadline(request('\r\nmesh-deadline-ms: soon'), PEER), undefined);
    assert.equal(askedDeadline(request(''), PEER), undefined);

    const all = request(
      `\r\ngrpc-timeout: 50m\r\nl5d-timeout: 45ms\r\nL5d-Timeout: 44ms\r\nl5d-ctx-deadline: ${NOW}000000 ${NOW + 60}000000`,
    );
    assert.deepEqual(askedDeadline(all, POD), by(44, { byGrpc: true }));
    assert.deepEqual(askedDeadline(all, PEER), by(44, { byGrpc: true, byL5d: true }));
    const strict = `\r\nl5d-ctx-deadline: ${NOW}000000 ${NOW + 60}000000\r\nl5d-ctx-deadline: ${NOW}000000 ${NOW + 30}000000`;
    assert.deepEqual(askedDeadline(request(strict), PEER), by(30));
    const broken = '\r\nl5d-timeout: soon\r\nl5d-timeout: 0s\r\nl5d-ctx-deadline: AAAAAAAAAAA=';
    assert.equal(askedDeadline(request(broken), PEER), undefined);
    assert.deepEqual(askedDeadline(request(`${broken}\r\nl5d-timeout: 7ms`), POD), by(7));
  });

  test("linkerd2's durations, ms", () => {
    const texts = ['5ms', '4s', '3m', '2h', '1d', '999999999d'];
    assert.deepEqual(texts.map(parseL5dTimeout), [5, 4_000, 180_000, 7_200_000, 86_400_000, 86_399_999_913_600_000]);
    for (const text of ['', '0', '0s', '5', '1.5s', '-1s', '1m30s', '5 s', '5S', '1234567890s']) {
      assert.equal(parseL5dTimeout(text), undefined, text);
    }
  });

  test("linkerd 1.x's deadline: what is left by this clock, and never more than its own two times allow", () => {
    const at = (timestamp: number, deadline: number) => parseL5dDeadline(`${timestamp}000000 ${deadline}000000`, NOW);
    assert.deepEqual([at(NOW - 20, NOW + 80), at(NOW + 500, NOW + 600), at(NOW - 20, NOW - 10)], [80, 100, 0]);
    assert.equal(at(NOW + 5, NOW + 3), 0); // combined from several: already over when it was made
    for (const text of ['', '1', '1 2 3', '1 -2', 'a b', '1  2', '12345678901234567890 1']) {
      assert.equal(parseL5dDeadline(text, NOW), undefined, text);
    }
  });
});

describe('time of a call', () => {
  const asked = (leftMs: number) => ({ leftMs, byGrpc: false, byL5d: false });

  test("the caller's deadline shortens the router's, and never extends it", () => {
    const policy = { ...DEFAULT_POLICY, totalTimeoutMs: 100 };
    for (const [left, until, code] of [
      [undefined, 100, 'total_timeout'],
      [300, 100, 'total_timeout'],
      [30, 30, 'deadline_exceeded'],
    ] as const) {
      const time = new CallTime(policy, 1_000, left === undefined ? undefined : asked(left));
      assert.deepEqual([time.over(1_000 + until - 1), time.over(1_000 + until)], [false, true]);
      assert.equal(time.wholeError.code, code);
    }
  });

  test('one timer, for whichever ends first; none for a connect that cannot take so long', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const firstOf = (attemptTimeoutMs: number | undefined, leftMs: number | undefined, acquiring: Acquiring) => {
        const time = new CallTime(
          { ...DEFAULT_POLICY, attemptTimeoutMs },
          0,
          leftMs === undefined ? undefined : asked(leftMs),
        );
        const heard: string[] = [];
        const watcher = {
          onTimeout: ({ code }: ProxyError) => heard.push(code),
          onBindingTimeout: () => heard.push('binding'),
        };
        time.watchAttempt(watcher, { now: 1_000, startedAt: 900, bindingUntil: 11_000, acquiring });
        mock.timers.tick(20_000);
        return heard.join();
      };
      assert.deepEqual(
        [
          firstOf(undefined, undefined, 'nothing'),
          firstOf(undefined, undefined, 'connecting'),
          firstOf(undefined, undefined, 'place'),
          firstOf(undefined, 9_000, 'place'),
          firstOf(undefined, 12_000, 'place'),
          firstOf(500, 9_000, 'place'),
          firstOf(10_500, undefined, 'place'),
          firstOf(10_500, undefined, 'nothing'),
        ],
        ['', '', 'binding', 'deadline_exceeded', 'binding', 'attempt_timeout', 'binding', 'attempt_timeout'],
      );
      const nearTheEnd = new CallTime(DEFAULT_POLICY, 0, undefined);
      const told = Promise.withResolvers<void>();
      const watcher = { onTimeout() {}, onBindingTimeout: told.resolve };
      nearTheEnd.watchAttempt(watcher, { now: 8_000, startedAt: 8_000, bindingUntil: 10_000, acquiring: 'connecting' });
      mock.timers.tick(2_000);
      return told.promise;
    } finally {
      mock.timers.reset();
    }
  });

  test('what is passed on is cut by the time that was spent here', () => {
    const time = new CallTime(DEFAULT_POLICY, 1_000, asked(300));
    assert.equal(time.fieldLines(true, 1_120), 'mesh-deadline-ms: 180\r\n');
    assert.equal(new CallTime(DEFAULT_POLICY, 0, undefined).fieldLines(true, 5), '');
  });
});
