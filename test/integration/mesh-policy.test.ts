import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../support/mesh.ts';
import { PORTS, type PodName } from '../support/policy-cases.ts';
import { PolicyMesh } from '../support/policy-mesh.ts';

const COLLECTION = '/apis/nodemesh.dev/v1alpha1/namespaces/y/meshpolicies';

test('a MeshPolicy lets through the methods and paths that it names, of the callers that it names', async () => {
  const mesh = await PolicyMesh.start('127.75');
  const { kubernetes } = mesh.mesh;
  const apply = (spec: object) =>
    kubernetes.apply({
      apiVersion: 'nodemesh.dev/v1alpha1',
      kind: 'MeshPolicy',
      metadata: { namespace: 'y', name: 'api' },
      spec,
    });
  const ask = async (source: PodName, request: string) => {
    const [method, path] = request.split(' ');
    const head = `${method} http://a.y:${PORTS.http}${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0`;
    const { status, fields } = await mesh.askAs(mesh.ips[source], source === 'x/a' ? 'node-1' : 'node-2', head);
    return fields['l5d-err'] ?? status;
  };
  const refused = (source: PodName, request: string) =>
    until(
      () => ask(source, request),
      (answer) => answer === 'policy_denied',
    );
  try {
    const rule = { methods: ['GET'], paths: [{ prefix: '/api' }, { exact: '/healthz' }] };
    const from = [{ namespaces: ['x'], serviceAccounts: ['a-account'] }];
    await apply({ services: ['a'], rules: [{ from, ...rule }] });
    await refused('z/a', 'GET /api');
    await refused('x/a', 'POST /api'); // through two daemons
    await refused('x/b', 'GET /api'); // beside it, by another ServiceAccount
    for (const path of [
      '/',
      '/admin',
      '/api/../admin',
      '/api/%2e%2e/admin',
      '/api%2f..%2fadmin',
      '//api',
      '/healthz/',
    ]) {
      assert.equal(await ask('x/a', `GET ${path}`), 'policy_denied', path);
    }
    for (const path of ['/api', '/api/v1?x=/../y', '/healthz'])
      assert.equal(await ask('x/a', `GET ${path}`), 200, path);
    // By its address it is the same pod.
    const byAddress = `GET http://${mesh.ips['y/a']}:${PORTS.http}/admin HTTP/1.1\r\nHost: x`;
    assert.equal((await mesh.askAs(mesh.ips['x/a'], 'node-1', byAddress)).fields['l5d-err'], 'policy_denied');
    assert.equal((await mesh.ask('x/a', 'y/b')).status, 200, 'a pod that no policy selects');
    await apply({ podSelector: {}, rules: [{ from: [{ namespaces: ['z'] }] }] });
    await refused('x/a', 'GET /api');
    assert.equal(await ask('z/a', 'POST /anything'), 200);
    await kubernetes.remove(`${COLLECTION}/api`);
    await until(
      () => ask('x/a', 'POST /'),
      (answer) => answer === 200,
    );
  } finally {
    await mesh.stop();
  }
});

test('a server without their definition has no MeshPolicies, and NetworkPolicies count as ever', async () => {
  const mesh = await PolicyMesh.start('127.76', { meshPolicies: false });
  try {
    await mesh.applyPolicy({ namespace: 'y', name: 'deny', spec: { podSelector: {} } });
    await mesh.becomes('x/a', 'y/a', (status) => status === 403);
    assert.equal((await mesh.ask('x/a', 'x/b')).status, 200);
  } finally {
    await mesh.stop();
  }
});
