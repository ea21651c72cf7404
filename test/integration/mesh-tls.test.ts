import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { createCertificateRequest } from '../../lib/certificates/certificate-request.ts';
import { CA_CONFIG_MAP, nodeId, SIGNER_NAME, splitBundle } from '../../lib/certificates/node-identity.ts';
import { metricValue } from '../support/daemon.ts';
import { makeAuthority, makeIdentity, makeKeys } from '../support/identity.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';

const NODES = { 'node-1': '127.67.1.1', 'node-2': '127.67.2.1' };
const REQUESTS = '/apis/certificates.k8s.io/v1/certificatesigningrequests';

interface SigningRequest {
  readonly spec: { readonly username: string; readonly request: string };
  readonly status?: { readonly certificate?: string; readonly conditions?: { type: string; message: string }[] };
}

describe('two daemons, tls: required', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let world: TestPod;
  const hung = new EventEmitter();
  const agent = new Agent({ keepAlive: true, maxSockets: 8, localAddress: '127.67.1.10' });

  /** Asks node-1's outgoing router for a name, as the pod `caller`. */
  const ask = (name: string): Promise<{ status: number; error: string | undefined; body: string }> =>
    new Promise((resolve, reject) => {
      const sent = request({
        host: NODES['node-1'],
        port: mesh.daemon('node-1').port('outgoing'),
        path: `http://${name}/`,
        headers: { host: name },
        agent,
      });
      sent.on('error', reject);
      sent.on('response', (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          body += piece;
        });
        response.on('end', () => {
          const error = response.headers['l5d-err'];
          resolve({ status: response.statusCode ?? 0, error: error?.toString(), body });
        });
      });
      sent.end();
    });
  const connectAs = (localAddress: string) =>
    connect({ host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress, allowHalfOpen: true });
  /** Asks for an answer that never comes and goes away, and with it the connection between the daemons. */
  const breakOff = async () => {
    const { host, port } = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing') };
    const sent = request({ host, port, path: 'http://world/hang', localAddress: '127.67.1.10', agent: false });
    sent.on('error', () => {});
    sent.end();
    await once(hung, 'request');
    sent.destroy();
  };
  const metric = async (node: keyof typeof NODES, name: string, labels: Record<string, string>) =>
    metricValue(await mesh.daemon(node).metrics(), name, labels);

  before(async () => {
    mesh = await TestMesh.start(NODES, true, { tls: 'required' });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.67.1.10', node: 'node-1' });
    world = await mesh.pod(
      { namespace: 'shop', name: 'world', ip: '127.67.2.11', node: 'node-2' },
      (asked, response) => {
        if (asked.url === '/hang') hung.emit('request');
        else if (asked.url === '/echo') asked.pipe(response);
        else if (asked.url === '/cut')
          response.socket?.write('HTTP/1.0 200 OK\r\n\r\nhalf', () => response.socket?.resetAndDestroy());
        else response.end('127.67.2.11');
      },
      (_asked, socket) => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
        socket.pipe(socket);
      },
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 7778 }]);
    await mesh.endpoints('shop', 'world', [world]);
    await until(
      () => ask('world'),
      ({ status }) => status === 200,
    );
  });
  after(async () => {
    agent.destroy();
    await mesh.stop();
  });

  test('requests between nodes go over mutual TLS, and each daemon got its certificate by name of its node', async () => {
    const full = await metric('node-2', 'tls_connection_total', { side: 'server', handshake: 'full' });
    assert.ok(full >= 1);
    assert.equal(await metric('node-2', 'tls_connection_total', { handshake: 'plaintext' }), 0);
    assert.deepEqual(await ask('world'), { status: 200, error: undefined, body: world.ip });
    const requests = mesh.kubernetes.list(REQUESTS) as unknown as SigningRequest[];
    const names = requests.map(({ status }) => new X509Certificate(fromBase64(status?.certificate)).subjectAltName);
    assert.deepEqual(
      names.sort(),
      Object.keys(NODES).map((node) => `URI:${nodeId('cluster.local', node)}`),
    );
    for (const node of ['node-1', 'node-2'] as const) {
      assert.ok((await metric(node, 'identity_expiry_seconds', {})) > 86_000);
    }
  });

  test('the mode is on /readyz and /metrics', async () => {
    const { ip, port } = mesh.daemon('node-1').admin;
    const ready = await fetch(`http://${ip}:${port}/readyz`);
    assert.equal(await ready.text(), 'ok\nrouter outgoing: tls required\nrouter incoming: tls required\n');
    assert.equal(await metric('node-1', 'tls_mode', { router: 'incoming', mode: 'required' }), 1);
  });

  test('bodies of any size pass both ways, with backpressure', async () => {
    const body = randomBytes(8 * 1024 * 1024);
    const { host, port } = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing') };
    const sent = request({ host, port, method: 'POST', path: 'http://world/echo', agent });
    sent.end(body);
    const [answer] = await once(sent, 'response');
    const pieces: Buffer[] = [];
    for await (const piece of answer) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(body));
  });

  test('bodies that wait for a slow caller, many at a time, are not mixed up', async () => {
    const { host, port } = { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing') };
    const echo = async () => {
      const body = randomBytes(3 * 1024 * 1024);
      const sent = request({
        host,
        port,
        method: 'POST',
        path: 'http://world/echo',
        localAddress: caller.ip,
        agent: false,
      });
      sent.end(body);
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      const pieces: Buffer[] = [];
      for await (const piece of answer) {
        pieces.push(piece);
        if (pieces.length % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.ok(Buffer.concat(pieces).equals(body));
    };
    await Promise.all(Array.from({ length: 8 }, echo));
  });

  test('a switch of protocols passes, and half-closes with it', async () => {
    const socket = connectAs(caller.ip);
    socket.write('GET http://world/ HTTP/1.1\r\nHost: world\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    const [head] = await once(socket, 'data');
    assert.match(String(head), /^HTTP\/1\.1 101 /);
    socket.end('to the end');
    let echoed = '';
    for await (const piece of socket) echoed += piece;
    assert.equal(echoed, 'to the end');
  });

  test('an answer that was cut off does not look complete', async () => {
    const socket = connectAs(caller.ip);
    socket.write('GET http://world/cut HTTP/1.1\r\nHost: world\r\n\r\n');
    let answer = '';
    const read = async () => {
      for await (const piece of socket) answer += piece;
    };
    await read().catch(() => {});
    assert.doesNotMatch(answer, /\r\n0\r\n\r\n$/);
  });

  test('a peer in plaintext, or of another CA, is refused, counted, and reaches no pod', async () => {
    const port = mesh.daemon('node-2').port('incoming');
    const other = makeIdentity(await makeAuthority(), 'node-1');
    const from = { host: NODES['node-2'], port, localAddress: NODES['node-1'] };
    const before = await metric('node-2', 'endpoint_request_total', {});
    const cases: [string, () => Socket][] = [
      ['plaintext', () => connect(from)],
      ['no_certificate', () => connectTls({ socket: connect(from), rejectUnauthorized: false })],
      [
        'wrong_authority',
        () => connectTls({ socket: connect(from), cert: other.certificate, key: other.key, rejectUnauthorized: false }),
      ],
    ];
    for (const [reason, open] of cases) {
      const answer = await converse(
        open(),
        `GET / HTTP/1.1\r\nHost: world.shop\r\nmesh-endpoint: ${world.ip}:1\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1\.1 502 .*\r\nmesh-error: peer_refused/, reason);
      assert.equal(await metric('node-2', 'tls_refused_total', { side: 'server', reason }), 1);
    }
    assert.equal(await metric('node-2', 'endpoint_request_total', {}), before);
  });

  test('a daemon that shows the certificate of another node is sent nothing, and the 502 says so', async () => {
    // Another node's daemon, with a good certificate, at the address that is said to be node-3's.
    const { certificate, key, authorities } = makeIdentity(mesh.authority, 'node-4');
    const received: string[] = [];
    const impostor = createTlsServer({ cert: certificate, key, ca: [...authorities] }, (socket: TLSSocket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes) => received.push(bytes.toString()));
    });
    impostor.listen(0, '127.67.3.1');
    await once(impostor, 'listening');
    const port = (impostor.address() as { port: number }).port;
    const daemons = Object.entries(NODES).map(([node, ip]) => ({ node, ip, port: mesh.daemon(node).port('incoming') }));
    const all = [...daemons, { node: 'node-3', ip: '127.67.3.1', port }];
    await mesh.endpoints(
      'nodemesh',
      'nodemesh-daemon',
      all.map((one) => ({ ...one, namespace: 'nodemesh', name: `daemon-${one.node}` })),
      'incoming',
    );
    const far = await mesh.pod({ namespace: 'shop', name: 'far', ip: '127.67.3.11', node: 'node-3' });
    await mesh.service('shop', 'far', [{ name: 'http', port: 7778 }]);
    await mesh.endpoints('shop', 'far', [far]);
    const refused = await until(
      () => ask('far'),
      ({ error }) => error === 'peer_not_trusted',
    );
    assert.equal(refused.status, 502);
    assert.match(
      refused.body,
      /127\.67\.3\.1:\d+ is not trusted: its certificate is of node node-4, not of node node-3/,
    );
    assert.ok((await metric('node-1', 'tls_refused_total', { side: 'client', reason: 'wrong_node' })) >= 1);
    assert.deepEqual(received, []);
    impostor.close();
  });

  test('a copied certificate opens nothing from an address of another node, nor of a pod there', async () => {
    const { certificate, key } = makeIdentity(mesh.authority, 'node-1');
    const port = mesh.daemon('node-2').port('incoming');
    const request = `GET / HTTP/1.1\r\nHost: world.shop\r\nmesh-endpoint: ${world.ip}:${world.port}\r\nmesh-service: world.shop\r\nConnection: close\r\n\r\n`;
    const from = (localAddress: string) =>
      converse(
        connectTls({
          socket: connect({ host: NODES['node-2'], port, localAddress }),
          cert: certificate,
          key,
          rejectUnauthorized: false,
        }),
        request,
      );
    const refused = () => metric('node-2', 'tls_refused_total', { side: 'server', reason: 'wrong_node' });
    assert.match(await from(NODES['node-1']), /^HTTP\/1\.1 200 /, 'from a place that is not known to be elsewhere');
    assert.equal(await refused(), 0);
    const said = await from(world.ip);
    assert.match(said, /^HTTP\/1\.1 502 .*\r\nmesh-error: peer_refused/);
    assert.match(said, /its certificate is of node node-1, but \S+ is an address of node node-2, or of a pod there/);
    assert.equal(await refused(), 1);
  });

  test('another CA takes over under traffic: new certificates, and no request is lost', async () => {
    const issued = () => (mesh.kubernetes.list(REQUESTS) as unknown as SigningRequest[]).length;
    const before = issued();
    const answers: number[] = [];
    let going = true;
    const traffic = Array.from({ length: 4 }, async () => {
      while (going) answers.push((await ask('world')).status);
    });
    const handshakes = () => metric('node-1', 'tls_connection_total', { side: 'client' });
    const handshakesBefore = await handshakes();
    const breaking = (async () => {
      while (going) await breakOff();
    })();
    for (let round = 1; round <= 3; round += 1) {
      await mesh.rotateAuthority();
      const [first = ''] = splitBundle(mesh.authority['ca.crt']);
      // Both hold a certificate of the new CA once they have asked twice more, and the bundle begins with it.
      await until(
        async () => ({ bundle: bundleOf(mesh), successes: await renewals(mesh) }),
        ({ bundle, successes }) => bundle.startsWith(first) && successes === 2 * (round + 1),
      );
    }
    going = false;
    await Promise.all([...traffic, breaking]);
    assert.ok((await handshakes()) - handshakesBefore > 3, 'new connections were made all the time');
    assert.deepEqual(new Set(answers), new Set([200]));
    assert.equal(issued() - before, 6);
    assert.equal(await metric('node-1', 'tls_refused_total', { reason: 'wrong_authority' }), 0);
  });

  test('a request for another node, by another account, or for another name is denied with its reason', async () => {
    const keys = makeKeys();
    const make = (uri: string) =>
      Buffer.from(createCertificateRequest(keys, { commonName: 'x', uri })).toString('base64');
    const bound = { namespace: 'nodemesh', serviceAccount: 'nodemesh-daemon', pod: 'daemon-node-1', podUid: '' };
    const pod = mesh.kubernetes.get('/api/v1/namespaces/nodemesh/pods/daemon-node-1');
    const own = { ...bound, podUid: pod?.metadata.uid ?? '' };
    const cases: [string, typeof bound, string, RegExp][] = [
      [
        'other-node',
        own,
        nodeId('cluster.local', 'node-2'),
        /asks for node node-2, and its pod .* runs on node node-1/,
      ],
      ['account', { ...own, serviceAccount: 'default' }, nodeId('cluster.local', 'node-1'), /and not by/],
      ['other-pod', { ...own, podUid: 'x' }, nodeId('cluster.local', 'node-1'), /of another pod/],
      ['no-pod', { ...own, pod: 'gone' }, nodeId('cluster.local', 'node-1'), /there is no pod/],
      ['other-name', own, 'spiffe://cluster.local/ns/shop', /not the name of one node/],
    ];
    for (const [name, user, uri, says] of cases) {
      const body = {
        apiVersion: 'certificates.k8s.io/v1',
        kind: 'CertificateSigningRequest',
        metadata: { name },
        spec: { request: make(uri), signerName: SIGNER_NAME, usages: ['client auth'], username: 'whoever' },
      };
      await mesh.post(REQUESTS, body, user);
      const answered = await until(
        async () => {
          await new Promise((resolve) => setImmediate(resolve));
          return mesh.kubernetes.get(`${REQUESTS}/${name}`) as unknown as SigningRequest;
        },
        ({ status }) => status?.conditions !== undefined || status?.certificate !== undefined,
      );
      assert.equal(answered.status?.certificate, undefined, name);
      assert.deepEqual(
        answered.status?.conditions?.map(({ type }) => type),
        ['Denied'],
      );
      assert.match(answered.status?.conditions?.[0]?.message ?? '', says);
    }
  });

  test('without the API server and the signer everything goes on', async () => {
    await mesh.kubernetes.goDown();
    for (let i = 0; i < 20; i += 1) assert.equal((await ask('world')).status, 200);
    await mesh.kubernetes.comeUp();
    assert.equal(caller.node, 'node-1');
  });
});

test('a daemon that is permissive and one that speaks plaintext alone lose no request, whatever its size', async () => {
  const mesh = await TestMesh.start({ 'node-1': '127.68.1.1', 'node-2': '127.68.2.1' }, true, {
    tls: { 'node-1': 'permissive', 'node-2': 'off' },
  });
  try {
    const caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.68.1.10', node: 'node-1' });
    const world = await mesh.pod(
      { namespace: 'shop', name: 'world', ip: '127.68.2.11', node: 'node-2' },
      (asked, response) => asked.pipe(response),
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 7778 }]);
    await mesh.endpoints('shop', 'world', [world]);
    const metrics = () => mesh.daemon('node-1').metrics();
    await until(metrics, (text) => metricValue(text, 'identity_expiry_seconds') > 0);
    const body = randomBytes(2 * 1024 * 1024);
    const post = async () => {
      const { port } = mesh.daemon('node-1').listening.outgoing?.[0] ?? { port: 0 };
      const at = { host: '127.68.1.1', port, localAddress: caller.ip, agent: false as const };
      const sent = request({ ...at, method: 'POST', path: 'http://world/', headers: { host: 'world' } });
      sent.on('error', () => {});
      sent.end(body);
      const [answer] = await once(sent, 'response');
      const pieces: Buffer[] = [];
      for await (const piece of answer) pieces.push(piece);
      return { status: answer.statusCode, error: answer.headers['l5d-err'], same: Buffer.concat(pieces).equals(body) };
    };
    // Until the names are known; no other error is forgiven.
    const first = await until(post, ({ error }) => error !== 'unknown_name' && error !== 'no_endpoints');
    assert.deepEqual(first, { status: 200, error: undefined, same: true });
    const text = await metrics();
    assert.equal(metricValue(text, 'tls_refused_total', { side: 'client', reason: 'plaintext' }), 1);
    assert.ok(metricValue(text, 'tls_connection_total', { side: 'client', handshake: 'plaintext' }) >= 1);
  } finally {
    await mesh.stop();
  }
});

function bundleOf(mesh: TestMesh): string {
  const map = mesh.kubernetes.get(`/api/v1/namespaces/nodemesh/configmaps/${CA_CONFIG_MAP}`);
  return (map as unknown as { data?: Record<string, string> } | undefined)?.data?.['ca.crt'] ?? '';
}

async function renewals(mesh: TestMesh): Promise<number> {
  let sum = 0;
  for (const daemon of mesh.daemons.values()) {
    sum += metricValue(await daemon.metrics(), 'identity_renewal_total', { result: 'success' });
  }
  return sum;
}

async function converse(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  let answer = '';
  for await (const piece of socket) answer += piece;
  return answer;
}

function fromBase64(text = ''): string {
  return Buffer.from(text, 'base64').toString();
}
