import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type SoakSample } from '../../scripts/bench/soak.ts';

const SECONDS = Array.from({ length: 20 }, (_, i) => (i + 1) * 30);
const sample = (atS: number, change: Partial<SoakSample> = {}): SoakSample => ({
  atS,
  fds: 50,
  heapMb: 16,
  rssMb: 100,
  ...change,
});
const unmet = (samples: readonly SoakSample[], wrong = 0) =>
  judge(samples, { get: { done: 1_000, wrong } }).flatMap(({ what, met }) => (met ? [] : [what]));

test('a soak is flat where nothing grows after the warm-up, and says what does', () => {
  assert.deepEqual(unmet(SECONDS.map((atS, i) => sample(atS, { rssMb: i < 3 ? 50 * i : 100 + (i % 2) }))), []);
  const busy = SECONDS.map((atS, i) => sample(atS, { fds: i % 4 === 0 ? 50 : 50 + 20 * i }));
  assert.deepEqual(unmet(busy), []);
  const leaking = SECONDS.map((atS) => sample(atS, { heapMb: 16 + atS / 360, fds: 50 + atS / 30 }));
  assert.deepEqual(unmet(leaking), ['open files, growth an hour', 'heap after collection, growth an hour']);
  assert.deepEqual(
    unmet(
      SECONDS.map((atS) => sample(atS)),
      2,
    ),
    ['requests that ended wrongly'],
  );
});
