import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseRequestHead } from '../../daemon/http/message-head.ts';
import { ProxyError } from '../../daemon/http/proxy-error.ts';
import { CallTime } from '../../daemon/router/call-time.ts';
import { askedDeadline, deadlineLines, parseGrpcTimeout } from '../../daemon/router/deadline.ts';
import { DEFAULT_POLICY } from '../../daemon/router/route-policy.ts';

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
          /^grpc-timeout: (\w+)\r\n$/.exec(deadlineLines(leftMs, { byGrpc: true, peer: false })) ?? [];
        const read = parseGrpcTimeout(text);
        assert.ok(read <= leftMs * (1 + 1e-12) && read >= leftMs - 1_000, `${leftMs} → ${text}`);
      }),
    );
  });

  test('a daemon is told too, others are not', () => {
    assert.equal(deadlineLines(12.3, { byGrpc: false, peer: true }), 'mesh-deadline-ms: 13\r\n');
    assert.equal(deadlineLines(12.3, { byGrpc: false, peer: false }), '');
    assert.equal(
      deadlineLines(2_000, { byGrpc: true, peer: true }),
      'grpc-timeout: 2000m\r\nmesh-deadline-ms: 2000\r\n',
    );
  });

  test('the sooner of both counts; a daemon alone is believed', () => {
    const request = (lines: string) => parseRequestHead(`GET / HTTP/1.1\r\nHost: a${lines}`);
    const both = request('\r\ngrpc-timeout: 50m\r\nmesh-deadline-ms: 40');
    assert.deepEqual(askedDeadline(both, true), { leftMs: 40, byGrpc: true });
    assert.deepEqual(askedDeadline(both, false), { leftMs: 50, byGrpc: true });
    assert.deepEqual(askedDeadline(request('\r\nmesh-deadline-ms: 40'), true), { leftMs: 40, byGrpc: false });
    assert.equal(askedDeadline(request('\r\nmesh-deadline-ms: 40'), false), undefined);
    assert.equal(askedDeadline(request('\r\nmesh-deadline-ms: soon'), true), undefined);
    assert.equal(askedDeadline(request(''), true), undefined);
  });
});

describe('time of a call', () => {
  const asked = (leftMs: number) => ({ leftMs, byGrpc: false });

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

  test('what is passed on is cut by the time that was spent here', () => {
    const time = new CallTime(DEFAULT_POLICY, 1_000, asked(300));
    assert.equal(time.fieldLines(true, 1_120), 'mesh-deadline-ms: 180\r\n');
    assert.equal(new CallTime(DEFAULT_POLICY, 0, undefined).fieldLines(true, 5), '');
  });
});
