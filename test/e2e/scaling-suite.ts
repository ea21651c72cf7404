import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Cluster } from './cluster.ts';
import { type EndpointsState, EndpointsWatch, eventually, kubectl, rolledOut } from './kubectl.ts';
import { failures, greeter, Load, type Shot } from './load.ts';

const RPS = 50; // from each node
const BOUND_MS = 2000;
/** Time for traffic to be seen, or not seen, after the last change. */
const SETTLE_MS = 2 * BOUND_MS;

/** Pods that come and go under a steady load. */
export function scalingSuite(cluster: Cluster, namespace: string): void {
  describe(`under ${RPS} requests a second from each node`, () => {
    it('world is scaled from 3 to 6 to 2 and rolled without a failed request, traffic following within 2 s', async () => {
      const nodes = (await cluster.daemons()).map((daemon) => daemon.node);
      const watch = new EndpointsWatch(namespace, 'world');
      const load = await Load.start(cluster, { namespace, url: 'http://world/', nodes, rps: RPS });

      for (const replicas of [6, 2]) {
        await kubectl(['-n', namespace, 'scale', 'deployment/world', `--replicas=${replicas}`]);
        await eventually(`world has ${replicas} endpoints`, 60_000, async () =>
          watch.states.at(-1)?.ips.length === replicas ? replicas : undefined,
        );
        await settle();
      }
      await kubectl(['-n', namespace, 'rollout', 'restart', 'deployment/world']);
      await rolledOut(namespace, 'deployment/world');
      await settle();

      const shots = await load.stop();
      watch.stop();
      assert.ok(shots.length > 1000, `only ${shots.length} requests`);
      assert.deepEqual(failures(shots), []);
      assert.deepEqual(latecomers(watch.states, shots), []);
      assert.deepEqual(leftovers(watch.states, shots), []);

      await kubectl(['-n', namespace, 'scale', 'deployment/world', '--replicas=3']);
      await rolledOut(namespace, 'deployment/world');
    });
  });
}

/** Nothing can be awaited here: that there is traffic to one pod and none to another shows only in time that has passed. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

interface Presence {
  readonly ip: string;
  readonly from: number;
  /** Infinity while it is there. */
  readonly to: number;
}

/** From when to when each address was a ready endpoint. The first state is where the watch began, and no change. */
function presences(states: readonly EndpointsState[]): Presence[] {
  const done: Presence[] = [];
  const present = new Map<string, number>();
  for (const { at, ips } of states) {
    for (const ip of ips) if (!present.has(ip)) present.set(ip, at);
    for (const [ip, from] of [...present]) {
      if (ips.includes(ip)) continue;
      present.delete(ip);
      done.push({ ip, from, to: at });
    }
  }
  return [...done, ...[...present].map(([ip, from]) => ({ ip, from, to: Number.POSITIVE_INFINITY }))];
}

/** Endpoints that were there for long enough and got no request within the bound. */
function latecomers(states: readonly EndpointsState[], shots: readonly Shot[]): string[] {
  const begin = shots[0]?.at ?? 0;
  return presences(states)
    .filter(({ from, to }) => from > begin && to - from > BOUND_MS)
    .flatMap(({ ip, from }) => {
      const first = shots.find((shot) => shot.at >= from - BOUND_MS && greeter(shot.text) === ip);
      if (first !== undefined && first.at <= from + BOUND_MS) return [];
      return [`${ip}: first request ${first === undefined ? 'never' : `${first.at - from} ms`} after it was ready`];
    });
}

/** Requests that were begun later than the bound after their endpoint had gone, and were still sent to it. */
function leftovers(states: readonly EndpointsState[], shots: readonly Shot[]): string[] {
  return presences(states).flatMap(({ ip, to }) =>
    shots
      .filter((shot) => shot.at > to + BOUND_MS && greeter(shot.text) === ip)
      .map((shot) => `${ip}: a request ${shot.at - to} ms after it was gone`),
  );
}
