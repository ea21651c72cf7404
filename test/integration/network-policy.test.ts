import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { type CaseFlow, flowsOf, LABELS, NAMESPACES, POLICY_CASES } from '../support/policy-cases.ts';
import { PolicyMesh } from '../support/policy-mesh.ts';
import { ask as askRaw, RawServer } from '../support/raw-http.ts';

const DENY = { podSelector: {}, policyTypes: ['Ingress'] };

describe('NetworkPolicies through two daemons, tls: required', () => {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start('127.70', { keys: ['egress: {default: allow, allow: [127.70.9.0/24]}'] });
  });
  after(() => mesh.stop());

  const deny = (namespace: string, spec: object = DENY) => mesh.applyPolicy({ namespace, name: 'deny', spec });
  const denied = (node: string, labels: Record<string, string>) =>
    mesh.mesh
      .daemon(node)
      .metrics()
      .then((text) => metricValue(text, 'policy_denied_total', labels));

  /** The flows that have another verdict than they should. */
  async function wrong(flows: readonly CaseFlow[]): Promise<string[]> {
    const found: string[] = [];
    for (const { source, destination, port, allowed } of flows) {
      const { status, fields, body } = await mesh.ask(source, destination, port);
      const answer = `${status} ${allowed ? body : fields['l5d-err']}`;
      if (answer !== (allowed ? `200 ${destination}` : '403 policy_denied')) {
        found.push(`${source} > ${destination}:${port}: ${answer}`);
      }
      assert.doesNotMatch(body, /policy-|deny-|allow-/, 'the answer names no policy');
    }
    return found;
  }

  test('while there is no policy, the pods of other nodes are not read', async () => {
    const own = '/apis/networking.k8s.io/v1/namespaces/nodemesh/networkpolicies/nodemesh-webhook';
    const metadata = { namespace: 'nodemesh', name: 'nodemesh-webhook' };
    const spec = { podSelector: { matchLabels: { app: 'webhook' } }, ingress: [{ ports: [{ port: 'https' }] }] };
    await mesh.mesh.kubernetes.apply({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
    const metrics = await until(
      () => mesh.mesh.daemon('node-1').metrics(),
      (text) => metricValue(text, 'watch_objects', { resource: 'networkpolicies' }) === 1,
    );
    assert.doesNotMatch(metrics, /clusterpods/, 'nor for the sake of the policy that the mesh brings');
    await deny('x');
    await mesh.becomes('y/a', 'x/a', (status) => status === 403);
    const text = await mesh.mesh.daemon('node-1').metrics();
    assert.ok(metricValue(text, 'watch_objects', { resource: 'clusterpods' }) >= 5);
    await mesh.mesh.kubernetes.remove(own);
    await mesh.removePolicies();
    await mesh.becomes('y/a', 'x/a', (status) => status === 200);
  });

  for (const one of POLICY_CASES) {
    test(one.name, async () => {
      for (const make of one.policies) await mesh.applyPolicy(make(mesh.ips));
      const flows = flowsOf(one);
      await until(
        () => wrong(flows),
        (found) => found.length === 0,
      );
      assert.deepEqual(await wrong(flows), []);
      await mesh.removePolicies();
      for (const { source, destination, port } of flows) {
        await mesh.becomes(source, destination, (status) => status === 200, port);
      }
    });
  }

  test('egress is refused by the daemon of the source, ingress by that of the destination; each is counted', async () => {
    await deny('x', { podSelector: {}, policyTypes: ['Egress'] });
    await deny('z');
    await mesh.becomes('x/a', 'y/a', (status) => status === 403);
    await mesh.becomes('y/b', 'z/a', (status) => status === 403);
    const count = async () => [
      await denied('node-1', { direction: 'egress', mode: 'enforce', router: 'outgoing' }),
      await denied('node-2', { direction: 'ingress', mode: 'enforce', router: 'incoming' }),
      await denied('node-1', { direction: 'ingress' }),
      metricValue(await mesh.mesh.daemon('node-2').metrics(), 'rejected_total', {
        router: 'incoming',
        reason: 'policy_denied',
      }),
    ];
    const before = await count();
    await mesh.ask('x/a', 'y/a');
    await mesh.ask('y/b', 'z/a');
    assert.deepEqual(
      (await count()).map((value, i) => value - (before[i] ?? 0)),
      [1, 1, 0, 1],
    );
    await mesh.removePolicies();
    await mesh.becomes('x/a', 'z/a', (status) => status === 200);
  });

  test('each request of a kept connection is judged', async () => {
    const port = mesh.mesh.daemon('node-1').port('outgoing');
    const socket = connect({ host: '127.70.1.1', port, localAddress: mesh.ips['x/a'] });
    const ask = async () => {
      socket.write('GET http://a.y:8080/ HTTP/1.1\r\nHost: x\r\n\r\n');
      const [answer] = await once(socket, 'data');
      return String(answer).slice(9, 12);
    };
    assert.equal(await ask(), '200');
    await deny('y');
    await until(ask, (status) => status === '403');
    await mesh.removePolicies();
    await until(ask, (status) => status === '200');
    socket.destroy();
  });

  test('tunnels are judged when they are opened', async () => {
    await deny('y');
    await mesh.becomes('x/a', 'y/a', (status) => status === 403);
    for (const request of [
      'CONNECT a.y:8080 HTTP/1.1\r\nHost: a.y:8080',
      'GET http://a.y:8080/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket',
    ]) {
      const { status, fields } = await mesh.askAs(mesh.ips['x/a'], 'node-1', request);
      assert.deepEqual([status, fields['l5d-err']], [403, 'policy_denied'], request);
    }
    await mesh.removePolicies();
    await mesh.becomes('x/a', 'y/a', (status) => status === 200);
  });

  test('labels of pods and namespaces count as they are now', async () => {
    const red = { namespaceSelector: { matchLabels: { team: 'red' } }, podSelector: { matchLabels: { app: 'a' } } };
    await deny('y', { ...DENY, ingress: [{ from: [red] }] });
    await mesh.becomes('z/a', 'y/a', (status) => status === 403);
    assert.equal((await mesh.ask('x/a', 'y/a')).status, 200);
    await mesh.relabel('x/a', { app: 'other' });
    await mesh.becomes('x/a', 'y/a', (status) => status === 403);
    await mesh.relabel('x/a', LABELS['x/a']);
    await mesh.becomes('x/a', 'y/a', (status) => status === 200);
    await mesh.labelNamespace('z', { team: 'red' });
    await mesh.becomes('z/a', 'y/a', (status) => status === 200);
    await mesh.labelNamespace('z', NAMESPACES.z ?? {});
    await mesh.becomes('z/a', 'y/a', (status) => status === 403);
    await mesh.removePolicies();
    await mesh.becomes('z/a', 'y/a', (status) => status === 200);
  });

  test('what is outside the cluster is reached as egress rules say, by address and port', async () => {
    const outside = await RawServer.start(
      (socket) => socket.on('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n')),
      '127.70.9.1',
    );
    const ask = () =>
      mesh.askAs(mesh.ips['x/a'], 'node-1', `GET http://127.70.9.1:${outside.port}/ HTTP/1.1\r\nHost: x`);
    const allow = (cidr: string) =>
      deny('x', { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr } }] }] });
    assert.equal((await ask()).status, 204);
    await allow('127.70.8.0/24');
    const refused = await until(ask, ({ status }) => status !== 204);
    assert.deepEqual([refused.status, refused.fields['l5d-err']], [403, 'policy_denied']);
    await allow('127.70.9.0/24');
    await until(ask, ({ status }) => status === 204);
    await mesh.removePolicies();
    await outside.stop();
  });

  test('a pod whose node has no daemon is judged by the daemon of the source, both ways', async () => {
    await mesh.withoutDaemon('node-2', async () => {
      await mesh.becomes('x/a', 'y/a', (status) => status === 200);
      await deny('y');
      await mesh.becomes('x/a', 'y/a', (status) => status === 403);
      assert.ok((await denied('node-1', { direction: 'ingress', router: 'outgoing' })) > 0);
      await mesh.removePolicies();
      await deny('x', { podSelector: {}, policyTypes: ['Egress'] });
      await mesh.becomes('x/a', 'y/a', (status) => status === 403);
      await mesh.removePolicies();
      await mesh.becomes('x/a', 'y/a', (status) => status === 200);
    });
  });
});

test('audit lets through what it would refuse, and counts it', async () => {
  const mesh = await PolicyMesh.start('127.71', { routerKeys: ['policy: audit'] });
  try {
    await mesh.applyPolicy({ namespace: 'y', name: 'deny', spec: DENY });
    const count = async () =>
      metricValue(await mesh.mesh.daemon('node-2').metrics(), 'policy_denied_total', {
        router: 'incoming',
        mode: 'audit',
        direction: 'ingress',
      });
    await until(
      async () => {
        assert.equal((await mesh.ask('x/a', 'y/a')).status, 200);
        return count();
      },
      (denied) => denied > 0,
    );
    const before = await count();
    assert.equal((await mesh.ask('x/a', 'y/a')).status, 200);
    assert.equal((await mesh.ask('x/a', 'x/b')).status, 200);
    assert.equal((await count()) - before, 1);
  } finally {
    await mesh.stop();
  }
});

test('until policies have been read, a daemon is not ready and lets nothing through', async () => {
  let mesh: TestMesh | undefined;
  const starting = TestMesh.start({ 'node-1': '127.77.1.1' }, true, {
    routerKeys: ['policy: enforce'],
    before: async (made) => {
      mesh = made;
      made.kubernetes.denied.add('list networkpolicies');
    },
  });
  const pending = await until(
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return mesh?.daemons.get('node-1')?.readiness.pending() ?? [];
    },
    (blockers) => blockers.length === 1 && /403/.test(blockers[0] ?? ''),
  );
  assert.match(pending[0] ?? '', /^policies: /);
  assert.ok(mesh);
  try {
    const ask = (target: string) => {
      const port = mesh?.daemon('node-1').port('outgoing') ?? 0;
      const to = { host: '127.77.1.1', port, localAddress: '127.77.1.10' };
      return askRaw(to, `GET ${target} HTTP/1.1\r\nHost: x`);
    };
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.77.1.10', node: 'node-1' });
    const world = await mesh.pod({ namespace: 'shop', name: 'world', ip: '127.77.1.11', node: 'node-1' });
    const target = `http://${world.ip}:${world.port}/`;
    const early = await until(
      () => ask(target),
      ({ fields }) => fields['l5d-err'] !== 'not_local_pod' && fields['l5d-err'] !== 'egress_refused',
    );
    assert.deepEqual([early.status, early.fields['l5d-err']], [503, 'not_synced']);
    mesh.kubernetes.denied.clear();
    await starting;
    assert.equal((await ask(target)).status, 200);
  } finally {
    mesh.kubernetes.denied.clear();
    await starting;
    await mesh.stop();
  }
});

test('every thread of a daemon enforces', async () => {
  const mesh = await PolicyMesh.start('127.72', { workers: 2 });
  try {
    await mesh.applyPolicy({ namespace: 'y', name: 'deny', spec: DENY });
    for (const source of ['x/a', 'z/a'] as const) await mesh.becomes(source, 'y/a', (status) => status === 403);
    // Connections are spread over threads by their ports; a thread is a moment behind another.
    await until(
      async () => Promise.all(Array.from({ length: 24 }, async () => (await mesh.ask('x/a', 'y/a')).status)),
      (statuses) => statuses.every((status) => status === 403),
    );
  } finally {
    await mesh.stop();
  }
});
