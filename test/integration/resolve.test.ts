import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ConfigView, EndpointsView, PeersView, Resolution, ResolvedEndpoint } from '../../lib/explain.ts';
import { metricValue, runDiscoDaemon } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { PolicyMesh } from '../support/policy-mesh.ts';
import { ask } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.91.1.1', 'node-2': '127.91.2.1' };
const CALLER = '127.91.1.10';
type Node = keyof typeof NODES;

async function getJson<T>(mesh: TestMesh, node: string, path: string): Promise<T> {
  const { ip, port } = mesh.daemon(node).admin;
  const answer = await fetch(`http://${ip}:${port}${path}`);
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return JSON.parse(text) as T;
}

function resolve(mesh: TestMesh, query: Record<string, string>, node = 'node-1'): Promise<Resolution> {
  return getJson(mesh, node, `/resolve?${new URLSearchParams(query)}`);
}

function only(endpoints: readonly ResolvedEndpoint[]): ResolvedEndpoint {
  assert.equal(endpoints.length, 1);
  return endpoints[0] as ResolvedEndpoint;
}

const titles = ({ steps }: Resolution, step: string) =>
  steps.filter((one) => one.step === step).map(({ title, detail }) => `${title}: ${detail}`);

describe('/resolve on two nodes, and what is beside it', () => {
  let mesh: TestMesh;
  let worlds: TestPod[];

  const from = (query: Record<string, string>) => resolve(mesh, { from: 'shop/hello', ...query });

  before(async () => {
    mesh = await TestMesh.start(NODES, true, {
      keys: ['egress: {default: deny, allow: [192.0.2.0/24, "*.allowed.example", 127.9.9.9]}'],
    });
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: CALLER, node: 'node-1' });
    worlds = [
      await mesh.pod({ namespace: 'shop', name: 'world-1', ip: '127.91.1.11', node: 'node-1' }),
      await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.91.2.11', node: 'node-2' }),
      await mesh.pod({ namespace: 'shop', name: 'world-3', ip: '127.91.9.11', node: 'without-daemon' }),
    ];
    await mesh.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: 'shop', name: 'world' },
      spec: { clusterIP: '10.96.7.7', ports: [{ name: 'http', port: 80 }] },
    });
    await mesh.endpoints('shop', 'world', worlds);
    await mesh.service('shop', 'headless', [{ name: 'http', port: 7778 }]);
    await mesh.endpoints('shop', 'headless', worlds.slice(0, 1));
    await mesh.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: 'shop', name: 'outside' },
      spec: { type: 'ExternalName', externalName: 'api.forbidden.example' },
    });
    await mesh.service('shop', 'empty', [{ name: 'http', port: 80 }]);
    await mesh.service('other', 'world', [{ name: 'http', port: 80 }]);
    await until(
      () => resolve(mesh, { host: 'world.other', from: 'shop/hello' }),
      ({ outcome }) => outcome.error === 'no_endpoints',
    );
    await until(
      () => from({ host: 'headless' }),
      ({ outcome }) => outcome.ok,
    );
  });
  after(() => mesh.stop());

  test('all forms of a name lead to the same endpoints, each by its own way', async () => {
    for (const host of [
      'world',
      'world:80',
      'world.shop',
      'world.shop.svc',
      'world.shop.svc.cluster.local',
      '10.96.7.7',
    ]) {
      const found = await from({ host });
      assert.deepEqual(found.service, { namespace: 'shop', name: 'world', port: 'http' }, host);
      assert.equal(found.binding, 'shop/world:http');
      assert.equal(found.name, `/svc/${host}`);
      assert.deepEqual(found.outcome, {
        ok: true,
        error: null,
        text: 'goes to one of 3 endpoints of Service shop/world that take requests now',
      });
      assert.deepEqual(
        found.endpoints.map(({ pod, node, gateway, dropped, ready, load }) => ({
          pod,
          node,
          gateway,
          dropped,
          ready,
          load,
        })),
        worlds.map(({ name, node }) => ({
          pod: name,
          node,
          gateway: node === 'node-2' ? `${NODES['node-2']}:${mesh.daemon('node-2').port('incoming')}` : null,
          dropped: null,
          ready: true,
          load: null,
        })),
      );
      for (const { weight } of found.endpoints) assert.ok(weight !== null && Math.abs(weight - 1 / 3) < 0.04);
      assert.deepEqual(
        titles(found, 'gateway').map((title) => title.replace(/ by 127.*?: /, ': ')),
        [
          'node-1: in process: 1 of 3 endpoints',
          'node-2: 1 of 3 endpoints',
          'without-daemon: straight, without a daemon: 1 of 3 endpoints',
        ],
      );
    }
    assert.deepEqual((await from({ host: 'world' })).steps.map(({ step }) => step).slice(0, 4), [
      'caller',
      'identifier',
      'namer',
      'transformer',
    ]);
  });

  test('who asks: a pod by name or address, a namespace, a pod of another node, nobody', async () => {
    const { caller } = await from({ host: 'world' });
    assert.deepEqual(
      { ...caller, why: '' },
      {
        ip: CALLER,
        namespace: 'shop',
        pod: 'hello',
        workload: 'hello',
        node: 'node-1',
        known: true,
        why: '',
      },
    );
    assert.deepEqual((await resolve(mesh, { host: 'world', from: CALLER })).caller, caller);
    const byNamespace = await resolve(mesh, { host: 'world', from: 'other' });
    assert.equal(byNamespace.binding, 'other/world:http');
    assert.equal(byNamespace.outcome.error, 'no_endpoints');
    const elsewhere = await resolve(mesh, { host: 'world', from: '127.91.2.11' });
    assert.equal(elsewhere.caller.known, false);
    assert.match(elsewhere.caller.why, /on node node-2: .*ask that one/);
    assert.equal(elsewhere.outcome.error, 'not_local_pod');
    assert.equal((await resolve(mesh, { host: 'world', from: 'shop/world-2' }, 'node-2')).caller.known, true);
    const unknown = await resolve(mesh, { host: 'world', from: 'shop/nobody' });
    assert.equal(unknown.caller.known, false);
    assert.match(unknown.caller.why, /no pod shop\/nobody .* known on node node-1/);
    const nobody = await resolve(mesh, { host: 'world' });
    assert.equal(nobody.outcome.error, 'unknown_name');
    assert.match(nobody.outcome.text, /the caller's namespace is not known/);
  });

  test('one pod of a Service, an address of one, a headless Service with any port', async () => {
    assert.equal(only((await from({ host: 'world-2.world.shop' })).endpoints).pod, 'world-2');
    const byAddress = await from({ host: `${worlds[1]?.ip}:${worlds[1]?.port}` });
    assert.equal(only(byAddress.endpoints).node, 'node-2');
    assert.match(byAddress.binding ?? '', /^address\//);
    const headless = await from({ host: 'headless:9999' });
    assert.equal(only(headless.endpoints).address, '127.91.1.11:9999');
    assert.equal(headless.service?.port, '9999');
  });

  test('loopback is the calling pod, which a namespace does not say', async () => {
    const found = await from({ host: 'localhost:8080' });
    assert.equal(only(found.endpoints).address, `${CALLER}:8080`);
    assert.match(titles(found, 'identifier')[0] ?? '', /the calling pod itself: 127\.91\.1\.10:8080/);
    assert.match((await resolve(mesh, { host: '127.0.0.1', from: 'shop' })).outcome.text, /say which/);
  });

  test('what leads nowhere says so by the code that its caller would get', async () => {
    const outcomes: Record<string, string> = {
      nothing: 'unknown_name',
      'nothing.shop': 'egress_refused', // as a request for it would: it may be a name outside
      'nothing.shop.svc.cluster.local': 'unknown_name',
      'world:81': 'unknown_port',
      empty: 'no_endpoints',
      'a b': 'bad_authority',
      'api.forbidden.example': 'egress_refused',
      outside: 'egress_refused',
      '169.254.169.254': 'egress_refused',
    };
    for (const [host, error] of Object.entries(outcomes)) {
      const { outcome } = await from({ host });
      assert.deepEqual([host, outcome.ok, outcome.error], [host, false, error]);
      const answer = await ask(
        { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: CALLER },
        `GET http://${host}/ HTTP/1.1\r\nHost: x`,
      );
      if (error !== 'bad_authority') assert.match(answer.fields['l5d-err'] ?? '', new RegExp(`^${error}`), host);
    }
    const { ip, port } = mesh.daemon('node-1').admin;
    assert.equal((await fetch(`http://${ip}:${port}/resolve?from=shop`)).status, 400);
  });

  test('outside: each address with what the guard says of it', async () => {
    const allowed = await from({ host: '192.0.2.7:8080' });
    assert.equal(allowed.outcome.ok, true);
    assert.equal(only(allowed.endpoints).address, '192.0.2.7:8080');
    assert.deepEqual(titles(allowed, 'egress'), ['192.0.2.7:8080: 192.0.2.7: allowed']);
    const refused = await from({ host: '203.0.113.9' });
    assert.match(refused.outcome.text, /not among the networks|egress\.allow/);
    assert.equal(refused.steps.at(-1)?.ok, false);
  });

  test('what is published and not sent to says why', async () => {
    const slice = (name: string, conditions: object) =>
      mesh.kubernetes.apply({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { namespace: 'shop', name, labels: { 'kubernetes.io/service-name': 'empty' } },
        addressType: 'IPv4',
        ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
        endpoints: [{ addresses: [`127.91.1.${name === 'unready' ? 51 : 52}`], conditions, nodeName: 'node-1' }],
      });
    await slice('unready', { ready: false });
    await slice('leaving', { ready: false, serving: false, terminating: true });
    const found = await until(
      () => from({ host: 'empty' }),
      ({ endpoints }) => endpoints.length === 2,
    );
    assert.equal(found.outcome.error, 'no_endpoints');
    assert.deepEqual(found.endpoints.map(({ dropped }) => dropped).sort(), ['not ready', 'terminating']);
  });

  test('a hundred questions leave no trace in what requests find, or in what is counted', async () => {
    const quiet = async () =>
      (await mesh.daemon('node-1').metrics())
        .split('\n')
        .filter((line) => !VOLATILE.test(line))
        .join('\n');
    const before = await quiet();
    for (let i = 0; i < 25; i += 1) {
      for (const host of ['world', 'headless:1234', '192.0.2.7', 'nothing']) await from({ host });
    }
    assert.equal(await quiet(), before);
    const { services } = await getJson<EndpointsView>(mesh, 'node-1', '/endpoints?service=shop/world');
    assert.deepEqual(services[0]?.balancers, []);
  });

  test('/endpoints: what is known, how fresh, and what the balancers have of it', async () => {
    const answer = await ask(
      { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: CALLER },
      'GET http://world-2.world.shop/ HTTP/1.1\r\nHost: x',
    );
    assert.equal(answer.status, 200);
    const view = await getJson<EndpointsView>(mesh, 'node-1', '/endpoints?service=shop/world');
    assert.deepEqual(
      view.services.map(({ namespace, name }) => `${namespace}/${name}`),
      ['shop/world'],
    );
    const [service] = view.services;
    assert.deepEqual(
      service?.ports.map(({ name, port, endpoints }) => ({ name, port, pods: endpoints.map(({ pod }) => pod) })),
      [{ name: 'http', port: 80, pods: ['world-1', 'world-2', 'world-3'] }],
    );
    assert.deepEqual(
      service?.balancers.map(({ router, endpoints }) => [
        router,
        endpoints.map(({ inFlight, out }) => [inFlight, out]),
      ]),
      [['outgoing', [[0, false]]]],
    );
    const watch = view.watches.find(({ resource }) => resource === 'endpointslices');
    assert.ok(watch?.synced === true && watch.resourceVersion !== null && watch.lastEventAgeMs >= 0);
    const all = await getJson<EndpointsView>(mesh, 'node-1', '/endpoints');
    assert.ok(all.services.length >= 5);
    assert.equal((await getJson<EndpointsView>(mesh, 'node-1', '/endpoints?service=no/such')).services.length, 0);
  });

  test('/peers: the other daemons; /config: what is in force', async () => {
    const view = await getJson<PeersView>(mesh, 'node-1', '/peers');
    const [peer] = view.peers;
    assert.equal(view.peers.length, 1);
    assert.deepEqual(
      { ...peer, connections: null },
      {
        node: 'node-2',
        address: `${NODES['node-2']}:${mesh.daemon('node-2').port('incoming')}`,
        connections: null,
        tls: 'plaintext',
        certificateNotAfter: null,
        out: false,
        outForMs: 0,
      },
    );
    const { config } = await getJson<ConfigView>(mesh, 'node-1', '/config');
    assert.match(JSON.stringify(config), /\*\.allowed\.example/);
  });
});

/** What time alone changes, and what a scrape or a question of the admin server counts. */
const VOLATILE = /^(?:watch_last_event_age|watch_events_total|worker_|event_loop|process_|nodejs_|watch_restarts)/;

describe('/resolve where policies are enforced', () => {
  let policies: PolicyMesh;

  before(async () => {
    policies = await PolicyMesh.start('127.92');
  });
  after(() => policies.stop());

  const asPod = (node: Node, pod: string, host: string, more = {}) =>
    resolve(policies.mesh, { host, from: pod, ...more }, node);
  const verdict = async (node: Node, pod: string, host: string, more = {}) =>
    only((await asPod(node, pod, host, more)).endpoints).policy;

  test('no policy; then who denies, on this node, on another one, at the source; then who allows', async () => {
    assert.deepEqual(await verdict('node-1', 'x/a', 'b.y:8080'), {
      verdict: 'allowed',
      by: 'none',
    });
    await policies.applyPolicy({
      namespace: 'y',
      name: 'deny-all',
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    });
    const here = await until(
      () => verdict('node-1', 'x/a', 'b.y:8080'),
      (one) => one.verdict === 'denied',
    );
    assert.equal(here.by, 'NetworkPolicy y/deny-all (ingress)');
    const there = await until(
      () => asPod('node-1', 'x/a', 'a.y:8080'),
      ({ outcome }) => outcome.error === 'policy_denied',
    );
    assert.equal(only(there.endpoints).policy.by, 'NetworkPolicy y/deny-all (ingress), judged by the daemon of node-2');
    assert.equal((await policies.becomes('x/a', 'y/a', (status) => status === 403)).status, 403);
    const unsaid = await verdict('node-1', 'x', 'a.y:8080');
    assert.deepEqual(unsaid, { verdict: 'unknown', by: 'which pod calls is not said' });

    const from = [{ namespaceSelector: { matchLabels: { team: 'red' } } }];
    const spec = { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from }] };
    await policies.applyPolicy({ namespace: 'y', name: 'from-red', spec });
    const allowed = await until(
      () => verdict('node-1', 'x/a', 'b.y:8080'),
      (one) => one.verdict === 'allowed',
    );
    assert.equal(allowed.by, 'NetworkPolicy y/from-red (ingress)');

    await policies.applyPolicy({
      namespace: 'x',
      name: 'no-egress',
      spec: { podSelector: {}, policyTypes: ['Egress'] },
    });
    const egress = await until(
      () => verdict('node-1', 'x/a', 'a.y:8080'),
      (one) => one.verdict === 'denied',
    );
    assert.equal(egress.by, 'NetworkPolicy x/no-egress (egress)');
    await policies.removePolicies();
    await until(
      () => verdict('node-1', 'x/a', 'a.y:8080'),
      ({ by }) => by === 'none',
    );
  });

  test('a MeshPolicy judges method and path', async () => {
    const spec = { services: ['b'], rules: [{ methods: ['GET'], paths: [{ prefix: '/public' }] }] };
    await policies.mesh.kubernetes.apply({
      apiVersion: 'nodemesh.dev/v1alpha1',
      kind: 'MeshPolicy',
      metadata: { namespace: 'y', name: 'readers' },
      spec,
    });
    const denied = await until(
      () => verdict('node-1', 'x/a', 'b.y:8080', { path: '/private' }),
      (one) => one.verdict === 'denied',
    );
    assert.equal(denied.by, 'MeshPolicy y/readers');
    assert.deepEqual(await verdict('node-1', 'x/a', 'b.y:8080', { path: '/public/1' }), {
      verdict: 'allowed',
      by: 'MeshPolicy y/readers',
    });
    assert.equal((await verdict('node-1', 'x/a', 'b.y:8080', { path: '/public', method: 'POST' })).verdict, 'denied');
    const counted = metricValue(await policies.mesh.daemon('node-1').metrics(), 'policy_denied_total', {
      direction: 'request',
    });
    assert.equal(counted, 0); // questions are not counted
  });

  test('/peers tells the certificate that a daemon has shown', async () => {
    const view = await getJson<PeersView>(policies.mesh, 'node-1', '/peers');
    const [peer] = view.peers;
    assert.equal(peer?.tls, 'mutual TLS');
    assert.ok((peer?.certificateNotAfter ?? 0) > Date.now());
    assert.deepEqual(view.tls, { outgoing: 'required', incoming: 'required' });
  });
});

describe('/resolve of a pod that is out, and of files', () => {
  test('a pod that is out for failures says until when, gets no share, and questions take no probe', async () => {
    let clock = 1_000;
    const mesh = await TestMesh.start({ 'node-1': '127.93.1.1' }, true, {
      now: () => clock,
      outgoingRouterKeys: ['client: {loadBalancer: {kind: roundRobin}}'],
    });
    try {
      await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.93.1.10', node: 'node-1' });
      const bad = { namespace: 'shop', name: 'bad', ip: '127.93.1.11', node: 'node-1' };
      const pods = [
        await mesh.pod(bad, (_request, response) => response.writeHead(503).end()),
        await mesh.pod({ namespace: 'shop', name: 'good', ip: '127.93.1.12', node: 'node-1' }),
      ];
      await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
      await mesh.endpoints('shop', 'world', pods);
      const host = 'world';
      const look = () => resolve(mesh, { host, from: 'shop/hello' });
      await until(look, ({ endpoints }) => endpoints.length === 2);
      const to = { host: '127.93.1.1', port: mesh.daemon('node-1').port('outgoing'), localAddress: '127.93.1.10' };
      const found = await until(
        async () => {
          await ask(to, 'GET http://world/ HTTP/1.1\r\nHost: x');
          return look();
        },
        ({ endpoints }) => endpoints.some(({ out }) => out),
      );
      const row = found.endpoints.find(({ pod }) => pod === 'bad');
      assert.match(row?.dropped ?? '', /^out for its failures; asked again in \d\.\d s$/);
      assert.equal(row?.weight, 0);
      assert.equal(found.endpoints.find(({ pod }) => pod === 'good')?.weight, 1);
      clock += 5_000;
      for (let i = 0; i < 100; i += 1) await look();
      const due = (await look()).endpoints.find(({ pod }) => pod === 'bad');
      assert.match(due?.dropped ?? '', /a probe is due$/);
    } finally {
      await mesh.stop();
    }
  });

  test("linkerd's files, without Kubernetes", async () => {
    const disco = await runDiscoDaemon({ world: ['127.0.0.1 7777', '127.0.0.1 7778'] });
    try {
      const { ip, port } = disco.daemon.admin;
      const look = async (host: string) =>
        (await (await fetch(`http://${ip}:${port}/resolve?host=${host}&from=127.0.0.1`)).json()) as Resolution;
      const found = await look('world');
      assert.deepEqual(
        found.endpoints.map(({ address }) => address),
        ['127.0.0.1:7777', '127.0.0.1:7778'],
      );
      assert.deepEqual(titles(found, 'namer'), ['io.l5d.fs: fs/world#0']);
      assert.equal(found.outcome.ok, true);
      assert.equal((await look('nothing')).outcome.error, 'unknown_name');
    } finally {
      await disco.stop();
    }
  });
});
