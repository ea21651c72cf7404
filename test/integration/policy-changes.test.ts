import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask as askRaw, type RawAnswer } from '../support/raw-http.ts';
import { plainApi } from '../support/reflector.ts';

const NET = '127.73';
const POLICIES = '/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies';
const SHUT = { podSelector: { matchLabels: { role: 'shut' } }, policyTypes: ['Ingress'] };
const OPEN = { ...SHUT, ingress: [{}] };

describe('policies of the node that requests arrive at', () => {
  let mesh: TestMesh;
  let shut: TestPod;
  let free: TestPod;
  before(async () => {
    mesh = await TestMesh.start({ 'node-1': `${NET}.1.1`, 'node-2': `${NET}.2.1` }, true, {
      tls: 'required',
      routerKeys: ['policy: enforce'],
    });
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: `${NET}.1.10`, node: 'node-1' });
    shut = await mesh.pod({ namespace: 'shop', name: 'shut', ip: `${NET}.2.10`, node: 'node-2' });
    free = await mesh.pod({ namespace: 'shop', name: 'free', ip: `${NET}.2.11`, node: 'node-2' }, (_, response) => {
      void delay(10).then(() => response.end(free.ip));
    });
    await relabel('shut', { role: 'shut' });
    for (const [name, pods] of [
      ['both', [shut, free]],
      ['shut', [shut]],
    ] as const) {
      await mesh.service('shop', name, [{ name: 'http', port: 80 }]);
      await mesh.endpoints('shop', name, pods);
      await until(
        () => ask(name),
        ({ status }) => status === 200,
      );
    }
  });
  after(() => mesh.stop());

  const ask = (name: string): Promise<RawAnswer> => {
    const port = mesh.daemon('node-1').port('outgoing');
    const to = { host: `${NET}.1.1`, port, localAddress: `${NET}.1.10` };
    return askRaw(to, `GET http://${name}/ HTTP/1.1\r\nHost: ${name}`);
  };

  async function relabel(name: string, labels: Record<string, string>): Promise<void> {
    const body = { metadata: { labels } };
    const contentType = 'application/merge-patch+json' as const;
    const path = `/api/v1/namespaces/shop/pods/${name}`;
    await plainApi(mesh.kubernetes.url).request({ method: 'PATCH', path, body, contentType });
  }

  /** Applies a policy, or takes it away, and waits until the watch of node-2 has told its daemon so. */
  async function change(spec: object | undefined): Promise<void> {
    const events = async () =>
      metricValue(await mesh.daemon('node-2').metrics(), 'watch_events_total', { resource: 'networkpolicies' });
    const before = await events();
    const metadata = { namespace: 'shop', name: 'shut' };
    if (spec === undefined) await mesh.kubernetes.remove(`${POLICIES}/shut`);
    else await mesh.kubernetes.apply({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
    await until(events, (now) => now > before);
  }

  test('one that changes holds for the next request once the watch has told it, either way', async () => {
    // The first policy of a cluster has a daemon read pods and namespaces; until then it lets nobody through.
    await change(OPEN);
    await until(
      () => ask('shut'),
      ({ status }) => status === 200,
    );
    for (const [spec, status] of [
      [SHUT, 403],
      [OPEN, 200],
      [SHUT, 403],
      [undefined, 200],
      [SHUT, 403],
    ] as const) {
      await change(spec);
      assert.equal((await ask('shut')).status, status);
    }
    await change(undefined);
  });

  test('a pod that they shut gets neither more nor fewer requests than the others of its Service', async () => {
    await change(SHUT);
    const requests = 120;
    let refused = 0;
    for (let i = 0; i < requests; i += 1) {
      const { status, fields, body } = await ask('both');
      if (status === 403) assert.equal(fields['l5d-err'], 'policy_denied');
      else assert.deepEqual([status, body], [200, free.ip]);
      if (status === 403) refused += 1;
    }
    // An even choice leaves these bounds less than once in a million times.
    assert.ok(refused > requests / 4 && refused < (requests * 3) / 4, `${refused} of ${requests} were refused`);
  });
});
