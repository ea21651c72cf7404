import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { MeshView } from '../../lib/stats/mesh-view.ts';
import type { NodeStats } from '../../lib/stats/node-stats.ts';
import type { Cluster } from './cluster.ts';
import { eventually, inPod, kubectl, type Pod, pods } from './kubectl.ts';
import { RunningCommand } from './nodemesh-command.ts';

const MESH = 'nodemesh';
const WEBHOOK = 'app.kubernetes.io/component=webhook';
const START_MS = 20_000;
const SEEN_MS = 20_000;
const STREAM_MS = 10_000;
const GUARDED = ['/stats', '/config', '/peers', '/tap?max=1', '/api/mesh'];
const OPEN = ['/metrics', '/readyz', '/livez', '/'];

/** Who may see what the mesh knows, and the console that shows it. */
export function consoleSuite(cluster: Cluster, namespace: string): void {
  describe('an admin port', () => {
    const binding = 'nodemesh-e2e-onlooker';
    let asker: Pod;
    before(async () => {
      const [first] = await pods(namespace, 'app=hello');
      assert.ok(first);
      asker = first;
      for (const name of ['nobody', 'onlooker']) await kubectl(['-n', namespace, 'create', 'serviceaccount', name]);
      const subject = `--serviceaccount=${namespace}:onlooker`;
      await kubectl(['create', 'clusterrolebinding', binding, '--clusterrole=nodemesh-viewer', subject]);
    });
    after(async () => {
      await kubectl(['delete', 'clusterrolebinding', binding, '--ignore-not-found']);
      await kubectl(['-n', namespace, 'delete', 'serviceaccount', 'nobody', 'onlooker', '--ignore-not-found']);
    });

    it('of a daemon: 401 without a token, 403 with one of no rights, 200 with one of ClusterRole nodemesh-viewer', async () => {
      const [nobody, onlooker] = [await tokenOf(namespace, 'nobody'), await tokenOf(namespace, 'onlooker')];
      for (const daemon of await cluster.daemons()) {
        const at = `${daemon.ip}:9990`;
        assert.deepEqual(await statuses(at, GUARDED), withAll(GUARDED, 401), daemon.node);
        assert.deepEqual(await statuses(at, GUARDED, 'no.such.token'), withAll(GUARDED, 401), daemon.node);
        assert.deepEqual(await statuses(at, GUARDED, nobody), withAll(GUARDED, 403), daemon.node);
        assert.deepEqual(await statuses(at, GUARDED, onlooker), withAll(GUARDED, 200), daemon.node);
        assert.deepEqual(await statuses(at, OPEN), withAll(OPEN, 200), daemon.node);
      }
    });

    it('of the webhook: the same, and its nodes’ are no way around', async () => {
      const [daemon] = await cluster.daemons();
      const guarded = ['/api/mesh', '/api/tap', `/nodes/${daemon?.node}/stats`];
      const [nobody, onlooker] = [await tokenOf(namespace, 'nobody'), await tokenOf(namespace, 'onlooker')];
      for (const webhook of await pods(MESH, WEBHOOK)) {
        const at = `${webhook.ip}:8080`;
        assert.deepEqual(await statuses(at, guarded), withAll(guarded, 401), webhook.name);
        assert.deepEqual(await statuses(at, guarded, nobody), withAll(guarded, 403), webhook.name);
        assert.deepEqual(await statuses(at, guarded, onlooker), withAll(guarded, 200), webhook.name);
        assert.deepEqual(await statuses(at, OPEN), withAll(OPEN, 200), webhook.name);
      }
    });

    it('gets from its API server no more rights than it needs', async () => {
      const daemon = `system:serviceaccount:${MESH}:nodemesh-daemon`;
      const webhook = `system:serviceaccount:${MESH}:nodemesh-webhook`;
      const viewer = `system:serviceaccount:${MESH}:nodemesh-viewer`;
      const asked: readonly (readonly [
        user: string,
        verb: string,
        resource: string,
        namespace: string,
        may: boolean,
      ])[] = [
        [daemon, 'watch', 'pods', namespace, true],
        [daemon, 'create', 'pods', namespace, false],
        [daemon, 'list', 'secrets', MESH, false],
        [daemon, 'get', 'secrets', namespace, false],
        [daemon, 'create', 'serviceaccounts/token', MESH, false],
        [daemon, 'get', 'pods/proxy', MESH, false],
        [webhook, 'watch', 'namespaces', '', true],
        [webhook, 'get', 'secrets', namespace, false],
        [webhook, 'list', 'secrets', 'kube-system', false],
        [webhook, 'list', 'secrets', MESH, false],
        [webhook, 'get', 'pods', namespace, false],
        [webhook, 'create', 'pods', namespace, false],
        [webhook, 'create', 'serviceaccounts/token', MESH, false],
        [viewer, 'list', 'secrets', MESH, false],
        [viewer, 'list', 'pods', MESH, false],
        [viewer, 'get', 'pods/proxy', MESH, false],
      ];
      const found = await Promise.all(
        asked.map(async ([user, verb, resource, of]) => [
          user,
          verb,
          resource,
          of,
          await may(user, verb, resource, of),
        ]),
      );
      assert.deepEqual(found, asked);
    });

    /** The status that each path of `host:port` has for a pod. */
    async function statuses(at: string, paths: readonly string[], token?: string): Promise<Record<string, number>> {
      const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
      const source = `
        const found = await Promise.all(${JSON.stringify(paths)}.map(async (path) => {
          const answer = await fetch('http://${at}' + path, { headers: ${JSON.stringify(headers)} });
          await answer.body?.cancel();
          return [path, answer.status];
        }));
        console.log(JSON.stringify(Object.fromEntries(found)));
        process.exit(0);`;
      return JSON.parse(await inPod(namespace, asker.name, source));
    }
  });

  describe('the console', () => {
    let dashboard: RunningCommand;
    let url: string;
    before(async () => {
      dashboard = new RunningCommand(['dashboard', '--no-open', '--port', '0']);
      url = await eventually('the dashboard says where it is', START_MS, async () => dashboard.lines[0]);
    });
    after(() => dashboard?.stop());

    it('is a page that runs nothing but its own, with all that it names', async () => {
      const answer = await fetch(url);
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'.*frame-ancestors 'none'/);
      const files = [...(await answer.text()).matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, path = '']) => path);
      assert.ok(files.some((path) => path.endsWith('.js')) && files.some((path) => path.endsWith('.css')), `${files}`);
      for (const path of files.filter((one) => !one.startsWith('data:'))) {
        const file = await fetch(new URL(path, url));
        assert.equal(file.status, 200, path);
        assert.notEqual((await file.text()).length, 0, path);
      }
    });

    it('knows the nodes, their daemons, Services and pods', async () => {
      const daemons = (await cluster.daemons()).map(({ node }) => node).sort();
      const [hello] = await pods(namespace, 'app=hello');
      assert.ok(hello);
      const view = await eventually('hello’s requests in the view', SEEN_MS, async () => {
        const source = `import { Agent, get } from 'node:http';
          get('http://world/', { agent: new Agent({ proxyEnv: process.env }) }, (answer) => answer.resume());`;
        await inPod(namespace, hello.name, source);
        const view = await mesh();
        const world = view.services.find((one) => one.namespace === namespace && one.name === 'world');
        return world !== undefined && world.rps > 0 ? view : undefined;
      });
      assert.deepEqual(view.scope, { kind: 'mesh' });
      assert.deepEqual(view.nodes.map(({ name }) => name).sort(), daemons);
      for (const { name, ready, tls, error } of view.nodes) {
        assert.deepEqual([ready, tls, error], [true, 'required', null], name);
      }
      const shown = view.pods.filter((pod) => pod.namespace === namespace && /^(hello|world)$/.test(pod.workload));
      assert.equal(shown.length, 6);
      for (const { name, ready, injected } of shown) assert.deepEqual([ready, injected], [true, true], name);
      if (!cluster.seesCallers) return; // who calls is hidden
      const edge = view.edges.find(({ target }) => target.namespace === namespace && target.name === 'world');
      assert.deepEqual([edge?.source.namespace, edge?.source.name], [namespace, 'hello']);
    });

    it('delivers views as they come', async () => {
      const answer = await fetch(new URL('/api/stream?window=60', url), { signal: AbortSignal.timeout(STREAM_MS) });
      assert.equal(answer.headers.get('content-type'), 'text/event-stream');
      let text = '';
      for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += piece;
        if (text.split('event: mesh').length > 2 && text.endsWith('\n\n')) break; // the second shows that it goes on
      }
      const [, first = ''] = /^data: (.*)$/m.exec(text) ?? [];
      const view: MeshView = JSON.parse(first);
      assert.equal(view.nodes.length, (await cluster.daemons()).length);
    });

    it('passes questions on to nodes', async () => {
      for (const { node } of await cluster.daemons()) {
        const answer = await fetch(new URL(`/nodes/${node}/stats?window=60`, url));
        assert.equal(answer.status, 200);
        assert.equal(((await answer.json()) as NodeStats).node, node);
      }
      assert.equal((await fetch(new URL('/nodes/nowhere/stats', url))).status, 404);
    });

    it('ends when it is told to', async () => {
      const { status, stderr } = await dashboard.stop();
      assert.deepEqual([status, stderr], [0, '']);
    });

    async function mesh(): Promise<MeshView> {
      const answer = await fetch(new URL('/api/mesh?window=60', url));
      assert.equal(answer.status, 200);
      return (await answer.json()) as MeshView;
    }
  });
}

function withAll(paths: readonly string[], status: number): Record<string, number> {
  return Object.fromEntries(paths.map((path) => [path, status]));
}

async function tokenOf(namespace: string, account: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
  const asked = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} };
  return JSON.parse(await kubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(asked))).status.token;
}

/** Whether the API server would let a user do something; '' is the whole cluster. */
async function may(user: string, verb: string, what: string, namespace: string): Promise<boolean> {
  const [resource, subresource] = what.split('/');
  const [, , account] = user.split(':');
  const groups = ['system:serviceaccounts', `system:serviceaccounts:${account}`, 'system:authenticated'];
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, groups, resourceAttributes: { namespace, verb, resource, subresource } },
  };
  const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const { status } = JSON.parse(await kubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(review)));
  return status.allowed;
}
