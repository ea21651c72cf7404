import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Admission } from '../../daemon/policy/admission.ts';
import { ConcurrencyLimit, type RequestLimit } from '../../daemon/policy/concurrency-limit.ts';
import { HeavyCallers } from '../../daemon/policy/heavy-callers.ts';
import { LagGuard } from '../../daemon/policy/lag-guard.ts';
import { SharedConcurrencyLimit, sharedLimitTable } from '../../daemon/policy/shared-limit.ts';

/** Takes as many places as there are for a caller. */
function fill(limit: RequestLimit, caller: string, now: number): number {
  let taken = 0;
  while (limit.take(caller, now)) taken += 1;
  return taken;
}

const LIMITS: readonly (readonly [string, (max: number) => RequestLimit])[] = [
  ['concurrency limit', (max) => new ConcurrencyLimit(max)],
  ['concurrency limit of several threads', (max) => new SharedConcurrencyLimit(max, sharedLimitTable())],
  ['concurrency limit of two threads that requests come to in turns', twoThreads],
];

/** Two that count in one table; a caller's requests end where they began. */
function twoThreads(max: number): RequestLimit {
  const table = sharedLimitTable();
  const limits = [new SharedConcurrencyLimit(max, table), new SharedConcurrencyLimit(max, table)] as const;
  const taken: [string, RequestLimit][] = [];
  let turn = 0;
  return {
    take(caller, now) {
      turn = 1 - turn;
      const limit = limits[turn] as RequestLimit;
      const took = limit.take(caller, now);
      if (took) taken.push([caller, limit]);
      return took;
    },
    release(caller) {
      const [own] = taken.splice(
        taken.findIndex(([of]) => of === caller),
        1,
      );
      own?.[1].release(caller);
    },
  };
}

for (const [name, make] of LIMITS)
  describe(name, () => {
    test('one caller alone may have all of it, and no more', () => {
      const limit = make(10);
      assert.equal(fill(limit, 'a', 0), 10);
      limit.release('a');
      assert.equal(fill(limit, 'a', 1), 1);
    });

    test('below the limit nobody is held to a share', () => {
      const limit = make(10);
      assert.equal(limit.take('b', 0), true);
      for (let i = 0; i < 8; i += 1) assert.equal(limit.take('a', 0), true, `${i}`);
    });

    test('once it has been reached, whoever has its share waits, and whoever has not is let in', () => {
      const limit = make(10);
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
      const limit = make(10);
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
      const limit = make(10);
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
          const limit = make(max);
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

test('concurrency limit of several threads: callers of one subnet are told apart, of IPv4 and of IPv6', () => {
  for (const address of [(i: number) => `10.1.${i >> 8}.${i & 255}`, (i: number) => `fd00:10:1::${i.toString(16)}`]) {
    const limit = new SharedConcurrencyLimit(1_000, sharedLimitTable());
    for (let i = 0; i < 1_000; i += 1) assert.equal(limit.take(address(i), 0), true);
    for (let i = 0; i < 1_000; i += 1) limit.release(address(i));
    for (let i = 0; i < 1_000; i += 1) assert.equal(limit.take(address(i), 1), true, `each has a share of one: ${i}`);
  }
});

test('lag: two late samples in a row, not one; over with the first that is in time', () => {
  let now = 0;
  let cpuMs = 0;
  const guard = new LagGuard(
    () => now,
    () => cpuMs,
  );
  const after = (ms: number, busy = 0.31) => {
    now += ms;
    cpuMs += ms * busy;
    guard.sample();
    return guard.lagging;
  };
  assert.deepEqual(
    [100, 301, 100, 301, 301, 900, 290, 301].map((ms) => after(ms)),
    [false, false, false, false, true, true, false, false],
  );
  // Others on the machine keep it waiting.
  assert.deepEqual(
    [400, 400, 400].map((ms) => after(ms, 0.2)),
    [false, false, false],
  );
});

describe('heavy callers', () => {
  test('of one that asks for fifty times as much as its neighbours, it alone', () => {
    const heavy = new HeavyCallers();
    const refused = new Map<string, number>();
    for (let i = 0; i < 1_000; i += 1) {
      const caller = i % 50 === 49 ? `quiet-${((i / 50) % 5) | 0}` : 'noisy';
      if (heavy.counts(caller, i)) refused.set(caller, (refused.get(caller) ?? 0) + 1);
    }
    assert.deepEqual([...refused], [['noisy', 980]]);
  });

  test('of callers that ask for the same, all', () => {
    const heavy = new HeavyCallers();
    for (let i = 0; i < 1_000; i += 1) assert.equal(heavy.counts(`caller-${i % 5}`, i), true, `${i}`);
  });

  test('what was asked before the trouble began does not count', () => {
    const heavy = new HeavyCallers();
    for (let now = 0; now < 100; now += 1) heavy.counts('a', now);
    assert.equal(heavy.counts('b', 100), false);
    assert.equal(heavy.counts('b', 2_000), true);
    assert.equal(heavy.counts('a', 2_001), true);
  });
});

test('admission: why not', () => {
  let lagging = false;
  const admission = new Admission({ maxConcurrentRequests: 1, lagging: () => lagging, now: () => 0 });
  assert.equal(admission.admit('10.0.0.1'), undefined);
  assert.match(admission.admit('10.0.0.2')?.body ?? '', /^nodemesh: 10\.0\.0\.2 has its share of the 1 requests/);
  admission.release('10.0.0.1');
  lagging = true;
  assert.match(admission.admit('10.0.0.1')?.body ?? '', /behind with its work/);
  assert.match(admission.admit('10.0.0.1')?.body ?? '', /behind with its work/);
  assert.equal(admission.admit('10.0.0.2'), undefined, 'it has asked for less');
  admission.release('10.0.0.2');
  lagging = false;
  assert.equal(admission.admit('10.0.0.1'), undefined);
});
