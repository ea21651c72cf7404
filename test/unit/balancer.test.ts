import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_BALANCER, makeBalancer } from '../../daemon/balancer/balancer.ts';
import { EndpointLoad } from '../../daemon/balancer/endpoint-load.ts';
import { FailureAccrual, POD_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import { DECAY_MS, LatencyAverage } from '../../daemon/balancer/latency-average.ts';
import { type Balanced, pickTwoChoices } from '../../daemon/balancer/p2c.ts';
import { RETRY_BUDGET, RetryBudget } from '../../daemon/balancer/retry-budget.ts';

/** Numbers in [0, 1) from a seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A pod of a simulated Service: answers after so many ms with this status. */
class SimulatedPod implements Balanced {
  readonly load_: EndpointLoad;
  answerMs: number;
  status = 200;
  served = 0;

  constructor(answerMs: number, random: () => number) {
    this.answerMs = answerMs;
    this.load_ = new EndpointLoad(random);
  }
  get outstanding(): number {
    return this.load_.outstanding;
  }
  get out(): boolean {
    return this.load_.accrual.out;
  }
  load(now: number): number {
    return this.load_.load(now);
  }
  warmth(now: number): number {
    return this.load_.warmth(now);
  }
  takeProbe(now: number): boolean {
    const due = this.load_.accrual.probeDue(now);
    if (due) this.load_.accrual.beginProbe(now);
    return due;
  }
}

/** Runs requests at a steady rate on a virtual clock; gives how many picks ignored who is out. */
function simulate(
  pods: readonly SimulatedPod[],
  options: { rps: number; fromMs: number; toMs: number; random: () => number },
): number {
  const { rps, fromMs, toMs, random } = options;
  let panics = 0;
  const answers: { at: number; sentAt: number; pod: SimulatedPod }[] = [];
  for (let now = fromMs; now < toMs; now += 1_000 / rps) {
    answers.sort((a, b) => a.at - b.at);
    while (answers[0] !== undefined && answers[0].at <= now) {
      const { at, sentAt, pod } = answers.shift() as (typeof answers)[number];
      pod.load_.answered(pod.status, at - sentAt, at);
      pod.load_.end(undefined);
    }
    const pod = pickTwoChoices(pods, now, random, () => {
      panics += 1;
    });
    if (pod === undefined) continue;
    pod.served += 1;
    pod.load_.begin(now);
    answers.push({ at: now + pod.answerMs * (0.8 + 0.4 * random()), sentAt: now, pod });
  }
  for (const { sentAt, pod } of answers) pod.load_.end(sentAt);
  return panics;
}

test('what is expected of an endpoint: the first answers weigh alike, one slow answer says little, and silence tells before an answer', () => {
  const load = (...latencies: number[]) => {
    const endpoint = new EndpointLoad(seeded(1));
    let now = 0;
    for (const latency of latencies) {
      endpoint.begin(now);
      now += latency;
      endpoint.answered(200, latency, now);
      endpoint.end(undefined);
    }
    return { endpoint, now, load: endpoint.load(now) };
  };
  assert.equal(load(50).load, 20 + 50);
  assert.ok(Math.abs(load(50, 20).load - (20 + 35)) < 1);
  const steady = load(...Array<number>(30).fill(20));
  assert.ok(Math.abs(steady.load - 40) < 0.5);
  assert.ok(load(...Array<number>(30).fill(20), 2_000).load < 40 + 40);
  const { endpoint, now } = steady;
  endpoint.begin(now);
  const soon = endpoint.load(now + 10);
  assert.ok(endpoint.load(now + 300) > 5 * soon);
  // What hangs for minutes, as some requests are meant to, counts no more than what hangs for a moment.
  assert.ok(endpoint.load(now + 100_000) < 1_000);
  endpoint.end(now);
  assert.ok(endpoint.load(now + 300) < 41);
  // An answer has begun, and goes on for an hour.
  endpoint.begin(now);
  endpoint.answered(200, 20, now + 20);
  assert.ok(endpoint.load(now + 3_600_000) < soon);
});

describe('power of two choices', () => {
  const member = (load: number, out = false, probe = false): Balanced & { picked: number } => ({
    outstanding: 0,
    load: () => load,
    warmth: () => 1,
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
    for (let i = 0; i < 50; i += 1) average.observe(10, i);
    const usual = average.value(50);
    assert.ok(usual > 9 && usual < 11, String(usual));
    average.observe(1_000, 51);
    assert.ok(average.value(51) < 40, String(average.value(51)));
    for (let i = 0; i < 60; i += 1) average.observe(1_000, 52 + i);
    assert.ok(average.value(112) > 900, String(average.value(112)));
    assert.ok(average.value(112 + DECAY_MS) < 400);
    assert.ok(average.value(112 + 10 * DECAY_MS) < 0.1);
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
            average.observe(latency, now);
            assert.ok(average.value(now) <= most + 1e-9 && average.value(now) >= 0);
          }
        },
      ),
    );
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
    accrual.succeeded();
    assert.equal(accrual.out, false);
  });

  test('a success in between starts the count anew', () => {
    const accrual = new FailureAccrual(POD_ACCRUAL, () => 0.5);
    for (let i = 0; i < 20; i += 1) {
      accrual.failed(i);
      if (i % 5 === 4) accrual.succeeded();
    }
    assert.equal(accrual.out, false);
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

describe('ten pods on a virtual clock', () => {
  test('one that is ten times slower gets less than 3 % of the traffic', () => {
    const random = seeded(1);
    const pods = Array.from({ length: 10 }, (_, i) => new SimulatedPod(i === 0 ? 200 : 20, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 60_000, random });
    const total = pods.reduce((sum, { served }) => sum + served, 0);
    assert.ok((pods[0]?.served ?? 0) / total < 0.03, `${pods.map(({ served }) => served)}`);
  });

  test('and so does one of 50 ms among those of 5', () => {
    const random = seeded(5);
    const pods = Array.from({ length: 10 }, (_, i) => new SimulatedPod(i === 0 ? 50 : 5, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 60_000, random });
    const total = pods.reduce((sum, { served }) => sum + served, 0);
    assert.ok((pods[0]?.served ?? 0) / total < 0.03, `${pods.map(({ served }) => served)}`);
  });

  test('pods nearer and farther by less than the floor share alike', () => {
    const random = seeded(2);
    const pods = Array.from({ length: 10 }, (_, i) => new SimulatedPod(i === 0 ? 0.3 : 0.9, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 120_000, random });
    for (const { served } of pods) assert.ok(Math.abs(served / 60_000 - 0.1) < 0.015, `${pods.map((p) => p.served)}`);
  });

  test('a new one gets a tenth of its share, which grows to the whole within half a minute', () => {
    const random = seeded(6);
    const pods = Array.from({ length: 9 }, () => new SimulatedPod(20, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 10_000, random });
    const added = new SimulatedPod(20, random);
    added.load_.warmUp(10_000);
    const all = [...pods, added];
    const share = (fromMs: number, toMs: number) => {
      added.served = 0;
      simulate(all, { rps: 500, fromMs, toMs, random });
      return added.served / ((toMs - fromMs) / 2);
    };
    const shares = [share(10_000, 13_000), share(13_000, 22_000), share(22_000, 28_000), share(40_000, 70_000)];
    const wanted = [0.01, 0.025, 0.05, 0.1];
    for (const [i, one] of shares.entries()) {
      assert.ok(Math.abs(one - (wanted[i] as number)) < (wanted[i] as number) * 0.3, `shares ${shares}`);
    }
  });

  test('new ones alone serve all, and in turn a new one is passed over in part', () => {
    const random = seeded(7);
    const fresh = () => {
      const pod = new SimulatedPod(20, random);
      pod.load_.warmUp(0);
      return pod;
    };
    const alike = [fresh(), fresh()];
    simulate(alike, { rps: 500, fromMs: 0, toMs: 20_000, random });
    for (const { served } of alike) assert.ok(served > 4_500, String(served));
    const turns = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind: 'roundRobin' });
    const inTurn = (members: readonly SimulatedPod[]) => {
      const onPanic = () => assert.fail('nobody is out');
      for (const one of members) one.served = 0;
      for (let i = 0; i < 3_000; i += 1) {
        const pod = turns({ members, now: 3_000, random, onPanic, excluded: new Set() });
        if (pod !== undefined) pod.served += 1;
      }
      return members.map(({ served }) => served);
    };
    const [, , added = 0] = inTurn([new SimulatedPod(20, random), new SimulatedPod(20, random), fresh()]);
    assert.ok(added > 80 && added < 220, String(added)); // a tenth of two parts and a tenth: 143
    assert.equal(
      inTurn([fresh(), fresh()]).reduce((sum, one) => sum + one, 0),
      3_000,
    );
  });

  test('one that fails at once is out after seven, and is back when it recovers', () => {
    const random = seeded(3);
    const pods = Array.from({ length: 10 }, () => new SimulatedPod(20, random));
    const bad = pods[0] as SimulatedPod;
    bad.status = 503;
    bad.answerMs = 1;
    simulate(pods, { rps: 500, fromMs: 0, toMs: 60_000, random });
    const total = pods.reduce((sum, { served }) => sum + served, 0);
    assert.ok(bad.served / total < 0.01, `${pods.map(({ served }) => served)}`);
    bad.status = 200;
    bad.answerMs = 20;
    for (const pod of pods) pod.served = 0;
    simulate(pods, { rps: 500, fromMs: 60_000, toMs: 240_000, random });
    assert.equal(bad.out, false);
    assert.ok(bad.served > 3_000, `${pods.map(({ served }) => served)}`);
  });

  test('when every pod fails, requests still go somewhere, and recovery is seen', () => {
    const random = seeded(4);
    const pods = Array.from({ length: 4 }, () => new SimulatedPod(5, random));
    for (const pod of pods) pod.status = 500;
    const panics = simulate(pods, { rps: 100, fromMs: 0, toMs: 10_000, random });
    assert.ok(panics > 100, String(panics));
    assert.equal(
      pods.reduce((sum, { served }) => sum + served, 0),
      1_000,
    );
    for (const pod of pods) pod.status = 200;
    simulate(pods, { rps: 100, fromMs: 10_000, toMs: 60_000, random });
    for (const pod of pods) assert.equal(pod.out, false);
  });
});
