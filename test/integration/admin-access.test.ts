import assert from 'node:assert/strict';
import { request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type AccessModes, AdminAccess, type TokenReviewer } from '../../lib/admin-access.ts';
import { startAdminServer } from '../../lib/admin-server.ts';
import { tokenReviewer } from '../../lib/kubernetes/token-review.ts';
import type { ApiRequest, KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import { readManifest } from '../../scripts/playground/manifests.ts';
import { metricValue } from '../support/daemon.ts';
import { startMemoryKubernetes } from '../support/memory-kubernetes.ts';

const ACCESS = fileURLToPath(new URL('../../manifests/base/access.yaml', import.meta.url));
const MODES: AccessModes = { metrics: 'open', diagnostics: 'token', tap: 'token' };
const SHOP = '/api/v1/namespaces/shop/serviceaccounts/clerk';

/** A cluster with the manifests' rules, an admin server that asks it, and what was asked of it. */
async function installed(t: TestContext, { ip = '127.0.0.2', modes = MODES } = {}) {
  const { kubernetes, api, ask } = await startMemoryKubernetes(t);
  for (const name of ['nodemesh', 'shop'])
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  await kubernetes.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'clerk', namespace: 'shop' } });
  for (const object of readManifest(ACCESS)) await kubernetes.apply(object as Parameters<typeof kubernetes.apply>[0]);
  const reviews: string[] = [];
  const recorded: KubernetesApi = {
    ...api,
    server: api.server,
    request: (request: ApiRequest) => {
      reviews.push(request.path.split('/').at(-1) ?? '');
      return api.request(request);
    },
  };
  const clock = { now: 0 };
  const review = tokenReviewer(
    async () => recorded,
    () => clock.now,
  );
  const base = await serve(t, { ip, modes, review });
  const token = async (account: string) => (await ask('POST', `${account}/token`, {})).status.token as string;
  return { kubernetes, reviews, clock, base, viewer: await token(VIEWER), clerk: await token(SHOP) };
}

const VIEWER = '/api/v1/namespaces/nodemesh/serviceaccounts/nodemesh-viewer';

async function serve(
  t: TestContext,
  { ip, modes, review }: { ip: string; modes: AccessModes; review: TokenReviewer | undefined },
): Promise<string> {
  const metrics = new MetricsRegistry();
  const server = await startAdminServer({
    ip,
    port: 0,
    readiness: new Readiness(),
    metrics,
    access: new AdminAccess({ modes, ip, review, metrics }),
    routes: [
      { path: '/stats', access: 'diagnostics', handle: (_, reply) => reply.json({ secret: 1 }) },
      { path: '/tap', access: 'tap', handle: (_, reply) => reply.json({ secret: 2 }) },
      { path: '/', access: 'page', handle: (_, reply) => reply.text('page\n') },
    ],
    log: createLog('test', 'silent'),
  });
  t.after(() => server.close());
  return `http://${ip}:${server.address.port}`;
}

async function get(url: string, headers: Record<string, string> = {}): Promise<[status: number, text: string]> {
  const answer = await fetch(url, { headers });
  return [answer.status, await answer.text()];
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

describe('who may read an admin server', () => {
  it('probes, metrics and the page’s files go to anyone, all else wants a token and says how to get one', async (t) => {
    const { base, reviews } = await installed(t);
    for (const path of ['/livez', '/readyz', '/metrics', '/']) assert.equal((await get(base + path))[0], 200, path);
    for (const path of ['/stats', '/tap']) {
      const answer = await fetch(base + path);
      assert.deepEqual([answer.status, answer.headers.get('www-authenticate')], [401, 'Bearer']);
      const text = await answer.text();
      assert.match(text, /nodemesh dashboard/);
      assert.doesNotMatch(text, /secret/);
    }
    assert.deepEqual(reviews, []);
  });

  it('a token of ServiceAccount nodemesh-viewer opens it, in either field', async (t) => {
    const { base, viewer } = await installed(t);
    assert.deepEqual(await get(`${base}/stats`, bearer(viewer)), [200, '{"secret":1}']);
    assert.deepEqual(await get(`${base}/tap`, { 'nodemesh-authorization': `Bearer ${viewer}` }), [200, '{"secret":2}']);
  });

  it('a token of somebody else gets 403 with what to do, one of nobody 401, neither with the token', async (t) => {
    const { base, clerk } = await installed(t);
    const [status, text] = await get(`${base}/stats`, bearer(clerk));
    assert.equal(status, 403);
    assert.match(text, /system:serviceaccount:shop:clerk may not get \/nodemesh\/diagnostics/);
    assert.match(text, /--clusterrole=nodemesh-viewer --serviceaccount=shop:clerk/);
    const [refused, why] = await get(`${base}/stats`, bearer('bm9ib2R5'));
    assert.equal(refused, 401);
    assert.doesNotMatch(text + why, new RegExp(`${clerk}|bm9ib2R5`));
    await get(`${base}/tap`);
    const [, counted] = await get(`${base}/metrics`);
    for (const [access, reason] of [
      ['diagnostics', 'forbidden'],
      ['diagnostics', 'unknown'],
      ['tap', 'no_token'],
    ] as const) {
      assert.equal(metricValue(counted, 'admin_refused_total', { class: access, reason }), 1, reason);
    }
    assert.equal(metricValue(counted, 'admin_refused_total'), 3);
  });

  it('a ClusterRole for diagnostics alone opens no tap', async (t) => {
    const { kubernetes, base, clerk } = await installed(t);
    const rbac = 'rbac.authorization.k8s.io';
    const apiVersion = `${rbac}/v1`;
    const rules = [{ nonResourceURLs: ['/nodemesh/diagnostics'], verbs: ['get'] }];
    await kubernetes.apply({ apiVersion, kind: 'ClusterRole', metadata: { name: 'numbers' }, rules });
    await kubernetes.apply({
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'numbers' },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: 'numbers' },
      subjects: [{ kind: 'ServiceAccount', name: 'clerk', namespace: 'shop' }],
    });
    assert.equal((await get(`${base}/stats`, bearer(clerk)))[0], 200);
    assert.equal((await get(`${base}/tap`, bearer(clerk)))[0], 403);
  });

  it('an allowed token is asked about once a minute, a refused one every ten seconds', async (t) => {
    const { base, reviews, clock, viewer, clerk } = await installed(t);
    const asked = async (token: string, at: number) => {
      clock.now = at;
      const before = reviews.length;
      await get(`${base}/stats`, bearer(token));
      return reviews.slice(before);
    };
    const both = ['tokenreviews', 'subjectaccessreviews'];
    assert.deepEqual(await asked(viewer, 0), both);
    assert.deepEqual(await asked(viewer, 59_999), []);
    assert.deepEqual(await asked(viewer, 60_000), both);
    assert.deepEqual(await asked(clerk, 60_000), both);
    assert.deepEqual(await asked(clerk, 69_999), []);
    assert.deepEqual(await asked(clerk, 70_000), both);
  });

  it('while the API server is away, the last good answer holds for its time; then 503 says why', async (t) => {
    const { kubernetes, base, clock, viewer, clerk } = await installed(t);
    assert.equal((await get(`${base}/stats`, bearer(viewer)))[0], 200);
    await kubernetes.goDown();
    assert.equal((await get(`${base}/stats`, bearer(viewer)))[0], 200);
    const [unknown, why] = await get(`${base}/stats`, bearer(clerk));
    assert.deepEqual([unknown, /the API server does not answer/.test(why)], [503, true]);
    clock.now = 60_000;
    assert.equal((await get(`${base}/stats`, bearer(viewer)))[0], 503);
    assert.equal((await get(`${base}/metrics`))[0], 200);
    await kubernetes.comeUp();
    assert.equal((await get(`${base}/stats`, bearer(viewer)))[0], 200);
  });

  it('a token that nobody knows costs few reviews at a time', async () => {
    const waiting: (() => void)[] = [];
    const api = {
      request: () => new Promise((resolve) => waiting.push(() => resolve({ status: {} }))),
    } as unknown as KubernetesApi;
    const review = tokenReviewer(
      async () => api,
      () => 0,
    );
    const verdicts = Array.from({ length: 9 }, (_, i) => review(`token-${i}`, '/metrics'));
    assert.equal((await verdicts[8])?.kind, 'unanswered');
    assert.equal(waiting.length, 8);
    for (const answer of waiting) answer();
    assert.deepEqual((await Promise.all(verdicts)).filter(({ kind }) => kind === 'unknown').length, 8);
  });

  it('metrics too want a token where admin.access says so', async (t) => {
    const { base, viewer } = await installed(t, { modes: { ...MODES, metrics: 'token' } });
    assert.equal((await get(`${base}/metrics`))[0], 401);
    assert.equal((await get(`${base}/metrics`, bearer(viewer)))[0], 200);
  });

  it('on loopback all is open, but not to a page of another site that was led there by its own name', async (t) => {
    const base = await serve(t, { ip: '127.0.0.1', modes: MODES, review: undefined });
    assert.equal((await get(`${base}/stats`))[0], 200);
    assert.equal((await get(`${base.replace('127.0.0.1', 'localhost')}/stats`))[0], 200);
    const { status, text } = await rebound(base);
    assert.deepEqual([status, /localhost/.test(text)], [403, true]);
  });

  it('where no API server can be asked, what wants a token is refused', async (t) => {
    const base = await serve(t, { ip: '127.0.0.2', modes: MODES, review: undefined });
    const [status, text] = await get(`${base}/stats`, bearer('any'));
    assert.deepEqual([status, /admin\.access\.diagnostics: open/.test(text)], [403, true]);
    const open = await serve(t, { ip: '127.0.0.2', modes: { ...MODES, diagnostics: 'open' }, review: undefined });
    assert.equal((await get(`${open}/stats`))[0], 200);
  });
});

/** fetch lets nobody write the Host field. */
function rebound(base: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${base}/stats`, { headers: { host: 'evil.example:9990' } }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => {
        text += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode, text }));
    });
    sent.on('error', reject);
    sent.end();
  });
}
