import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { makeIdentity } from '../support/identity.ts';
import { until } from '../support/mesh.ts';
import { PORTS } from '../support/policy-cases.ts';
import { PolicyMesh } from '../support/policy-mesh.ts';
import { type RawAnswer, splitAnswers } from '../support/raw-http.ts';

const FROM_RED = {
  podSelector: {},
  policyTypes: ['Ingress'],
  ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'red' } } }] }],
};

describe('who calls, between daemons that prove themselves', () => {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start('127.73', { incomingRouterKeys: ['clientHeader: true'] });
    await mesh.applyPolicy({ namespace: 'y', name: 'from-red', spec: FROM_RED });
    await mesh.becomes('z/a', 'y/a', (status) => status === 403);
  });
  after(() => mesh.stop());

  /** Asks node-2's incoming router for y/a as the daemon of `node`. */
  async function askAsDaemon(node: string, fields: string): Promise<RawAnswer> {
    const { certificate: cert, key } = makeIdentity(mesh.mesh.authority, node);
    const port = mesh.mesh.daemon('node-2').port('incoming');
    const socket = connect({ host: '127.73.2.1', port, localAddress: '127.73.7.7' });
    const secure = connectTls({ socket, cert, key, rejectUnauthorized: false });
    const target = `mesh-endpoint: ${mesh.ips['y/a']}:${PORTS.http}\r\nmesh-service: a.y\r\n`;
    secure.write(`GET / HTTP/1.1\r\nHost: a.y\r\nConnection: close\r\n${target}${fields}\r\n`);
    let wire = '';
    secure.on('data', (bytes) => {
      wire += bytes;
    });
    await once(secure, 'close');
    const [answer] = splitAnswers(wire);
    assert.ok(answer);
    return answer;
  }

  const SAID = () => `mesh-source: ${mesh.ips['x/a']} x/a\r\n`;

  test("a daemon speaks for its own node's pods", async () => {
    assert.equal((await mesh.ask('x/a', 'y/a')).status, 200);
    assert.equal((await askAsDaemon('node-1', SAID())).status, 200);
  });

  test('a daemon of another node that says the same is not believed', async () => {
    const { status, fields } = await askAsDaemon('node-3', SAID());
    assert.deepEqual([status, fields['mesh-error'], fields['mesh-retryable']], [403, 'policy_denied', undefined]);
  });

  test('a daemon that says nothing calls by itself', async () => {
    assert.equal((await askAsDaemon('node-1', '')).status, 403);
    assert.equal((await askAsDaemon('node-1', 'mesh-client: namespace=x;serviceaccount=s;pod=a\r\n')).status, 403);
  });

  test('of a pod that nobody has seen yet the sender may ask again', async () => {
    const { status, fields } = await askAsDaemon('node-1', 'mesh-source: 127.73.1.99 x/new\r\n');
    assert.deepEqual([status, fields['mesh-error'], fields['mesh-retryable']], [503, 'not_synced', 'true']);
  });

  test('an application is told who calls, by its own daemon alone', async () => {
    const forged = ['mesh-client', 'Mesh-Client', 'MESH-CLIENT', 'mesh_client', 'Mesh_Client', 'mesh-source'];
    const fields = forged.map((name) => `\r\n${name}: namespace=admin;serviceaccount=root;pod=p`).join('');
    for (const [source, destination] of [
      ['x/a', 'y/a'], // through two daemons
      ['x/b', 'z/a'], // beside each other
    ] as const) {
      mesh.asked.length = 0;
      // A quirk of the head sends it through the strict reading as well.
      for (const quirk of ['', '\r\nTE: trailers']) {
        assert.equal((await mesh.ask(source, destination, PORTS.http, fields + quirk)).status, 200);
        const { headers } = mesh.asked.pop() ?? { headers: {} };
        const [namespace, pod] = source.split('/');
        const said = Object.entries(headers).filter(([name]) => /mesh/.test(name));
        assert.deepEqual(said, [['mesh-client', `namespace=${namespace};serviceaccount=${pod}-account;pod=${pod}`]]);
      }
    }
  });
});

test('without TLS nothing that is said is believed: the source is where the connection comes from', async () => {
  const mesh = await PolicyMesh.start('127.74', { tls: 'off', incomingRouterKeys: ['clientHeader: true'] });
  try {
    const ask = (from: string) =>
      mesh.askAs(from, 'node-2', `GET / HTTP/1.1\r\nHost: a.y:8080\r\nmesh-source: ${mesh.ips['x/a']} x/a`, 'incoming');
    const [otherNode, stranger] = ['127.74.1.1', '127.74.9.9'];
    await mesh.applyPolicy({ namespace: 'y', name: 'from-red', spec: FROM_RED });
    for (const from of [otherNode, stranger, mesh.ips['z/a']]) {
      await until(
        () => ask(from),
        ({ status }) => status === 403,
      );
    }
    assert.equal((await ask(mesh.ips['x/b'])).status, 200, 'a pod, by its own address');
    assert.match(String(mesh.asked.at(-1)?.headers['mesh-client']), /pod=b$/);
    const spec = { ...FROM_RED, ingress: [{ from: [{ ipBlock: { cidr: `${otherNode}/32` } }] }] };
    await mesh.applyPolicy({ namespace: 'y', name: 'from-red', spec });
    await until(
      () => ask(otherNode),
      ({ status }) => status === 200,
    );
    assert.equal(mesh.asked.at(-1)?.headers['mesh-client'], undefined);
    assert.equal((await ask(stranger)).status, 403);
  } finally {
    await mesh.stop();
  }
});

test('under permissive, a daemon that has not proved itself yet may ask again; a pod that speaks like one may not', async () => {
  const mesh = await PolicyMesh.start('127.79', { tls: 'permissive' });
  try {
    const ask = (from: string, said: string) =>
      mesh.askAs(from, 'node-2', `GET / HTTP/1.1\r\nHost: a.y:8080${said}`, 'incoming');
    const said = `\r\nmesh-source: ${mesh.ips['x/a']} x/a`;
    await mesh.applyPolicy({ namespace: 'y', name: 'from-red', spec: FROM_RED });
    await until(
      () => ask('127.79.1.1', ''),
      ({ status }) => status === 403,
    );
    const { status, fields } = await ask('127.79.1.1', said);
    assert.deepEqual([status, fields['mesh-error'], fields['mesh-retryable']], [503, 'not_synced', 'true']);
    assert.equal((await ask(mesh.ips['z/a'], said)).status, 403);
    assert.equal((await ask(mesh.ips['x/b'], said)).status, 200);
  } finally {
    await mesh.stop();
  }
});

test('an application is told who calls where policies are off, too', async () => {
  const mesh = await PolicyMesh.start('127.78', { routerKeys: [], incomingRouterKeys: ['clientHeader: true'] });
  try {
    const told = await until(
      async () => {
        assert.equal((await mesh.ask('x/a', 'y/a')).status, 200);
        return String(mesh.asked.at(-1)?.headers['mesh-client']);
      },
      (field) => field !== 'undefined',
    );
    assert.equal(told, 'namespace=x;serviceaccount=a-account;pod=a');
  } finally {
    await mesh.stop();
  }
});
