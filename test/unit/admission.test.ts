import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Admission } from '../../daemon/policy/admission.ts';
import { ConcurrencyLimit } from '../../daemon/policy/concurrency-limit.ts';
import { LagGuard } from '../../daemon/policy/lag-guard.ts';

/** Takes as many places as there are for a caller. */
function fill(limit: ConcurrencyLimit, caller: string, now: number): number {
  let taken = 0;
  while (limit.take(caller, now)) taken += 1;
  return taken;
}

describe('concurrency limit', () => {
  test('one caller alone may have all of it, and no more', () => {
    const limit = new ConcurrencyLimit(10);
    assert.equal(fill(limit, 'a', 0), 10);
    limit.release('a');
    assert.equal(fill(limit, 'a', 1), 1);
  });

  test('below the limit nobody is held to a share', () => {
    const limit = new ConcurrencyLimit(10);
    assert.equal(limit.take('b', 0), true);
    for (let i = 0; i < 8; i += 1) assert.equal(limit.take('a', 0), true, `${i}`);
  });

  test('once it has been reached, whoever has its share waits, and whoever has not is let in', () => {
    const limit = new ConcurrencyLimit(10);
    assert.equal(fill(limit, 'noisy', 0), 10);
    assert.equal(limit.take('quiet', 1), false);
    for (let i = 0; i < 5; i += 1) limit.release('noisy');
    assert.equal(limit.take('noisy', 2), false, 'five of ten is its share of two');
    assert.equal(limit.take('quiet', 3), true);
    limit.release('noisy');
    assert.equal(limit.take('noisy', 4), true);
    assert.equal(limit.take('noisy', 4), false);
  });

  test('as long as the noisy one presses, a quiet one that comes and goes finds its place', () => {
    const limit = new ConcurrencyLimit(10);
    limit.take('quiet', 0);
    limit.release('quiet');
    fill(limit, 'noisy', 0);
    for (let i = 0; i < 10; i += 1) limit.release('noisy');
    for (let now = 100; now < 60_000; now += 100) {
      fill(limit, 'noisy', now);
      if (now % 5_000 === 0) {
        assert.equal(limit.take('quiet', now), true, `at ${now}`);
        limit.release('quiet');
      }
    }
  });

  test('a caller that is gone leaves its share to the others', () => {
    const limit = new ConcurrencyLimit(10);
    limit.take('b', 0);
    limit.release('b');
    assert.equal(fill(limit, 'a', 0), 9 + 1);
    for (let i = 0; i < 10; i += 1) limit.release('a');
    assert.equal(fill(limit, 'a', 1), 5);
    assert.equal(fill(limit, 'a', 12_000), 5);
  });

  test('whatever comes and goes, never more than the limit is under way', () => {
    const step = fc.tuple(fc.constantFrom('a', 'b', 'c', 'd'), fc.boolean(), fc.nat(3_000));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 200 }), (max, steps) => {
        const limit = new ConcurrencyLimit(max);
        const held: string[] = [];
        let now = 0;
        for (const [caller, takes, pause] of steps) {
          now += pause;
          if (takes) {
            if (limit.take(caller, now)) held.push(caller);
            else assert.ok(held.length > 0, 'refused although nothing is under way');
          } else {
            const gone = held.pop();
            if (gone !== undefined) limit.release(gone);
          }
          assert.ok(held.length <= max);
        }
      }),
    );
  });
});

test('lag: two late samples in a row, not one; over with the first that is in time', () => {
  let now = 0;
  const guard = new LagGuard(() => now);
  const after = (ms: number) => {
    now += ms;
    guard.sample();
    return guard.lagging;
  };
  assert.deepEqual(
    [100, 301, 100, 301, 301, 900, 290, 301].map((ms) => after(ms)),
    [false, false, false, false, true, true, false, false],
  );
});

test('admission: why not', () => {
  let lagging = false;
  const admission = new Admission({ maxConcurrentRequests: 1, lagging: () => lagging, now: () => 0 });
  assert.equal(admission.admit('10.0.0.1'), undefined);
  assert.match(admission.admit('10.0.0.2')?.body ?? '', /^nodemesh: 10\.0\.0\.2 has its share of the 1 requests/);
  admission.release('10.0.0.1');
  lagging = true;
  assert.match(admission.admit('10.0.0.1')?.body ?? '', /behind with its work/);
  lagging = false;
  assert.equal(admission.admit('10.0.0.1'), undefined);
});
