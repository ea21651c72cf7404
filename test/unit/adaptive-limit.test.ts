import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AdaptiveLimit, type Place } from '../../daemon/policy/adaptive-limit.ts';
import { exponential, seeded } from '../../scripts/simulate/random.ts';

const SERVICE_MS = 10;

interface Call {
  readonly endsAt: number;
  readonly place: Place;
  readonly begunAt: number;
}

/** A Service that works on `capacity` requests at a time, in the order in which they come; of one daemon, on a virtual clock. */
class World {
  now = 0;
  capacity: number;
  serviceMs = SERVICE_MS;
  refused = 0;
  latenciesMs: number[] = [];
  readonly limit: AdaptiveLimit;
  readonly #random = seeded(1);
  /** When each of those under way ends, the soonest first. */
  readonly #underWay: Call[] = [];
  /** When each of the Service's hands is free. */
  #freeAt: number[] = [];

  constructor(capacity: number, options: { readonly minLimit: number; readonly maxLimit: number }) {
    this.capacity = capacity;
    this.limit = new AdaptiveLimit(options, this.#random);
  }

  /** So many requests a millisecond, at random, for so long; figures are of this time alone. */
  run(ms: number, perMs: number, caller = '10.0.0.1'): void {
    this.refused = 0;
    this.latenciesMs = [];
    const end = this.now + ms;
    while (true) {
      const next = this.now + exponential(1 / perMs, this.#random);
      this.#endUntil(Math.min(next, end));
      if (next >= end) break;
      this.now = next;
      this.ask(caller);
    }
    this.now = end;
  }

  ask(caller: string): boolean {
    const place = this.limit.take(caller, this.now);
    if (place === undefined) {
      this.refused += 1;
      return false;
    }
    this.#freeAt = this.#freeAt.filter((at) => at > this.now).sort((a, b) => a - b);
    const hand = this.#freeAt.length < this.capacity ? this.now : (this.#freeAt.at(-this.capacity) as number);
    const endsAt = hand + this.serviceMs * (0.8 + 0.4 * this.#random());
    this.#freeAt.push(endsAt);
    this.#underWay.push({ endsAt, place, begunAt: this.now });
    return true;
  }

  #endUntil(time: number): void {
    this.#underWay.sort((a, b) => a.endsAt - b.endsAt);
    while (this.#underWay[0] !== undefined && this.#underWay[0].endsAt <= time) {
      const { endsAt, place, begunAt } = this.#underWay.shift() as Call;
      this.latenciesMs.push(endsAt - begunAt);
      place.answered(endsAt - begunAt, endsAt);
    }
  }

  get p99Ms(): number {
    const ascending = this.latenciesMs.toSorted((a, b) => a - b);
    return ascending[Math.floor(ascending.length * 0.99)] as number;
  }
}

const OPTIONS = { minLimit: 3, maxLimit: 1_000 };

describe('adaptive limit', () => {
  for (const capacity of [5, 20, 60]) {
    test(`of a Service that does ${capacity} at a time, asked for three times as much`, () => {
      const world = new World(capacity, OPTIONS);
      const canDo = capacity / SERVICE_MS;
      world.run(5_000, 3 * canDo);
      const limits: number[] = [];
      for (let i = 0; i < 10; i += 1) {
        world.run(1_000, 3 * canDo);
        limits.push(world.limit.limit);
        assert.ok(world.p99Ms < 3 * SERVICE_MS, `p99 ${world.p99Ms} ms`);
        const done = world.latenciesMs.length / 1_000;
        assert.ok(done > 0.9 * canDo, `${done} of ${canDo} requests a ms done`);
      }
      assert.ok(Math.min(...limits) >= capacity && Math.max(...limits) <= 2 * capacity, `${limits}`);
    });
  }

  test('where it falls to a quarter and comes back, so does the limit', () => {
    const world = new World(40, OPTIONS);
    world.run(5_000, 6);
    assert.ok(world.limit.limit >= 40, `${world.limit.limit}`);
    world.capacity = 10;
    world.run(1_000, 6);
    world.run(2_000, 6);
    assert.ok(world.limit.limit <= 20, `${world.limit.limit}`);
    assert.ok(world.p99Ms < 3 * SERVICE_MS, `p99 ${world.p99Ms} ms`);
    world.capacity = 40;
    world.run(2_000, 6);
    world.run(1_000, 6);
    assert.ok(world.limit.limit >= 40, `${world.limit.limit}`);
    assert.ok(world.latenciesMs.length > 0.9 * 4_000);
  });

  for (const serviceMs of [20, 50]) {
    test(`a Service that takes ${serviceMs / SERVICE_MS} times as long is learnt anew within minutes`, () => {
      const world = new World(20, OPTIONS);
      world.run(5_000, 6);
      world.serviceMs = serviceMs;
      world.run(75_000, 6);
      world.run(45_000, 6);
      assert.ok(world.latenciesMs.length > (0.9 * 45_000 * 20) / serviceMs, `${world.latenciesMs.length}`);
      assert.ok(world.p99Ms < 3 * serviceMs, `p99 ${world.p99Ms} ms`);
    });
  }

  test('below what it can do, nothing is refused once the limit has grown', () => {
    const world = new World(40, OPTIONS);
    world.run(5_000, 2);
    world.run(50_000, 2);
    assert.equal(world.refused, 0);
  });

  test('idle or hardly used, it stays', () => {
    const world = new World(20, OPTIONS);
    world.run(5_000, 6);
    world.run(10_000, 0.01);
    const { limit } = world.limit;
    assert.ok(limit >= 20, `${limit}`);
    world.run(3_600_000, 0.01);
    assert.equal(world.limit.limit, limit);
    world.now += 3_600_000;
    world.ask('10.0.0.1');
    assert.equal(world.limit.limit, limit);
  });

  test('never below minLimit nor above maxLimit', () => {
    const world = new World(1, { minLimit: 4, maxLimit: 6 });
    world.run(5_000, 10);
    assert.ok(world.limit.limit >= 4, `${world.limit.limit}`);
    world.serviceMs = 500;
    world.run(60_000, 1);
    assert.ok(world.limit.limit >= 4, `${world.limit.limit}`);
    world.capacity = 100;
    world.serviceMs = 1;
    world.run(10_000, 10);
    assert.equal(world.limit.limit, 6);
  });

  test('what tells nothing of the latency changes nothing, and gives its place back once', () => {
    const limit = new AdaptiveLimit({ minLimit: 2, maxLimit: 10 }, () => 0);
    for (let now = 0; now < 100_000; now += 100) {
      const places = [limit.take('a', now), limit.take('a', now)];
      assert.equal(limit.take('a', now), undefined);
      for (const place of places) {
        assert.ok(place !== undefined);
        place.answered(undefined, now);
        place.answered(1, now);
        place.giveBack();
      }
    }
    assert.equal(limit.limit, 2);
  });

  test('a caller that presses leaves the others their shares', () => {
    const world = new World(20, OPTIONS);
    world.run(10_000, 10, 'noisy');
    let taken = 0;
    for (let i = 0; i < 200; i += 1) {
      world.run(50, 10, 'noisy');
      if (world.ask('quiet')) taken += 1;
    }
    assert.ok(taken >= 195, `${taken}`);
  });
});
