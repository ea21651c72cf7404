import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask, type RawAnswer } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.66.41.1', 'node-2': '127.66.42.1', 'node-3': '127.66.43.1' };
const CALLERS = { 'node-1': '127.66.41.10', 'node-2': '127.66.42.10', 'node-3': '127.66.43.10' };
type Node = keyof typeof NODES;
/** Longer than a pod is out the first, or the second, time. */
const PAUSE_MS = 3_000;

/** Only the tests let time pass. */
let clock = 1_000;
let mesh: TestMesh;
let bad: TestPod;
let good: TestPod;
const state = { failing: true, badSeen: 0, goodFails: false, hangs: false };
/** Answers that the bad pod keeps back. */
const kept: (() => void)[] = [];
const changes = new EventEmitter();

before(async () => {
  mesh = await TestMesh.start(NODES, true, { now: () => clock });
  for (const [node, ip] of Object.entries(CALLERS)) await mesh.pod({ namespace: 'shop', name: `c-${node}`, ip, node });
  bad = await mesh.pod({ namespace: 'shop', name: 'bad', ip: '127.66.42.11', node: 'node-2' }, (_request, response) => {
    state.badSeen += 1;
    const answer = () => response.writeHead(state.failing ? 503 : 200).end('bad');
    if (state.hangs) {
      kept.push(answer);
      changes.emit('change');
    } else answer();
  });
  good = await mesh.pod({ namespace: 'shop', name: 'good', ip: '127.66.43.11', node: 'node-3' }, (_request, response) =>
    response.writeHead(state.goodFails ? 500 : 200).end('good'),
  );
  await mesh.service('shop', 'world', [{ name: 'http', port: 7778 }]);
  await mesh.endpoints('shop', 'world', [good]);
  for (const node of ['node-1', 'node-2', 'node-3'] as const) {
    await until(
      () => from(node),
      ({ status }) => status === 200,
    );
  }
});
after(() => mesh.stop());

/** The daemons look at the clock every 100 ms: two leaps in looks that follow each other would be an event loop that is behind. */
async function pass(ms: number): Promise<void> {
  clock += ms;
  await setTimeout(250);
}

/** Asks a node's outgoing router as a pod of it. */
function from(node: Node, head = 'GET', more = '', body = ''): Promise<RawAnswer> {
  const to = { host: NODES[node], port: mesh.daemon(node).port('outgoing'), localAddress: CALLERS[node] };
  return ask(to, `${head} http://world/ HTTP/1.1\r\nHost: world\r\n${more}`.trimEnd(), body);
}

/** Asks node-2's incoming router for the bad pod, as node-1's daemon would, or from another address. */
function asPeer(more = '', localAddress: string = NODES['node-1'], head = 'GET', body = ''): Promise<RawAnswer> {
  const to = { host: NODES['node-2'], port: mesh.daemon('node-2').port('incoming'), localAddress };
  const pick = `mesh-endpoint: ${bad.ip}:${bad.port}\r\nmesh-service: world.shop\r\n`;
  return ask(to, `${head} / HTTP/1.1\r\nHost: world.shop:7778\r\n${pick}${more}`.trimEnd(), body);
}

async function retried(node: Node): Promise<number> {
  return metricValue(await mesh.daemon(node).metrics(), 'retry_total', { reason: 'endpoint_out' });
}

/** How many requests reach the bad pod meanwhile. */
async function reaching(work: () => Promise<unknown>): Promise<number> {
  const before = state.badSeen;
  await work();
  return state.badSeen - before;
}

async function times(count: number, call: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i += 1) await call();
}

test('the only pod of a Service is asked however it fails', async () => {
  await mesh.endpoints('shop', 'world', [bad]);
  for (const node of ['node-1', 'node-3'] as const) {
    await until(
      () => from(node),
      ({ body }) => body === 'bad',
    );
  }
  const seen = await reaching(() => times(20, async () => assert.equal((await from('node-1')).body, 'bad')));
  assert.equal(seen, 20);
  // Of a daemon that does not know how to insist, too.
  assert.equal(await reaching(() => times(3, asPeer)), 3);
  await mesh.endpoints('shop', 'world', [good, bad]);
  for (const node of ['node-1', 'node-2', 'node-3'] as const) {
    await until(
      () => from(node),
      ({ body }) => body === 'good',
    );
  }
});

test('a pod that fails is out at its own daemon for all senders', async () => {
  const answer = await asPeer();
  assert.equal(answer.status, 503);
  assert.deepEqual(
    ['mesh-error', 'mesh-retryable', 'l5d-err'].map((name) => answer.fields[name]),
    ['endpoint_gone', 'true', 'endpoint_out'],
  );
  const outMs = Number(answer.fields['mesh-out']);
  assert.ok(outMs > 0 && outMs <= 1_250, answer.text);
  assert.equal(await reaching(() => times(20, asPeer)), 0);
});

test('who has nobody else to ask, cannot ask twice, or is no daemon, gets to the pod', async () => {
  const large = 'x'.repeat(64 * 1024 + 1);
  for (const call of [
    () => asPeer('mesh-force: true\r\n'),
    () => asPeer(`Content-Length: ${large.length}\r\n`, NODES['node-1'], 'POST', large),
    () => asPeer('', '127.66.49.9'),
  ]) {
    const seen = await reaching(async () => assert.equal((await call()).body, 'bad'));
    assert.equal(seen, 1);
  }
  assert.equal(await reaching(() => asPeer('Content-Length: 2\r\n', NODES['node-1'], 'POST', 'ab')), 0);
});

test('a sender that has seen one failure leaves it out after one round trip, and nobody sees one', async () => {
  const seen = await reaching(() =>
    times(60, async () => {
      const { status, body } = await from('node-3', 'POST', 'Content-Length: 2\r\n', 'ab');
      assert.equal(`${status} ${body}`, '200 good');
    }),
  );
  assert.equal(seen, 0);
  assert.equal(await retried('node-3'), 1);
});

test("the node's own pods leave it out as well", async () => {
  const seen = await reaching(() => times(60, async () => assert.equal((await from('node-2')).body, 'good')));
  assert.equal(seen, 0);
});

test('an application cannot force its way', async () => {
  const seen = await reaching(() => times(20, () => from('node-3', 'GET', 'mesh-force: true\r\n')));
  assert.equal(seen, 0);
});

test('after its time one request, of whichever sender, finds out that it still fails', async () => {
  await pass(PAUSE_MS);
  const statuses: number[] = [];
  const seen = await reaching(() =>
    times(30, async () => {
      for (const node of ['node-1', 'node-2', 'node-3'] as const) statuses.push((await from(node)).status);
    }),
  );
  assert.equal(seen, 1);
  assert.deepEqual(
    statuses.filter((status) => status !== 200),
    [503],
  );
});

test('when all pods are out, requests get to them', async () => {
  state.goodFails = true;
  // Until they are out for both: from then on nothing is left of the mesh's own answers.
  await times(60, () => from('node-1'));
  await times(60, async () => assert.match((await from('node-1')).body, /^(?:bad|good)$/));
  state.goodFails = false;
  await pass(PAUSE_MS);
  await until(
    () => from('node-1'),
    ({ status }) => status === 200,
  );
});

test('a pod that has recovered is back with one request, for all senders', async () => {
  await pass(10 * PAUSE_MS);
  await times(5, asPeer); // still out: the first of them was the probe
  state.failing = false;
  await pass(10 * PAUSE_MS);
  for (const node of ['node-1', 'node-2', 'node-3'] as const) {
    await until(
      () => from(node),
      ({ body }) => body === 'bad',
    );
  }
  assert.equal((await asPeer()).body, 'bad');
});

test('a pod whose requests wait for each other gets no more of them, and others get them at once', async () => {
  state.hangs = true;
  const refused = async () =>
    metricValue(await mesh.daemon('node-3').metrics(), 'retry_total', { reason: 'endpoint_busy' });
  const answers: RawAnswer[] = [];
  const waiting: Promise<unknown>[] = [];
  const ask = async (calls: number, call: () => Promise<RawAnswer>) => {
    const before = kept.length + answers.length;
    for (let i = 0; i < calls; i += 1) {
      waiting.push(
        call().then((answer) => {
          answers.push(answer);
          changes.emit('change');
        }),
      );
    }
    while (kept.length + answers.length < before + calls) await once(changes, 'change');
  };
  await ask(100, () => asPeer());
  assert.ok(kept.length >= 4 && kept.length < 100, String(kept.length));
  for (const { fields } of answers) {
    assert.deepEqual(
      ['mesh-error', 'mesh-retryable', 'mesh-busy', 'l5d-err'].map((name) => fields[name]),
      ['endpoint_gone', 'true', 'true', 'endpoint_busy'],
    );
  }
  const admitted = kept.length;
  await ask(1, () => asPeer('mesh-force: true\r\n'));
  assert.equal(kept.length, admitted + 1);
  const seen = await reaching(async () => {
    for (let i = 0; i < 40 && (await refused()) === 0; i += 1) assert.equal((await from('node-3')).body, 'good');
  });
  assert.equal(seen, 0);
  assert.equal(await refused(), 1);
  answers.length = 0;
  for (const answer of kept) answer();
  await Promise.all(waiting);
  assert.deepEqual([...new Set(answers.map(({ status, body }) => `${status} ${body}`))], ['200 bad']);
});
