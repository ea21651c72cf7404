import { setTimeout as sleep } from 'node:timers/promises';
import type { FailureMesh } from './failure-mesh.ts';
import type { Finding } from './finding.ts';
import { failed, type Outcome, reasons } from './open-loop.ts';
import type { PodSet } from './pod-set.ts';

const PER_SECOND = 500;
const RESTART_SECONDS = 16;
/** Until a daemon that is gone is no longer called ready. */
const NOTICED_MS = 1_500;
const AWAY_MS = 2_000;
const SPREAD = ['node-2', 'node-3'];

/** Ends the daemon of a node with half of the pods by SIGKILL, and starts it again. `how`: what the daemons speak. */
export async function killedDaemon(mesh: FailureMesh, how: string): Promise<Finding[]> {
  const set = await mesh.pods('killed', spread(10));
  await set.behaveAll({ latencyMs: 10 });
  const load = mesh.load('node-1', set.service, { perSecond: PER_SECOND, seconds: 9, methods: ['GET', 'GET', 'POST'] });
  await sleep(2_000);
  const killedAt = Date.now();
  mesh.killDaemon('node-2');
  await sleep(NOTICED_MS);
  await mesh.showDaemons(['node-1', 'node-3']);
  await sleep(AWAY_MS);
  await mesh.startDaemon('node-2');
  await mesh.showDaemons(['node-1', 'node-2', 'node-3']);
  const outcomes = await load;
  set.stop();
  const [gets, posts] = byMethod(outcomes);
  const later = failed(outcomes).filter(({ atMs, latencyMs }) => atMs + latencyMs > killedAt + 1_000);
  const of = `kill -9 of a daemon, ${how}`;
  return [
    {
      case: of,
      what: `failures of ${gets.length} GETs`,
      measured: failed(gets).length,
      unit: '',
      limit: 0,
      reasons: reasons(gets),
    },
    { case: of, what: 'failures after 1 s', measured: later.length, unit: '', limit: 0 },
    {
      case: of,
      what: `failures of ${posts.length} POSTs, which may have been worked on`,
      measured: failed(posts).length,
      unit: '',
    },
    { case: of, what: 'longest answer to a GET', measured: longest(gets), unit: ' ms' },
  ];
}

/** Replaces 20 pods, two at a time. `abrupt`: pods that end at SIGTERM, whatever is under way. */
export async function rollingRestart(mesh: FailureMesh, how: string, abrupt: boolean): Promise<Finding[]> {
  const set = await mesh.pods(abrupt ? 'abrupt' : 'rolling', spread(20));
  const behaviour = { latencyMs: 10, abrupt };
  await set.behaveAll(behaviour);
  const over = new AbortController();
  const load = mesh.load('node-1', set.service, {
    perSecond: PER_SECOND,
    seconds: RESTART_SECONDS,
    methods: ['GET', 'POST'],
    end: over.signal,
  });
  await sleep(500);
  const startedAt = performance.now();
  const old = set.pods;
  for (let i = 0; i < old.length; i += 2) {
    const pair = old.slice(i, i + 2);
    await set.add(
      pair.map(({ node }) => node),
      behaviour,
    );
    await Promise.all(pair.map((pod) => set.end(pod)));
    await sleep(200);
  }
  const tookS = (performance.now() - startedAt) / 1_000;
  await sleep(500);
  over.abort();
  const outcomes = await load;
  const [gets, posts] = byMethod(outcomes);
  const twice = await workedOnTwice(set, posts);
  set.stop();
  const of = `Rolling restart of 20 pods${abrupt ? ' that die at once' : ''}, ${how}`;
  return [
    {
      case: of,
      what: `failures of ${gets.length} GETs`,
      measured: failed(gets).length,
      unit: '',
      limit: 0,
      reasons: reasons(gets),
    },
    {
      case: of,
      what: `failures of ${posts.length} POSTs${abrupt ? ', which may have been worked on' : ''}`,
      measured: failed(posts).length,
      unit: '',
      ...(abrupt ? {} : { limit: 0 }),
      reasons: reasons(posts),
    },
    ...(abrupt ? [] : [{ case: of, what: 'POSTs that pods worked on twice', measured: twice, unit: '', limit: 0 }]),
    { case: of, what: 'seconds that it took', measured: tookS, unit: ' s' },
  ];
}

function spread(count: number): string[] {
  return Array.from({ length: count }, (_, i) => SPREAD[i % SPREAD.length] as string);
}

function byMethod(outcomes: readonly Outcome[]): [Outcome[], Outcome[]] {
  return [outcomes.filter(({ method }) => method === 'GET'), outcomes.filter(({ method }) => method === 'POST')];
}

function longest(outcomes: readonly Outcome[]): number {
  return Math.round(Math.max(...outcomes.map(({ latencyMs }) => latencyMs)));
}

/** How many of the requests came to pods more than once; pods that were killed have told nothing. */
async function workedOnTwice(set: PodSet, posts: readonly Outcome[]): Promise<number> {
  const ids = new Map(posts.map(({ id }) => [id, 0]));
  for (const [, id] of [...(await set.seen()).values()].flat()) {
    const count = ids.get(id);
    if (count !== undefined) ids.set(id, count + 1);
  }
  return [...ids.values()].filter((count) => count > 1).length;
}
