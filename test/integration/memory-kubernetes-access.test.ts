import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';

let kubernetes: MemoryKubernetes;
before(async () => {
  kubernetes = await MemoryKubernetes.start();
  await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  for (const name of ['viewer', 'nobody']) {
    await kubernetes.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: 'shop' } });
  }
  const rbac = 'rbac.authorization.k8s.io/v1';
  await kubernetes.apply({
    apiVersion: rbac,
    kind: 'ClusterRole',
    metadata: { name: 'view' },
    rules: [{ nonResourceURLs: ['/inner/*'], verbs: ['get'] }],
  });
  await kubernetes.apply({
    apiVersion: rbac,
    kind: 'ClusterRoleBinding',
    metadata: { name: 'view' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
    subjects: [{ kind: 'ServiceAccount', name: 'viewer', namespace: 'shop' }],
  });
});
after(() => kubernetes.stop());

async function post(path: string, body: object): Promise<{ status: number; body: Record<string, unknown> }> {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(kubernetes.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function tokenOf(name: string): Promise<string> {
  const { body } = await post(`/api/v1/namespaces/shop/serviceaccounts/${name}/token`, { spec: {} });
  return (body as { status: { token: string } }).status.token;
}

const review = async (token: string) =>
  (await post('/apis/authentication.k8s.io/v1/tokenreviews', { spec: { token } })).body.status as {
    authenticated: boolean;
    user?: { username: string; groups: string[] };
  };

describe('the in-memory API', () => {
  it('issues tokens of ServiceAccounts that are there, and says whose they are', async () => {
    const { authenticated, user } = await review(await tokenOf('viewer'));
    assert.deepEqual([authenticated, user?.username], [true, 'system:serviceaccount:shop:viewer']);
    assert.equal((await review('bad.token')).authenticated, false);
    const missing = await post('/api/v1/namespaces/shop/serviceaccounts/none/token', { spec: {} });
    assert.equal(missing.status, 404);
  });

  it('ends tokens with their ServiceAccount, and refuses what is no token of its own', async () => {
    await kubernetes.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'gone', namespace: 'shop' } });
    const token = await tokenOf('gone');
    await kubernetes.remove('/api/v1/namespaces/shop/serviceaccounts/gone');
    assert.equal((await review(token)).authenticated, false);
    const answer = await fetch(`${kubernetes.url}/api/v1/namespaces`, { headers: { authorization: 'Bearer bad' } });
    assert.equal(answer.status, 401);
  });

  it('allows paths by the ClusterRoles that are bound, and the administrator all', async () => {
    const allowed = async (user: string, groups: string[], path: string, verb = 'get') => {
      const spec = { user, groups, nonResourceAttributes: { path, verb } };
      const { body } = await post('/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec });
      return (body as { status: { allowed: boolean } }).status.allowed;
    };
    const viewer = 'system:serviceaccount:shop:viewer';
    assert.equal(await allowed(viewer, [], '/inner/stats'), true);
    assert.equal(await allowed(viewer, [], '/inner/stats', 'post'), false);
    assert.equal(await allowed(viewer, [], '/other'), false);
    assert.equal(await allowed('system:serviceaccount:shop:nobody', [], '/inner/stats'), false);
    assert.equal(await allowed('kubernetes-admin', ['system:masters'], '/other'), true);
  });

  it('passes requests on to pods and Services, as they come, without the caller’s own token', async (t) => {
    const heard: { url: string; headers: IncomingHttpHeaders }[] = [];
    const backend = createServer((asked, answer) => {
      heard.push({ url: asked.url ?? '', headers: asked.headers });
      answer.writeHead(200, { 'content-type': 'text/event-stream' });
      answer.write('data: 1\n\n');
    }).listen(0, '127.0.0.1');
    await once(backend, 'listening');
    t.after(() => backend.closeAllConnections());
    t.after(() => backend.close());
    const { port } = backend.address() as AddressInfo;
    await kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'pod-1', namespace: 'shop' },
      spec: { containers: [] },
      status: { podIP: '127.0.0.1' },
    });
    await kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', namespace: 'shop' },
      spec: { clusterIP: 'None', ports: [{ name: 'admin', port: 80 }] },
    });
    await kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { name: 'web', namespace: 'shop' },
      subsets: [{ addresses: [{ ip: '127.0.0.1' }], ports: [{ name: 'admin', port }] }],
    });
    for (const target of [
      `pods/pod-1:${port}`,
      `pods/http:pod-1:${port}`,
      'services/web:admin',
      'services/http:web:80',
    ]) {
      const gone = once(backend, 'request').then(([asked]) => once((asked as IncomingMessage).socket, 'close'));
      const sent = request(`${kubernetes.url}/api/v1/namespaces/shop/${target}/proxy/stats?window=60`, {
        headers: { authorization: `Bearer ${await tokenOf('viewer')}`, 'nodemesh-authorization': 'Bearer mine' },
      }).end();
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      const [first] = await once(answer, 'data');
      assert.equal(String(first), 'data: 1\n\n');
      const { url, headers } = heard.at(-1) ?? { url: '', headers: {} };
      assert.deepEqual(
        [url, headers.authorization, headers['nodemesh-authorization']],
        ['/stats?window=60', undefined, 'Bearer mine'],
      );
      sent.destroy();
      await gone;
    }
    const missing = await fetch(`${kubernetes.url}/api/v1/namespaces/shop/pods/pod-2:80/proxy/`);
    assert.equal(missing.status, 404);
    backend.close();
    backend.closeAllConnections();
    const away = await fetch(`${kubernetes.url}/api/v1/namespaces/shop/pods/pod-1:${port}/proxy/`);
    assert.equal(away.status, 503);
  });
});
