import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EndpointLoad } from '../../daemon/balancer/endpoint-load.ts';
import { FailureAccrual, POD_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import { DECAY_MS, LatencyAverage } from '../../daemon/balancer/latency-average.ts';
import { type Balanced, pickTwoChoices } from '../../daemon/balancer/p2c.ts';
import { RETRY_BUDGET, RetryBudget } from '../../daemon/balancer/retry-budget.ts';
import { UsualLatency } from '../../daemon/balancer/usual-latency.ts';
import { seededRandom } from '../support/mutations.ts';

test('what is expected of an endpoint: one slow answer says little, and silence tells before an answer', () => {
  const load = (...latencies: number[]) => {
    const endpoint = new EndpointLoad(seededRandom(1));
    let now = 0;
    for (const latency of latencies) {
      endpoint.begin(now);
      now += latency;
      endpoint.answered(200, latency, now);
      endpoint.end(undefined);
    }
    return { endpoint, now, load: endpoint.load(now) };
  };
  const steady = load(...Array<number>(100).fill(20));
  assert.ok(load(...Array<number>(100).fill(20), 2_000).load < 2 * steady.load);
  const { endpoint, now } = steady;
  endpoint.begin(now);
  const soon = endpoint.load(now + 10);
  assert.ok(endpoint.load(now + 300) > 5 * soon);
  // What hangs for minutes, as some requests are meant to, counts no more than what hangs for a moment.
  assert.ok(endpoint.load(now + 100_000) < 1_000);
  endpoint.end(now);
  assert.ok(endpoint.load(now + 300) <= steady.load);
  // An answer has begun, and goes on for an hour.
  endpoint.begin(now);
  endpoint.answered(200, 20, now + 20);
  assert.ok(endpoint.load(now + 3_600_000) < soon);
});

describe('power of two choices', () => {
  const member = (load: number, out = false, probe = false): Balanced & { picked: number } => ({
    queue: () => 0,
    load: () => load,
    warmth: () => assert.fail('slow start is off'),
    out,
    takeProbe: () => probe,
    picked: 0,
  });
  const pick = <M extends Balanced>(members: readonly M[], excluded?: ReadonlySet<M>) =>
    pickTwoChoices(members, 0, Math.random, () => {}, excluded);

  test('the busier of two next to never, an excluded one never', () => {
    const busy = member(10);
    const idle = member(1);
    let busier = 0;
    for (let i = 0; i < 1_000; i += 1) if (pick([busy, idle]) === busy) busier += 1;
    assert.ok(busier < 15, String(busier)); // 1 in 1001 on average
    for (let i = 0; i < 50; i += 1) assert.equal(pick([busy, member(0)])?.load(0), 0);
    assert.equal(pick([busy, idle], new Set([idle])), busy);
    assert.equal(pick([busy], new Set([busy])), undefined);
    assert.equal(pick([]), undefined);
  });

  test('members that are alike share alike', () => {
    const members = Array.from({ length: 5 }, (_, i) => member(1 + i / 20));
    for (let i = 0; i < 5_000; i += 1) (pick(members) as { picked: number }).picked += 1;
    for (const { picked } of members) assert.ok(picked > 800 && picked < 1_200, String(picked));
  });

  test('one that is out is passed over, but for a probe that is due', () => {
    const out = member(0, true);
    const up = member(100);
    for (let i = 0; i < 50; i += 1) assert.equal(pick([out, up]), up);
    const due = member(0, true, true);
    assert.equal(pick([due, up]), due);
  });

  test('when all are out, being out means nothing', () => {
    let panics = 0;
    const all = [member(1, true), member(1, true), member(1, true)];
    assert.ok(
      pickTwoChoices(all, 0, Math.random, () => {
        panics += 1;
      }) !== undefined,
    );
    assert.equal(panics, 1);
  });
});

describe('latency average', () => {
  test('one slow answer counts a little, slow ones in a row count in full, silence pulls down', () => {
    const average = new LatencyAverage();
    assert.equal(average.value(0), 0);
    for (let i = 0; i < 50; i += 1) average.observe(10, i, 20);
    const usual = average.value(50);
    assert.ok(usual > 9 && usual < 11, String(usual));
    average.observe(1_000, 51, 20);
    assert.ok(average.value(51) < 40, String(average.value(51)));
    for (let i = 0; i < 60; i += 1) average.observe(1_000, 52 + i, 20);
    assert.ok(average.value(112) > 900, String(average.value(112)));
    assert.ok(average.value(112 + DECAY_MS) < 400);
    assert.ok(average.value(112 + 10 * DECAY_MS) < 0.1);
  });

  test('a failure counts as a slow answer, and in full after a silence', () => {
    const failedAfter = (silenceMs: number) => {
      const average = new LatencyAverage();
      average.begin(20, 0);
      average.failed(1_000, silenceMs, 10, 1);
      return average.value(silenceMs);
    };
    assert.equal(failedAfter(0), 20 + 0.1 * (3 * 30 - 20));
    assert.ok(failedAfter(DECAY_MS) > 60, String(failedAfter(DECAY_MS)));
    assert.ok(failedAfter(10 * DECAY_MS) > 990, String(failedAfter(10 * DECAY_MS)));
  });

  test('a new one begins with what is usual', () => {
    const average = new LatencyAverage();
    average.begin(20, 5);
    assert.equal(average.value(5), 20);
    assert.equal(average.observe(50, 5, 20), 30);
    assert.ok(Math.abs(average.value(5) - 23) < 1e-9, String(average.value(5)));
  });

  test('it never leaves the range of what was observed', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 5_000 }), fc.nat(20_000)), { minLength: 1 }),
        (observations) => {
          const average = new LatencyAverage();
          const most = Math.max(...observations.map(([latency]) => latency));
          let now = 0;
          for (const [latency, pause] of observations) {
            now += pause;
            average.observe(latency, now, 20);
            assert.ok(average.value(now) <= most + 1e-9 && average.value(now) >= 0);
          }
        },
      ),
    );
  });
});

test('one that asks for no more requests is not believed by an answer to a request of before', () => {
  const load = new EndpointLoad(() => 0.5);
  load.waits(60_000, 100);
  const waiting = () => load.load(200) > 1_000 && load.queue(200) > 10;
  load.answered(200, 150, 200);
  assert.equal(waiting(), true);
  load.answered(200, 50, 200);
  assert.equal(waiting(), false);
});

describe('usual latency', () => {
  test('the floor goes with how much latencies differ by chance, from 5 to 20 ms', () => {
    const usual = new UsualLatency();
    assert.deepEqual([usual.floorMs, usual.meanMs], [20, 0]);
    const observe = (latencyMs: number, deviationMs: number, fromMs: number) => {
      for (let i = 0; i < 30_000; i += 1) usual.observe(latencyMs, deviationMs, fromMs + i);
    };
    observe(3, 0.1, 0);
    assert.equal(usual.floorMs, 5);
    assert.ok(Math.abs(usual.meanMs - 3) < 0.1, String(usual.meanMs));
    observe(9, 4, 30_000);
    assert.ok(Math.abs(usual.floorMs - 12) < 0.1, String(usual.floorMs));
    observe(500, 90, 60_000);
    assert.equal(usual.floorMs, 20);
    usual.observe(1, 0, 90_000);
    usual.observe(1, 0, 900_000);
    assert.ok(usual.meanMs > 480, 'after a silence one answer is one answer');
  });
});

describe('failure accrual', () => {
  test('out after seven in a row, one probe a pause, pauses grow, success clears', () => {
    const accrual = new FailureAccrual(POD_ACCRUAL, () => 0.5);
    for (let i = 0; i < 6; i += 1) accrual.failed(0);
    assert.equal(accrual.out, false);
    accrual.failed(0);
    assert.equal(accrual.out, true);
    assert.equal(accrual.probeDue(999), false);
    assert.equal(accrual.probeDue(1_000), true);
    accrual.beginProbe(1_000);
    assert.equal(accrual.probeDue(1_001), false);
    accrual.failed(1_001);
    assert.equal(accrual.probeDue(2_900), false);
    assert.equal(accrual.probeDue(3_001), true);
    accrual.succeeded(0);
    assert.equal(accrual.out, false);
  });

  test('a success in between starts the count anew', () => {
    const accrual = new FailureAccrual(POD_ACCRUAL, () => 0.5);
    for (let i = 0; i < 20; i += 1) {
      accrual.failed(i);
      if (i % 5 === 4) accrual.succeeded(0);
    }
    assert.equal(accrual.out, false);
  });

  test('one that is let in again, though it failed, is out at its next failure', () => {
    const accrual = new FailureAccrual(POD_ACCRUAL, () => 0.5);
    for (let i = 0; i < 7; i += 1) accrual.failed(0);
    accrual.readmit();
    assert.equal(accrual.out, false);
    accrual.failed(10);
    assert.equal(accrual.probeDue(2_009), false);
    assert.equal(accrual.probeDue(2_010), true, 'the second time lasts longer');
  });
});

describe('success rate', () => {
  const PAUSES = { failures: Number.POSITIVE_INFINITY, minMs: 1_000, maxMs: 60_000 };
  const OVER_REQUESTS = { ...PAUSES, successRate: { least: 0.8, over: { requests: 20 } } };
  const OVER_TIME = { ...PAUSES, successRate: { least: 0.8, over: { ms: 10_000 } } };
  /** One request a step, of which one in so many fails; gives after how many it is out. */
  const untilOut = (accrual: FailureAccrual, failsEvery: number, stepMs: number, most = 500) => {
    for (let i = 1; i <= most; i += 1) {
      if (i % failsEvery === 0) accrual.failed(i * stepMs);
      else accrual.succeeded(i * stepMs);
      if (accrual.out) return i;
    }
    return undefined;
  };

  test('out at the first failure with enough requests and too few of them successful', () => {
    for (const [options, failsEvery, stepMs, expected] of [
      [OVER_REQUESTS, 1, 10, 20],
      [OVER_REQUESTS, 4, 10, 20],
      [OVER_REQUESTS, 10, 10, undefined],
      [OVER_TIME, 1, 0, 5],
      [OVER_TIME, 4, 10, 8],
      [OVER_TIME, 10, 10, undefined],
      [OVER_TIME, 1, 3_000, undefined], // too few to say anything
    ] as const) {
      const accrual = new FailureAccrual(options, () => 0.5);
      assert.equal(untilOut(accrual, failsEvery, stepMs), expected, JSON.stringify({ options, failsEvery, stepMs }));
    }
  });

  test('only a probe brings it back, and then it begins anew', () => {
    const accrual = new FailureAccrual(OVER_REQUESTS, () => 0.5);
    untilOut(accrual, 1, 0);
    accrual.succeeded(1);
    assert.equal(accrual.out, true, 'a request of before');
    assert.equal(accrual.probeDue(1_000), true);
    accrual.beginProbe(1_000);
    accrual.failed(1_001);
    assert.equal(accrual.probeDue(2_999), false, 'twice as long');
    accrual.beginProbe(3_001);
    accrual.succeeded(3_002);
    assert.equal(accrual.out, false);
    assert.equal(untilOut(accrual, 1, 0), 19);
  });

  test('what is long past counts no more', () => {
    const accrual = new FailureAccrual(OVER_TIME, () => 0.5);
    for (let i = 0; i < 100; i += 1) accrual.succeeded(0);
    for (let i = 0; i < 4; i += 1) accrual.failed(60_000);
    assert.equal(accrual.out, false, 'four requests are too few');
    accrual.failed(60_000);
    assert.equal(accrual.out, true);
  });
});

describe('retry budget', () => {
  test('a reserve, a fifth of the requests, and all of it forgotten in time', () => {
    const budget = new RetryBudget(RETRY_BUDGET);
    const drain = (now: number) => {
      let retries = 0;
      while (budget.withdraw(now)) retries += 1;
      return retries;
    };
    assert.equal(drain(0), 100);
    for (let i = 0; i < 1_000; i += 1) budget.deposit(500);
    assert.equal(drain(500), 200);
    assert.equal(drain(5_000), 0);
    assert.equal(drain(11_000), 100);
  });

  test('over any time retries stay within a fifth of the requests and ten a second, and the reserve', () => {
    const budget = new RetryBudget(RETRY_BUDGET);
    let retries = 0;
    let requests = 0;
    for (let now = 0; now < 60_000; now += 2) {
      requests += 1;
      budget.deposit(now);
      if (budget.withdraw(now)) retries += 1;
    }
    assert.ok(retries <= requests * 0.2 + 10 * 60 + 100 + 200, `${retries} retries of ${requests} requests`);
    assert.ok(retries >= requests * 0.2, `${retries} retries of ${requests} requests`);
  });
});

test('in ten seconds of failures the retry budget gives its reserve once, wherever they begin', () => {
  for (let begin = 0; begin < 1_000; begin += 100) {
    const budget = new RetryBudget(RETRY_BUDGET);
    let retries = 0;
    for (let now = begin; now < begin + 10_000; now += 4) {
      budget.deposit(now);
      while (budget.withdraw(now)) retries += 1;
    }
    assert.ok(retries <= 100 + 500, `from ${begin} ms: ${retries} retries of 2500 requests`);
  }
});
