import assert from 'node:assert/strict';
import { it } from 'node:test';
import { formatMs, formatRate, formatShare, formatSpan } from '../../console/format.ts';
import { certificateLevel, levelOf } from '../../console/health.ts';
import { keepLatest, parseTapRecord, TAP_KEPT } from '../../console/live/tap-stream.ts';
import { chosenGraph, GROUP_ABOVE, wholeGraph } from '../../console/map/graph.ts';
import { layOut } from '../../console/map/layout.ts';
import { keepSeen } from '../../console/map/seen.ts';
import { fit, zoom } from '../../console/map/viewport.ts';
import { parseRoute, routeTo } from '../../console/route.ts';
import { SCENES } from '../../scripts/console/scenes.ts';

const ALL = { namespace: '', search: '', focus: '', grouped: false, open: new Set<string>() };

it('100% is said only where nothing failed', () => {
  const shares = [1, 0.99999, 0.999, 0.99, 0.98999, 0.5, 0, null].map(formatShare);
  assert.deepEqual(shares, ['100%', '99.99%', '99.90%', '99.00%', '98.9%', '50.0%', '0%', '–']);
});

it('numbers are as long as they are worth', () => {
  assert.deepEqual([0, 0.01, 0.4, 12.34, 99.96, 456.7, 12_345, 1_250_000].map(formatRate), [
    '0',
    '<0.1',
    '0.4',
    '12.3',
    '100',
    '457',
    '12.3k',
    '1.3M',
  ]);
  assert.deepEqual([null, 0.82, 12.4, 1_240].map(formatMs), ['–', '0.8 ms', '12 ms', '1.24 s']);
  assert.deepEqual([45_000, 5_400_000, 82_800_000, 1_036_800_000].map(formatSpan), [
    '45 s',
    '90 min',
    '23 h',
    '12 days',
  ]);
});

it('levels begin where they are said to begin', () => {
  assert.deepEqual([null, 1, 0.99, 0.98, 0.95, 0.94].map(levelOf), ['none', 'good', 'good', 'warn', 'warn', 'bad']);
  assert.deepEqual(
    [null, 1_000, 999_999_999].map((at) => certificateLevel(at, 1_000)),
    ['none', 'bad', 'good'],
  );
});

it('an address leads back to its view, whatever the names in it', () => {
  const route = parseRoute(routeTo('services', ['a/b?c#d', '%']));
  assert.deepEqual([route.view, ...route.rest], ['services', 'a/b?c#d', '%']);
  assert.equal(parseRoute('#/nowhere/x').view, 'overview');
  assert.equal(parseRoute('#/services/%E0%A4').view, 'services');
});

it('many nodes are one a namespace, and an opened one shows its Services', () => {
  const whole = wholeGraph(SCENES.large(0));
  assert.ok(whole.nodes.length > GROUP_ABOVE);
  const grouped = chosenGraph(whole, { ...ALL, grouped: true });
  assert.equal(grouped.nodes.length, 20);
  assert.equal(
    grouped.nodes.reduce((sum, { members }) => sum + members, 0),
    500,
  );
  const opened = chosenGraph(whole, { ...ALL, grouped: true, open: new Set(['team-03']) });
  assert.equal(opened.nodes.length, 19 + 25);
});

it('a focus shows one node and its neighbours', () => {
  const { nodes } = chosenGraph(wholeGraph(SCENES.shop(0)), { ...ALL, focus: 'service:payments/gateway' });
  assert.deepEqual(nodes.map(({ name }) => name).sort(), ['checkout', 'fraud', 'gateway']);
});

it('an edge that is quiet stays, without traffic, until an end of it goes', () => {
  const mesh = SCENES.shop(0);
  const before = wholeGraph(mesh);
  const quiet = wholeGraph({ ...mesh, edges: mesh.edges.filter(({ target }) => target.name !== 'fraud') });
  const kept = keepSeen(before, quiet);
  assert.deepEqual(
    kept.edges.map(({ id }) => id),
    before.edges.map(({ id }) => id),
  );
  assert.equal(kept.edges.find(({ to }) => to === 'service:payments/fraud')?.rps, 0);
  assert.equal(keepSeen(before, { nodes: [], edges: [] }).edges.length, 0);
});

it('callers stand left of whom they call, each in its place', () => {
  const graph = wholeGraph(SCENES.shop(0));
  const nodes = graph.nodes.map(({ id }) => ({ id, width: 100, height: 40 }));
  const layout = layOut({ nodes, edges: graph.edges });
  for (const { from, to } of graph.edges)
    assert.ok((layout.nodes[from]?.x ?? 0) < (layout.nodes[to]?.x ?? 0), `${from} ${to}`);
  const places = new Set(Object.values(layout.nodes).map(({ x, y }) => `${x} ${y}`));
  assert.equal(places.size, nodes.length);
  assert.deepEqual(layOut({ nodes, edges: graph.edges }), layout);
});

it('what is under the pointer stays there while the map is zoomed', () => {
  const before = fit({ width: 1_000, height: 500 }, { width: 500, height: 500 });
  assert.deepEqual(before, { scale: 0.5, left: 0, top: 125 });
  const after = zoom(before, 2, 100, 200);
  assert.equal((100 - after.left) / after.scale, (100 - before.left) / before.scale);
});

it('a tap keeps the newest, and takes whatever comes', () => {
  const record = (number: number) => parseTapRecord('{"method":"GET","status":"no number","retries":[1]}', number);
  const fresh = Array.from({ length: TAP_KEPT + 5 }, (_, index) => record(index)).filter((one) => one !== undefined);
  const kept = keepLatest([], fresh);
  assert.equal(kept.length, TAP_KEPT);
  assert.equal(kept[0]?.number, TAP_KEPT + 4);
  assert.equal(kept[0]?.status, 0);
  assert.equal(parseTapRecord('null', 1), undefined);
});
