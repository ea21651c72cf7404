import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { LiveViews } from '../../lib/console/live-views.ts';
import type { MeshView } from '../../lib/stats/mesh-view.ts';

function counting() {
  const read: number[] = [];
  const clock = { now: 0 };
  const live = new LiveViews(
    async (windowMs) => {
      read.push(windowMs);
      return { at: read.length } as MeshView;
    },
    () => clock.now,
  );
  return { read, clock, live };
}

function viewer(takes = true) {
  const end = new AbortController();
  const got: string[] = [];
  const state = { takes };
  const write = (text: string) => {
    if (state.takes) got.push(text);
    return state.takes;
  };
  return { end, got, state, write };
}

test('all who look share one reading every two seconds, and nothing is read for nobody', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { read, clock, live } = counting();
  const [a, b] = [viewer(), viewer()];
  live.follow(60_000, a.write, a.end.signal);
  live.follow(55_000, b.write, b.end.signal);
  await setImmediate();
  assert.deepEqual(read, [60_000]);
  const pass = async () => {
    clock.now += 2_000;
    t.mock.timers.tick(2_000);
    await setImmediate();
  };
  await pass();
  await pass();
  assert.deepEqual(read, [60_000, 60_000, 60_000]);
  assert.deepEqual(
    a.got,
    [1, 2, 3].map((at) => `event: mesh\ndata: {"at":${at}}\n\n`),
  );
  assert.deepEqual(b.got, a.got);
  a.end.abort();
  await pass();
  assert.equal(a.got.length, 3);
  assert.equal(b.got.length, 4);
  b.end.abort();
  assert.equal(live.viewers, 0);
  await pass();
  await pass();
  assert.equal(read.length, 4);
});

test('who does not take a view gets the newest next', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { clock, live } = counting();
  const slow = viewer(false);
  live.follow(60_000, slow.write, slow.end.signal);
  await setImmediate();
  for (const takes of [false, false, true]) {
    slow.state.takes = takes;
    clock.now += 2_000;
    t.mock.timers.tick(2_000);
    await setImmediate();
  }
  assert.deepEqual(slow.got, ['event: mesh\ndata: {"at":4}\n\n']);
  slow.end.abort();
});

test('who comes while the last reading of those who went is under way starts no second round', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const clock = { now: 0 };
  const waiting: ((view: MeshView) => void)[] = [];
  const live = new LiveViews(
    () => new Promise((resolve) => waiting.push(resolve)),
    () => clock.now,
  );
  let read = 0;
  const answer = async () => {
    read += waiting.length;
    for (const settle of waiting.splice(0)) settle({ at: read } as MeshView);
    await setImmediate();
  };
  const pass = async () => {
    clock.now += 2_000;
    t.mock.timers.tick(2_000);
    await setImmediate();
  };
  const [first, second] = [viewer(), viewer()];
  live.follow(60_000, first.write, first.end.signal);
  await answer();
  await pass();
  first.end.abort();
  live.follow(60_000, second.write, second.end.signal);
  await answer();
  assert.deepEqual(second.got, ['event: mesh\ndata: {"at":2}\n\n']);
  await pass();
  await answer();
  await pass();
  await answer();
  assert.deepEqual(
    second.got,
    [2, 3, 4].map((at) => `event: mesh\ndata: {"at":${at}}\n\n`),
  );
  second.end.abort();
  await pass();
  assert.equal(waiting.length, 0);
});

test('a reading that fails ends nothing', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let fails = true;
  const live = new LiveViews(
    async () => {
      if (fails) throw new Error('no');
      return { at: 1 } as MeshView;
    },
    () => 0,
  );
  const one = viewer();
  live.follow(60_000, one.write, one.end.signal);
  for (const fail of [true, false]) {
    fails = fail;
    await setImmediate();
    t.mock.timers.tick(2_000);
  }
  await setImmediate();
  assert.equal(one.got.at(-1), 'event: mesh\ndata: {"at":1}\n\n');
  one.end.abort();
});

test('single requests share what was read within a second', async () => {
  const { read, clock, live } = counting();
  assert.deepEqual(await Promise.all([live.current(60_000), live.current(31_000)]), ['{"at":1}', '{"at":1}']);
  clock.now += 999;
  assert.equal(await live.current(60_000), '{"at":1}');
  clock.now += 1;
  assert.equal(await live.current(60_000), '{"at":2}');
  assert.equal(await live.current(5_000), '{"at":3}');
  assert.deepEqual(read, [60_000, 60_000, 10_000]);
});
