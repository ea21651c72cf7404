import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Clock } from '../../scripts/simulate/clock.ts';
import { LINKERD } from '../../scripts/simulate/linkerd-subject.ts';
import { nodemesh } from '../../scripts/simulate/nodemesh-subject.ts';
import { LEAST_LOADED, ROUND_ROBIN } from '../../scripts/simulate/plain-subjects.ts';
import { chart, page } from '../../scripts/simulate/report.ts';
import { SCENARIOS } from '../../scripts/simulate/scenarios.ts';
import { type Scenario, simulate } from '../../scripts/simulate/simulation.ts';

const NODEMESH = nodemesh('nodemesh');

function scenario(name: string): Scenario {
  const found = SCENARIOS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found;
}

test('a virtual clock lets things happen in the order of their times, and of asking at the same time', () => {
  const clock = new Clock();
  const seen: string[] = [];
  const note = (text: string) => () => seen.push(`${text} ${clock.now}`);
  clock.at(30, note('late'));
  for (const text of ['a', 'b', 'c']) clock.at(20, note(text));
  clock.at(10, () => clock.after(5, note('asked for meanwhile')));
  clock.at(41, note('never'));
  clock.run(40);
  assert.deepEqual(seen, ['asked for meanwhile 15', 'a 20', 'b 20', 'c 20', 'late 30']);
  assert.equal(clock.now, 40);
});

test('the same seed gives the same, another seed another', () => {
  const quiet: Scenario = { ...scenario('uneven nodes'), seconds: 3, fromMs: 1_000, toMs: 3_000 };
  for (const subject of [NODEMESH, LINKERD, LEAST_LOADED, ROUND_ROBIN]) {
    const [one, same, other] = [1, 1, 2].map((seed) => simulate(quiet, subject, seed));
    assert.deepEqual(one, same);
    assert.notDeepEqual(one, other);
    assert.equal(one?.success, 1, subject.name);
  }
});

test('bad pods get next to nothing of nodemesh, and their part of round robin', () => {
  for (const name of ['slow pod', 'fast-failing pod']) {
    const bad = scenario(name);
    const share = (one: typeof NODEMESH) => simulate(bad, one, 3).share ?? Number.NaN;
    assert.ok(share(NODEMESH) < 0.005, name);
    assert.ok(simulate(bad, NODEMESH, 3).success > 0.9998, name);
    assert.ok(Math.abs(share(ROUND_ROBIN) - 1 / 60) < 0.002, name);
  }
});

test('a pod that fails at once is out for a thousand nodes, of which none hears of it often', () => {
  const { share = 1, success } = simulate(scenario('fast-failing pod, 1 000 nodes'), NODEMESH, 3);
  assert.ok(share < 0.001 && success > 0.999, `${share} ${success}`);
});

test("linkerd's examples: more than 99.5 % succeed", () => {
  for (const name of ["linkerd's failure-accrual example", "linkerd's add-steps example"]) {
    const { success } = simulate(scenario(name), NODEMESH, 3);
    assert.ok(success > 0.995, `${name}: ${success}`);
  }
});

test('nine pods on one node and one on another get a tenth each, which choosing nodes does not give', () => {
  const uneven: Scenario = {
    ...scenario('uneven nodes'),
    shape: { hosts: 2, podsOn: (i) => (i === 0 ? 9 : 1) },
    requestsPerSecond: 200,
  };
  const share = (one: typeof NODEMESH) => simulate(uneven, one, 4).share ?? Number.NaN;
  assert.ok(Math.abs(share(NODEMESH) - 0.1) < 0.015);
  assert.ok(share(LINKERD) > 0.2);
});

test('a node without power costs nobody a request, and pods that are replaced do not either, nor with slow start', () => {
  const slowStart = nodemesh('slow start', { slowStartMs: 30_000 });
  for (const [name, subject] of [
    ['dead host', NODEMESH],
    ['rolling restart', NODEMESH],
    ['rolling restart', slowStart],
  ] as const) {
    const { success } = simulate(scenario(name), subject, 5);
    assert.ok(success > 0.9999, `${name}: ${success}`);
  }
});

test('when everything fails, retries stay within a fifth and ten a second of each node', () => {
  const storm = scenario('retry storm');
  const { attemptsPerRequest } = simulate(storm, NODEMESH, 6);
  // Of 165 requests a second: a fifth, ten, and the reserve of ten seconds over twenty.
  assert.ok(attemptsPerRequest <= 1 + 0.2 + (10 + 100 / 20) / 165 + 0.02, String(attemptsPerRequest));
  assert.ok(simulate(storm, ROUND_ROBIN, 6).attemptsPerRequest > 2.9);
});

test('the page has a table for each scenario, and the chart is one drawing', () => {
  const quiet: Scenario = { ...scenario('uneven nodes'), seconds: 2, fromMs: 0, toMs: 2_000 };
  const played = [{ scenario: quiet, results: [{ subject: NODEMESH, measured: simulate(quiet, NODEMESH, 1) }] }];
  assert.match(page(played), /## Uneven nodes\n\n.*\n\n\| {2}\| succeeded .*\n.*\n\| \*\*nodemesh\*\* \| 100\.000 % /);
  const drawing = chart(played);
  assert.equal(drawing.match(/<rect /g)?.length, 1);
  assert.ok(drawing.startsWith('<svg ') && drawing.endsWith('</svg>\n'));
});
