import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import type { EndpointsView, Resolution } from '../../lib/explain.ts';
import type { Cluster } from './cluster.ts';
import { eventually, inPod, kubectl, type Pod, pods } from './kubectl.ts';
import { greeter } from './load.ts';
import { nodemesh, RunningCommand } from './nodemesh-command.ts';

const REQUESTS = 60;
/** Counts are told in intervals of five seconds. */
const COUNTED_MS = 20_000;
const HEARD_MS = 30_000;
const POLICY_MS = 5_000;
const NO_PROMTOOL = spawnSync('promtool', ['--version']).error && 'promtool is not installed (Debian: prometheus)';

interface Stat {
  readonly rows: readonly StatRow[];
  readonly unreachable: readonly object[];
}
interface StatRow {
  readonly namespace: string;
  readonly name: string;
  readonly target?: { readonly namespace: string; readonly name: string };
  readonly requests: number;
  readonly failures: number;
  readonly success_rate: number | null;
  readonly injected?: string;
  readonly daemon?: { readonly ready: boolean; readonly tls: string };
}
type TapRecord = Readonly<Record<string, string | number>>;

/** What `nodemesh` tells of a cluster, from the daemons through the API server. `namespace`: one that nothing else sends to. */
export function telemetrySuite(cluster: Cluster, namespace: string): void {
  describe('the command', () => {
    const needsCallers = cluster.seesCallers ? false : 'a hostPort hides who calls: daemons know no calling pod';
    let hello: Pod;
    let worlds: Pod[];
    let greetings: ReadonlyMap<string, number>;
    before(async () => {
      await cluster.createNamespace(namespace);
      await cluster.startHelloWorld(namespace);
      worlds = await pods(namespace, 'app=world');
      const [first] = await pods(namespace, 'app=hello');
      assert.ok(first);
      hello = first;
      const answers = await get(REQUESTS, '/');
      greetings = new Map(worlds.map(({ ip, name }) => [name, answers.filter((one) => greeter(one) === ip).length]));
    });

    it('stat: as many requests as were made, by Service and by the pods that answered', async () => {
      await counted('services', ({ name }) => name === 'world', [['world', REQUESTS]]);
      await counted('pods', ({ name }) => greetings.has(name), [...greetings]);
      const [service] = (await stat('services', namespace)).rows;
      assert.deepEqual([service?.failures, service?.success_rate], [0, 1]);
    });

    it('stat: whose requests they were', { skip: needsCallers }, async () => {
      const rows = await counted('edges', ({ target }) => target?.name === 'world', [['hello', REQUESTS]]);
      assert.deepEqual(rows[0]?.target, { namespace, name: 'world' });
    });

    it('stat: every pod is in the mesh, every node has a daemon that is ready and speaks TLS alone', async () => {
      const { rows } = await stat('pods', namespace);
      assert.equal(rows.length, 6);
      assert.deepEqual(new Set(rows.map(({ injected }) => injected)), new Set(['1/1']));
      const nodes = await stat('nodes');
      const names = (await cluster.daemons()).map(({ node }) => node);
      assert.deepEqual(nodes.rows.map(({ name }) => name).sort(), names.sort());
      for (const { name, daemon } of nodes.rows)
        assert.deepEqual([daemon?.ready, daemon?.tls], [true, 'required'], name);
    });

    it('tap: a request where it leaves its node and where it arrives', async () => {
      const world = worlds.find(({ node }) => node !== hello.node);
      assert.ok(world, 'all worlds are on the node of the first hello');
      const tap = new RunningCommand(['tap', `pod/${world.name}`, '-n', namespace, '-o', 'json']);
      try {
        let round = 0;
        // Nothing says when all daemons listen; each request has a path of its own.
        const [left, arrived] = await eventually('one request seen from both sides', HEARD_MS, async () => {
          round += 1;
          await get(12, `/tapped-${round}`);
          const records = tap.lines.map((line): TapRecord => JSON.parse(line));
          const left = records.find(({ direction }) => direction === 'outgoing');
          const arrived = records.find(({ direction, uri }) => direction === 'incoming' && uri === left?.uri);
          return left === undefined || arrived === undefined ? undefined : ([left, arrived] as const);
        });
        for (const record of [left, arrived]) {
          assert.match(String(record.uri), /\/tapped-\d+$/);
          const found = ['method', 'status', 'dst_namespace', 'dst_service', 'dst_pod'].map((name) => record[name]);
          assert.deepEqual(found, ['GET', 200, namespace, 'world', world.name]);
        }
        assert.deepEqual([left.node, arrived.node], [hello.node, world.node]);
        if (needsCallers !== false) return;
        const source = [left.src_namespace, left.src_workload, left.src_pod];
        assert.deepEqual(source, [namespace, 'hello', hello.name]);
      } finally {
        const { status, stderr } = await tap.stop();
        assert.equal(status, 0, stderr);
      }
    });

    it('resolve: the endpoints, the daemon that each is reached through, and no policy', {
      skip: needsCallers,
    }, async () => {
      const { status, answer } = await resolve();
      assert.equal(status, 0);
      assert.deepEqual([answer.caller.pod, answer.caller.workload, answer.outcome.ok], [hello.name, 'hello', true]);
      assert.deepEqual(answer.endpoints.map(({ pod }) => pod).sort(), worlds.map(({ name }) => name).sort());
      const daemons = await cluster.daemons();
      for (const { pod, node, gateway, policy } of answer.endpoints) {
        const daemon = daemons.find((one) => one.node === node);
        assert.equal(gateway, node === hello.node ? null : `${daemon?.ip}:4141`, `${pod}`);
        assert.deepEqual(policy, { verdict: 'allowed', by: 'none' });
      }
    });

    it('resolve: names the NetworkPolicy that would refuse, and says so by its status', {
      skip: needsCallers,
    }, async () => {
      const policy = {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { namespace, name: 'deny-world' },
        spec: { podSelector: { matchLabels: { app: 'world' } }, policyTypes: ['Ingress'] },
      };
      await kubectl(['apply', '-f', '-'], JSON.stringify(policy));
      try {
        const answer = await eventually('the request is refused', POLICY_MS, async () => {
          const { status, answer } = await resolve();
          return status === 2 ? answer : undefined;
        });
        assert.equal(answer.outcome.error, 'policy_denied');
        assert.equal(answer.endpoints.length, worlds.length);
        for (const { pod, node, policy } of answer.endpoints) {
          const judge = node === hello.node ? '' : `, judged by the daemon of ${node}`;
          const by = `NetworkPolicy ${namespace}/deny-world (ingress)${judge}`;
          assert.deepEqual(policy, { verdict: 'denied', by }, `${pod}`);
        }
      } finally {
        await kubectl(['-n', namespace, 'delete', 'networkpolicy', 'deny-world']);
      }
      await eventually('the request is served again', POLICY_MS, async () =>
        (await resolve()).status === 0 ? true : undefined,
      );
    });

    it('endpoints: what a node knows of a Service', async () => {
      const { status, stdout, stderr } = await nodemesh('endpoints', `${namespace}/world`, '-o', 'json');
      assert.equal(status, 0, stderr);
      const view: EndpointsView = JSON.parse(stdout);
      assert.deepEqual(
        view.services.flatMap(({ ports }) => ports.flatMap(({ endpoints }) => endpoints.map(({ pod }) => pod))).sort(),
        worlds.map(({ name }) => name).sort(),
      );
      for (const { resource, synced, failure } of view.watches)
        assert.deepEqual([synced, failure], [true, null], resource);
      assert.equal((await nodemesh('endpoints', `${namespace}/nobody`)).status, 1);
    });

    it('check: finds nothing wrong', async () => {
      const { status, stdout, stderr } = await nodemesh('check', '-o', 'json');
      assert.equal(status, 0, `${stdout}${stderr}`);
    });

    it('the daemons’ metrics are what Prometheus reads', { skip: NO_PROMTOOL ?? false }, async () => {
      for (const daemon of await cluster.daemons()) {
        const input = await cluster.admin(daemon, '/metrics');
        // 0, or 3 where it dislikes a name; 1 where it cannot read.
        const { status, stderr } = spawnSync('promtool', ['check', 'metrics'], { input, encoding: 'utf8' });
        assert.ok(status === 0 || status === 3, `${daemon.node}: ${stderr}`);
      }
    });

    /** GETs of http://world by the first hello, one by one, through its proxy; their bodies. All must be answered by 200. */
    async function get(count: number, path: string): Promise<string[]> {
      const source = `
        import { Agent, get } from 'node:http';
        const agent = new Agent({ keepAlive: true, maxSockets: 1, proxyEnv: process.env });
        const one = () => new Promise((resolve, reject) => get('http://world${path}', { agent }, (answer) => {
          let text = '';
          answer.on('data', (part) => { text += part; });
          answer.on('end', () => answer.statusCode === 200 ? resolve(text.trim()) : reject(new Error(text)));
        }).on('error', reject));
        console.log(JSON.stringify(await Promise.all(Array.from({ length: ${count} }, one))));
        process.exit(0);`;
      return JSON.parse(await inPod(namespace, hello.name, source));
    }

    async function stat(kind: string, of?: string): Promise<Stat> {
      const scope = of === undefined ? [] : ['-n', of];
      const { status, stdout, stderr } = await nodemesh('stat', kind, ...scope, '--window', '5m', '-o', 'json');
      assert.equal(status, 0, stderr);
      const answer: Stat = JSON.parse(stdout);
      assert.deepEqual(answer.unreachable, []);
      return answer;
    }

    /** Waits for the intervals to be over, then compares name and requests of the rows that are meant; gives those. */
    async function counted(
      kind: string,
      meant: (row: StatRow) => boolean,
      expected: readonly (readonly [string, number])[],
    ): Promise<StatRow[]> {
      const total = expected.reduce((sum, [, requests]) => sum + requests, 0);
      let rows: StatRow[] = [];
      await eventually(`${total} requests in stat ${kind}`, COUNTED_MS, async () => {
        rows = (await stat(kind, namespace)).rows.filter(meant);
        return rows.reduce((sum, { requests }) => sum + requests, 0) >= total ? true : undefined;
      });
      const found = rows.map(({ name, requests }) => [name, requests] as const);
      assert.deepEqual(new Map(found), new Map(expected));
      return rows;
    }

    async function resolve(): Promise<{ status: number | null; answer: Resolution }> {
      const from = `${namespace}/${hello.name}`;
      const { status, stdout, stderr } = await nodemesh('resolve', 'world', '--from', from, '-o', 'json');
      assert.notEqual(stdout, '', stderr);
      return { status, answer: JSON.parse(stdout) };
    }

    after(() => kubectl(['delete', 'namespace', namespace, '--wait=false']));
  });
}
