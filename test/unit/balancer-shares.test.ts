import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DEFAULT_BALANCER, makeBalancer } from '../../daemon/balancer/balancer.ts';
import { POD_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import { exponential, seeded } from '../../scripts/simulate/random.ts';
import { podsOf, SimulatedPod, simulate } from '../support/simulated-pods.ts';

describe('ten pods on a virtual clock', () => {
  const NOISES = {
    'little noise': () => undefined,
    'as much noise again, exponential': (ms: number, random: () => number) => () => exponential(ms, random) - ms / 2,
  };
  for (const [noise, noiseOf] of Object.entries(NOISES)) {
    for (const [usualMs, slowMs] of [
      [1, 10],
      [5, 50],
      [20, 200],
      [100, 1_000],
    ] as const) {
      test(`${noise}: one of ${slowMs} ms among nine of ${usualMs} gets less than 3 % of the traffic`, () => {
        const random = seeded(1);
        const pods = podsOf(10, (i) => new SimulatedPod(i === 0 ? slowMs : usualMs, random));
        for (const pod of pods) pod.noiseMs = noiseOf(pod.answerMs, random);
        simulate(pods, { rps: 500, fromMs: 0, toMs: 60_000, random });
        const total = pods.reduce((sum, { served }) => sum + served, 0);
        assert.ok((pods[0]?.served ?? 0) / total < 0.03, `${pods.map(({ served }) => served)}`);
      });
    }
  }

  const HEAVY = (random: () => number) => () => exponential(3, random) + (random() < 0.01 ? 50 : 0);
  for (const [what, nearMs, farMs, noiseOf] of [
    ['little noise', 1, 2, () => undefined],
    ['little noise', 4, 5, () => undefined],
    ['heavy noise', 0.5, 1.5, HEAVY],
  ] as const) {
    test(`${what}: a pod at ${nearMs} ms and nine at ${farMs} get a tenth each, give or take 1.5 %`, () => {
      const random = seeded(2);
      const pods = podsOf(10, (i) => new SimulatedPod(i === 0 ? nearMs : farMs, random));
      for (const pod of pods) pod.noiseMs = noiseOf(random);
      simulate(pods, { rps: 500, fromMs: 0, toMs: 120_000, random });
      for (const { served } of pods) assert.ok(Math.abs(served / 60_000 - 0.1) < 0.015, `${pods.map((p) => p.served)}`);
    });
  }

  test('three fresh pods get a third each of 900 requests one by one, whatever the noise', () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const random = seeded(seed);
      const pods = podsOf(3, () => new SimulatedPod(2, random));
      // The first answers come from cold processes, and the machine is busy with others.
      const noise = () => exponential(2, random) + (random() < 0.04 ? 20 + 80 * random() : 0);
      for (const pod of pods) pod.noiseMs = () => noise() + (pod.served < 4 ? exponential(100, random) : 0);
      let now = 0;
      const pick = makeBalancer<SimulatedPod>(DEFAULT_BALANCER);
      for (let i = 0; i < 900; i += 1) {
        const pod = pick({ members: pods, now, random, onPanic: assert.fail, excluded: new Set() }) as SimulatedPod;
        const answerMs = pod.answerMs + (pod.noiseMs as () => number)();
        pod.served += 1;
        pod.load_.begin(now);
        now += answerMs;
        pod.load_.answered(200, answerMs, now);
        pod.load_.end(undefined);
      }
      for (const { served } of pods) assert.ok(Math.abs(served - 300) < 75, `${pods.map((one) => one.served)}`);
    }
  });

  test('pods nearer and farther by less than the floor share alike', () => {
    const random = seeded(2);
    const pods = podsOf(10, (i) => new SimulatedPod(i === 0 ? 0.3 : 0.9, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 120_000, random });
    for (const { served } of pods) assert.ok(Math.abs(served / 60_000 - 0.1) < 0.015, `${pods.map((p) => p.served)}`);
  });

  const SLOW_START = { ...DEFAULT_BALANCER, slowStartMs: 30_000 };

  test('a new one gets its share at once', () => {
    const random = seeded(6);
    const pods = podsOf(9, () => new SimulatedPod(20, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 10_000, random });
    const added = new SimulatedPod(20, random);
    simulate([...pods, added], { rps: 500, fromMs: 10_000, toMs: 20_000, random });
    assert.ok(Math.abs(added.served - 500) < 75, String(added.served));
  });

  test('with slow start it gets a tenth of its share, which grows to the whole within that time', () => {
    const random = seeded(6);
    const pick = makeBalancer<SimulatedPod>(SLOW_START);
    const pods = podsOf(9, () => new SimulatedPod(20, random));
    simulate(pods, { rps: 500, fromMs: 0, toMs: 10_000, random });
    const added = new SimulatedPod(20, random);
    added.load_.warmUp(10_000, SLOW_START.slowStartMs);
    const all = [...pods, added];
    const share = (fromMs: number, toMs: number) => {
      added.served = 0;
      simulate(all, { rps: 500, fromMs, toMs, random, pick });
      return added.served / ((toMs - fromMs) / 2);
    };
    const shares = [share(10_000, 13_000), share(13_000, 22_000), share(22_000, 28_000), share(40_000, 70_000)];
    const wanted = [0.01, 0.025, 0.05, 0.1];
    for (const [i, one] of shares.entries()) {
      assert.ok(Math.abs(one - (wanted[i] as number)) < (wanted[i] as number) * 0.45, `shares ${shares}`);
    }
  });

  test('new ones alone serve all, and in turn a new one is passed over in part', () => {
    const random = seeded(7);
    const fresh = () => {
      const pod = new SimulatedPod(20, random);
      pod.load_.warmUp(0, SLOW_START.slowStartMs);
      return pod;
    };
    const alike = [fresh(), fresh()];
    simulate(alike, { rps: 500, fromMs: 0, toMs: 20_000, random, pick: makeBalancer(SLOW_START) });
    for (const { served } of alike) assert.ok(served > 4_500, String(served));
    const turns = makeBalancer<SimulatedPod>({ ...SLOW_START, kind: 'roundRobin' });
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
    const pods = podsOf(10, () => new SimulatedPod(20, random));
    const bad = pods[0] as SimulatedPod;
    bad.status = 503;
    bad.answerMs = 1;
    simulate(pods, { rps: 500, fromMs: 0, toMs: 60_000, random });
    const total = pods.reduce((sum, { served }) => sum + served, 0);
    assert.ok(bad.served / total < 0.01, `${pods.map(({ served }) => served)}`);
    bad.status = 200;
    bad.answerMs = 20;
    bad.probes = 0;
    for (const pod of pods) pod.served = 0;
    simulate(pods, { rps: 500, fromMs: 60_000, toMs: 240_000, random });
    assert.equal(bad.out, false);
    assert.ok(bad.probes <= 2, `${bad.probes} probes`);
    assert.ok(bad.served > 3_000, `${pods.map(({ served }) => served)}`);
  });

  for (const kind of ['ewma', 'p2c'] as const) {
    test(`${kind}: one that asks for none for a while gets next to none until then, and its share afterwards`, () => {
      const random = seeded(8);
      const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind });
      const pods = podsOf(10, () => new SimulatedPod(20, random));
      const run = (fromMs: number, toMs: number) => {
        for (const pod of pods) pod.served = 0;
        simulate(pods, { rps: 500, fromMs, toMs, random, pick });
        return pods.map(({ served }) => served);
      };
      run(0, 1_000);
      const busy = pods[0] as SimulatedPod;
      busy.load_.waits(30_000, 1_000);
      const [meanwhile = 0] = run(1_000, 30_000);
      assert.ok(meanwhile < 15, `${meanwhile} of 14500`);
      const [afterwards = 0] = run(31_000, 61_000);
      assert.ok(Math.abs(afterwards - 1_500) < 225, String(afterwards));
    });

    test(`${kind}: of pods that all ask for it each gets a part, and one that answers is believed`, () => {
      const random = seeded(9);
      const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind });
      const pods = podsOf(5, () => new SimulatedPod(20, random));
      for (const pod of pods) {
        pod.status = 429;
        pod.retryAfterMs = 60_000;
      }
      simulate(pods, { rps: 100, fromMs: 0, toMs: 20_000, random, pick });
      for (const { served } of pods) assert.ok(served > 200, String(pods.map((pod) => pod.served)));
      for (const pod of pods) {
        pod.status = 200;
        pod.retryAfterMs = undefined;
        pod.served = 0;
      }
      simulate(pods, { rps: 100, fromMs: 20_000, toMs: 40_000, random, pick });
      const believed = pods.filter(({ served }) => served > 300).length;
      assert.ok(believed >= 4, 'the last one to be asked may have to wait until its time is over');
      simulate(pods, { rps: 100, fromMs: 40_000, toMs: 140_000, random, pick });
      for (const { served } of pods) assert.ok(served > 900, String(pods.map((pod) => pod.served)));
    });
  }

  const RATE = { successRate: { least: 0.9, over: { requests: 20 } }, minMs: 10_000, maxMs: 10_000 };
  for (const [what, accrual, part] of [
    ['failures in a row', POD_ACCRUAL, 0.006],
    ['a success rate', { failures: Number.POSITIVE_INFINITY, ...RATE }, 0.003],
  ] as const) {
    test(`${what}: of five pods of which one fails 40 %, ${100 - 100 * part} % of the requests succeed`, () => {
      const random = seeded(11);
      const pods = podsOf(5, () => new SimulatedPod(20, random, accrual));
      const [bad] = pods as [SimulatedPod];
      bad.failingPart = 0.4;
      simulate(pods, { rps: 300, fromMs: 0, toMs: 60_000, random });
      assert.ok(bad.failed < part * 18_000, `${bad.failed} of 18000`);
    });
  }

  for (const [rps, least, most] of [
    [1, 1, 1],
    [500, 5, 6], // ten under way, two at each
    [2_500, 20, 20],
  ] as const) {
    test(`aperture: ${rps} requests a second keep to ${least} to ${most} of twenty pods`, () => {
      const random = seeded(12);
      const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind: 'aperture' });
      const pods = podsOf(20, () => new SimulatedPod(20, random));
      const run = (fromMs: number, toMs: number) => {
        for (const pod of pods) pod.served = 0;
        simulate(pods, { rps, fromMs, toMs, random, pick });
        return pods.filter(({ served }) => served > 0);
      };
      run(0, 19_000);
      const serving = run(19_000, 20_000);
      assert.ok(serving.length >= least && serving.length <= most, String(serving.length));
      if (rps > 1_000) return;
      const [first] = serving as [SimulatedPod];
      for (let i = 0; i < 7; i += 1) first.load_.accrual.failed(20_000);
      const others = run(20_000, 20_700);
      assert.ok(!others.includes(first), 'it is out');
      assert.ok(rps < 10 || others.length >= least, 'another takes its place');
      first.load_.accrual.succeeded(20_700);
      if (rps > 10) assert.ok(run(20_700, 22_000).includes(first), 'and gives it back');
    });
  }

  test('aperture: with less to do fewer pods get any, and the same ones as before', () => {
    const random = seeded(14);
    const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind: 'aperture', smoothWindowMs: 1_000 });
    const pods = podsOf(20, () => new SimulatedPod(20, random));
    const run = (rps: number, fromMs: number, toMs: number) => {
      for (const pod of pods) pod.served = 0;
      simulate(pods, { rps, fromMs, toMs, random, pick });
      return pods.filter(({ served }) => served > 0);
    };
    run(500, 0, 5_000);
    const many = run(500, 5_000, 6_000);
    run(50, 6_000, 12_000);
    const few = run(50, 12_000, 13_000);
    assert.ok(few.length <= 2 && many.length >= 5, `${few.length} of ${many.length}`);
    for (const pod of few) assert.ok(many.includes(pod));
  });

  test('aperture: when all are out, one is used all the same; those tried are left out', () => {
    const random = seeded(13);
    const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind: 'aperture' });
    const members = Array.from({ length: 3 }, () => new SimulatedPod(20, random));
    let panics = 0;
    const onPanic = () => {
      panics += 1;
    };
    const excluded = new Set<SimulatedPod>();
    for (let i = 0; i < 3; i += 1) excluded.add(pick({ members, now: 0, random, onPanic, excluded }) as SimulatedPod);
    assert.deepEqual([excluded.size, excluded.has(undefined as never), panics], [3, false, 0]);
    assert.equal(pick({ members, now: 0, random, onPanic, excluded }), undefined);
    for (const pod of members) for (let i = 0; i < 7; i += 1) pod.load_.accrual.failed(0);
    assert.notEqual(pick({ members, now: 1, random, onPanic, excluded: new Set() }), undefined);
    assert.equal(panics, 1);
  });

  test('p2c: one that fails at once, now and then, does not attract traffic', () => {
    const random = seeded(10);
    const pick = makeBalancer<SimulatedPod>({ ...DEFAULT_BALANCER, kind: 'p2c' });
    const pods = podsOf(10, () => new SimulatedPod(50, random));
    const bad = pods[0] as SimulatedPod;
    bad.answerMs = 1;
    bad.status = 429;
    simulate(pods, { rps: 500, fromMs: 0, toMs: 30_000, random, pick });
    assert.ok(bad.served < 1_500, `${bad.served} of 15000`);
  });

  test('when every pod fails, half of them stay in, requests go somewhere, and recovery is seen', () => {
    const random = seeded(4);
    let panics = 0;
    const onPanic = () => {
      panics += 1;
    };
    const pods = podsOf(4, () => new SimulatedPod(5, random), onPanic);
    for (const pod of pods) pod.status = 500;
    assert.ok(simulate(pods, { rps: 100, fromMs: 0, toMs: 10_000, random }) < 3, 'five draws find one that is in');
    assert.ok(panics > 100, String(panics));
    assert.equal(pods.filter(({ out }) => out).length, 2);
    assert.equal(
      pods.reduce((sum, { served }) => sum + served, 0),
      1_000,
    );
    for (const pod of pods) pod.status = 200;
    simulate(pods, { rps: 100, fromMs: 10_000, toMs: 60_000, random });
    for (const pod of pods) assert.equal(pod.out, false);
  });
});
