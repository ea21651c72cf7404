import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterState } from '../../daemon/discovery/cluster-state.ts';
import type { Node } from '../../lib/kubernetes/node.ts';

const node = (name: string): Node => ({ name, ips: [], podCIDRs: [], zone: undefined });
const MINUTE = 60_000;

function cluster(...names: string[]) {
  const clock = { now: 1_000 };
  const state = new ClusterState('node-1', () => clock.now);
  const come = (name: string) =>
    state.apply({ kind: 'nodes', changes: [{ key: name, object: node(name), previous: undefined }] });
  const go = (name: string) =>
    state.apply({ kind: 'nodes', changes: [{ key: name, object: undefined, previous: node(name) }] });
  for (const name of names) come(name);
  return { clock, state, come, go, read: () => state.apply({ kind: 'read', what: 'nodes' }) };
}

test('a node that was deleted is gone a minute later, and no more when it is back', () => {
  const { clock, state, come, go, read } = cluster('node-1', 'node-2');
  read();
  clock.now += 10 * MINUTE;
  go('node-2');
  clock.now += MINUTE - 1;
  assert.equal(state.nodeGone('node-2'), false, 'nodes flap');
  clock.now += 1;
  assert.deepEqual([state.nodeGone('node-1'), state.nodeGone('node-2')], [false, true]);
  come('node-2');
  assert.equal(state.nodeGone('node-2'), false);
});

test('a node that was deleted before this daemon started is gone, once all that are there have been known for a minute', () => {
  const { clock, state, read } = cluster('node-1');
  clock.now += 10 * MINUTE;
  assert.equal(state.nodeGone('node-2'), false, 'nodes have not been read');
  read();
  assert.equal(state.nodeGone('node-2'), false);
  clock.now += MINUTE;
  assert.equal(state.nodeGone('node-2'), true);
});

test('while the API server is away, who is unknown may be new; who was deleted before, is gone', () => {
  const { clock, state, go, read } = cluster('node-1', 'node-2');
  read();
  go('node-2');
  state.apply({ kind: 'doubted', doubted: true });
  clock.now += 10 * MINUTE;
  assert.deepEqual([state.nodeGone('node-2'), state.nodeGone('node-3')], [true, false]);
  state.apply({ kind: 'doubted', doubted: false });
  assert.equal(state.nodeGone('node-3'), true);
});
