import { setTimeout as sleep } from 'node:timers/promises';
import type { Behaviour, Seen } from './application.ts';
import type { FailureMesh } from './failure-mesh.ts';
import type { Finding } from './finding.ts';
import { failed, type Outcome } from './open-loop.ts';

const PER_SECOND = 500;
/** linkerd's failure accrual as the daemon has it: out after so many, and the first time for a second, ± a quarter. */
const FAILURES = 7;
const LEAST_OUT_MS = 750;
const GET = { methods: ['GET'] } as const;

/** Nine pods and one that takes ten times as long. */
export async function slowPod(mesh: FailureMesh): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const [latencyMs, slowMs] of [
    [5, 50],
    [20, 200],
  ] as const) {
    const set = await mesh.pods(`slow-${slowMs}`, tenOnThree());
    await set.behaveAll({ latencyMs });
    const slow = set.pods[4];
    if (slow === undefined) throw new Error('no pods');
    await set.behave(slow, { latencyMs: slowMs });
    const outcomes = await mesh.load('node-1', set.service, { perSecond: PER_SECOND, seconds: 8, ...GET });
    set.stop();
    const what = `part of one of ten pods that takes ${slowMs} ms, the others ${latencyMs}`;
    findings.push({ case: 'Slow pod', what, measured: share(outcomes, slow.name), unit: ' %', limit: 3 });
  }
  return findings;
}

/** One of ten answers 503 at once for some seconds, and then recovers. */
export async function failingPod(mesh: FailureMesh): Promise<Finding[]> {
  const FAILING_S = 8;
  const set = await mesh.pods('failing', tenOnThree());
  await set.behaveAll({ latencyMs: 5 });
  const bad = set.pods[4];
  if (bad === undefined) throw new Error('no pods');
  const load = mesh.load('node-1', set.service, { perSecond: PER_SECOND, seconds: 26, ...GET });
  await sleep(1_000);
  await set.behave(bad, { failureRate: 1 });
  const badAt = Date.now();
  await sleep(FAILING_S * 1_000);
  await set.behave(bad, { latencyMs: 5 });
  const goodAt = Date.now();
  const outcomes = await load;
  const asked = (await set.seen()).get(bad.name) ?? [];
  set.stop();
  const failing = timesBetween(asked, badAt, goodAt);
  const meanwhile = outcomes.filter(({ atMs }) => atMs >= badAt && atMs < goodAt);
  const after = outcomes.filter(({ pod, atMs }) => pod === bad.name && atMs >= goodAt);
  const probes = after.findIndex(({ status }) => status === 200) + 1;
  const outAfterMs = (failing[FAILURES] ?? Number.POSITIVE_INFINITY) - (failing[FAILURES - 1] ?? 0);
  const last = outcomes.filter(({ atMs }) => atMs >= (outcomes.at(-1)?.atMs ?? 0) - 3_000);
  const of = 'Failing pod';
  return [
    {
      case: of,
      what: 'part of one of ten pods that answers 503 at once',
      measured: share(meanwhile, bad.name),
      unit: ' %',
      limit: 1,
    },
    {
      case: of,
      what: 'requests within 0.75 s of its seventh failure',
      measured: outAfterMs >= LEAST_OUT_MS ? 0 : 1,
      unit: '',
      limit: 0,
    },
    {
      case: of,
      what: 'probes after it has recovered, until it is back',
      measured: probes === 0 ? 99 : probes,
      unit: '',
      limit: 2,
    },
    { case: of, what: 'its part in the last 3 s', measured: share(last, bad.name), unit: ' %' },
  ];
}

/** Nine pods on one node and one on another, asked from either. */
export async function unevenNodes(mesh: FailureMesh): Promise<Finding[]> {
  const set = await mesh.pods('uneven', [...Array.from({ length: 9 }, () => 'node-1'), 'node-2']);
  await set.behaveAll({ latencyMs: 5 });
  const findings: Finding[] = [];
  for (const [node, which] of [
    ['node-1', 'the nine'],
    ['node-2', 'the one'],
    ['node-3', 'none'],
  ] as const) {
    const outcomes = await mesh.load(node, set.service, { perSecond: 800, seconds: 6, ...GET });
    const furthest = Math.max(...set.pods.map(({ name }) => Math.abs(share(outcomes, name) - 10)));
    const what = `furthest from 10 %, asked from the node with ${which}`;
    findings.push({ case: 'Nine pods here, one there', what, measured: furthest, unit: ' points', limit: 1.5 });
  }
  set.stop();
  return findings;
}

/** All pods fail all requests, of which all may be tried again. */
export async function retryBudget(mesh: FailureMesh): Promise<Finding[]> {
  const [perSecond, seconds] = [300, 10];
  const set = await mesh.pods('budget', tenOnThree());
  await set.behaveAll({ failureRate: 1, failureMs: 5 });
  const outcomes = await mesh.load('node-1', set.service, { perSecond, seconds, methods: ['GET', 'POST'] });
  const ids = new Set(outcomes.map(({ id }) => id));
  const tries = new Map<string, number>();
  for (const [, id] of [...(await set.seen()).values()].flat()) {
    if (ids.has(id)) tries.set(id, (tries.get(id) ?? 0) + 1);
  }
  set.stop();
  const extra = [...tries.values()].reduce((sum, count) => sum + count, 0) - outcomes.length;
  const of = 'Every answer is 503';
  const allowed = Math.floor(0.2 * outcomes.length + 10 * seconds);
  return [
    {
      case: of,
      what: `retries of ${outcomes.length} requests in ${seconds} s, retryableAll5XX`,
      measured: extra,
      unit: '',
      limit: allowed,
    },
    { case: of, what: 'tries of one request, at most', measured: Math.max(...tries.values()), unit: '', limit: 3 },
  ];
}

/** All pods fail until all are out, and recover at one moment. */
export async function panic(mesh: FailureMesh): Promise<Finding[]> {
  const set = await mesh.pods('panic', tenOnThree());
  await set.behaveAll({ failureRate: 1 });
  const load = mesh.load('node-1', set.service, { perSecond: PER_SECOND, seconds: 8, ...GET });
  await sleep(5_000);
  const failing = Date.now();
  const healthy: Behaviour = { latencyMs: 5 };
  await set.behaveAll(healthy);
  const healthyAt = Date.now();
  const outcomes = await load;
  set.stop();
  const before = outcomes.filter(({ atMs }) => atMs < failing);
  const after = outcomes.filter(({ atMs }) => atMs >= healthyAt);
  const of = 'All pods out';
  return [
    {
      case: of,
      what: 'requests that no pod was asked, while all fail',
      measured: before.filter(({ pod }) => pod === undefined).length,
      unit: '',
      limit: 0,
    },
    {
      case: of,
      what: `failures of ${after.length} requests from the moment all have recovered`,
      measured: failed(after).length,
      unit: '',
      limit: 0,
    },
  ];
}

function tenOnThree(): string[] {
  return Array.from({ length: 10 }, (_, i) => `node-${(i % 3) + 1}`);
}

/** A pod's part of the answers, in hundredths. */
function share(outcomes: readonly Outcome[], name: string): number {
  return (100 * outcomes.filter(({ pod }) => pod === name).length) / Math.max(1, outcomes.length);
}

function timesBetween(seen: Seen, fromMs: number, toMs: number): number[] {
  return seen.flatMap(([atMs]) => (atMs >= fromMs && atMs < toMs ? [atMs] : []));
}
