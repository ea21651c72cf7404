import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { ask as askRaw, type RawAnswer } from '../support/raw-http.ts';

/** One pod a node, each behind a Service of its node's name, and how to ask as it. */
async function twoNodes(net: string, tls: string | Record<string, string>) {
  const nodes = { 'node-1': `${net}.1.1`, 'node-2': `${net}.2.1` };
  const mesh = await TestMesh.start(nodes, true, { tls });
  for (const [node, ip] of Object.entries(nodes)) {
    const pod = await mesh.pod({ namespace: 'shop', name: `pod-${node}`, ip: `${ip}0`, node });
    await mesh.service('shop', node, [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', node, [pod]);
  }
  const ask = (from: keyof typeof nodes, to: string): Promise<RawAnswer> => {
    const at = { host: nodes[from], port: mesh.daemon(from).port('outgoing'), localAddress: `${nodes[from]}0` };
    return askRaw(at, `GET http://${to}/ HTTP/1.1\r\nHost: ${to}`);
  };
  const metric = async (node: string, name: string, labels = {}) =>
    metricValue(await mesh.daemon(node).metrics(), name, labels);
  return { mesh, ask, metric };
}

test('a rollout from permissive to required: daemons of both modes speak TLS to each other, both ways', async () => {
  const { mesh, ask, metric } = await twoNodes('127.74', { 'node-1': 'permissive', 'node-2': 'required' });
  try {
    await until(
      () => metric('node-1', 'identity_expiry_seconds'),
      (seconds) => seconds > 0,
    );
    for (const [from, to] of [
      ['node-1', 'node-2'],
      ['node-2', 'node-1'],
    ] as const) {
      // No refusal is forgiven, only names that are not known yet.
      const answer = await until(
        () => ask(from, to),
        ({ fields }) => !['unknown_name', 'no_endpoints', 'not_local_pod'].includes(fields['l5d-err'] ?? ''),
      );
      assert.deepEqual([answer.status, answer.fields['l5d-err']], [200, undefined], `${from} to ${to}`);
    }
    for (const node of ['node-1', 'node-2']) {
      assert.equal(await metric(node, 'tls_connection_total', { handshake: 'plaintext' }), 0);
      assert.ok((await metric(node, 'tls_connection_total', { side: 'client' })) > 0);
    }
  } finally {
    await mesh.stop();
  }
});

test('required: a daemon that has no certificate is not ready and says why; only what leaves its node waits for it', async () => {
  let made: TestMesh | undefined;
  const nodes = { 'node-1': '127.75.1.1', 'node-2': '127.75.2.1' };
  const starting = TestMesh.start(nodes, true, {
    tls: 'required',
    before: async (mesh) => {
      made = mesh;
      mesh.kubernetes.denied.add('create certificatesigningrequests');
    },
  });
  const pending = await until(
    async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return made?.daemons.get('node-1')?.readiness.pending() ?? [];
    },
    (blockers) => blockers.length === 1 && /403/.test(blockers[0] ?? ''),
  );
  assert.match(pending[0] ?? '', /^identity: .*certificatesigningrequests/);
  assert.ok(made);
  const mesh = made;
  try {
    const { ip, port } = mesh.daemon('node-1').admin;
    assert.equal((await fetch(`http://${ip}:${port}/readyz`)).status, 503);
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.75.1.10', node: 'node-1' });
    const near = await mesh.pod({ namespace: 'shop', name: 'near', ip: '127.75.1.11', node: 'node-1' });
    const far = await mesh.pod({ namespace: 'shop', name: 'far', ip: '127.75.2.11', node: 'node-2' });
    const other = { namespace: 'nodemesh', name: 'daemon-node-2', ip: nodes['node-2'], node: 'node-2', port: 9 };
    await mesh.endpoints('nodemesh', 'nodemesh-daemon', [other], 'incoming');
    for (const pod of [near, far]) {
      await mesh.service('shop', pod.name, [{ name: 'http', port: 80 }]);
      await mesh.endpoints('shop', pod.name, [pod]);
    }
    const ask = (name: string) => {
      const at = { host: nodes['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: '127.75.1.10' };
      return askRaw(at, `GET http://${name}/ HTTP/1.1\r\nHost: ${name}`);
    };
    await until(
      () => ask('near'),
      ({ status }) => status === 200,
    );
    const { status, fields, body } = await until(
      () => ask('far'),
      (answer) => answer.status !== 502 && answer.fields['l5d-err'] !== 'unknown_name' && answer.status !== 200,
    );
    assert.deepEqual([status, fields['l5d-err']], [503, 'not_synced']);
    assert.match(body, /no certificate of its own yet/);
    mesh.kubernetes.denied.clear();
    await starting;
    await until(
      () => ask('far'),
      (answer) => answer.status === 200,
    );
  } finally {
    mesh.kubernetes.denied.clear();
    await starting;
    await mesh.stop();
  }
});
