import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { metricValue } from '../support/daemon.ts';
import { makeIdentity } from '../support/identity.ts';
import { TestMesh, type TestPod } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.68.1.1', 'node-2': '127.68.2.1' };
/** With so many connections, each of two threads gets one but once in 2⁶³ runs. */
const MANY = 64;

describe('two daemons of two threads each, tls: required', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let near: TestPod;
  let far: TestPod;

  const askWorld = () =>
    ask(
      { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip },
      'GET http://world/ HTTP/1.1\r\nHost: world',
    );
  /** Goes on until MANY connections in a row, and with them both threads, do as is wanted. */
  const untilBoth = async (holds: () => Promise<boolean>) => {
    for (let run = 0; run < MANY; ) run = (await holds()) ? run + 1 : 0;
  };
  /** A connection to node-2's incoming router, ready; whoever asks ends it. */
  const connectToPeer = async (options: ConnectionOptions): Promise<TLSSocket> => {
    const socket = connectTls({
      host: NODES['node-2'],
      port: mesh.daemon('node-2').port('incoming'),
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: false,
      ...options,
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    return socket;
  };

  before(async () => {
    mesh = await TestMesh.start(NODES, true, { tls: 'required', workers: 2 });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.68.1.10', node: 'node-1' });
    near = await mesh.pod({ namespace: 'shop', name: 'world-1', ip: '127.68.1.11', node: 'node-1' });
    far = await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.68.2.11', node: 'node-2' });
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [near]);
    await untilBoth(async () => (await askWorld()).body === near.ip);
  });
  after(() => mesh.stop());

  test('both threads follow what one reading of the cluster says', async () => {
    await mesh.endpoints('shop', 'world', [far]);
    await untilBoth(async () => (await askWorld()).body === far.ip);
    const metrics = await mesh.daemon('node-1').metrics();
    for (const worker of ['0', '1']) assert.ok(metricValue(metrics, 'worker_connection_total', { worker }) > 0);
  });

  test("their counts add up to the requests, at the caller's node and at the pod's", async () => {
    const counts = async () => {
      const [one, two] = [await mesh.daemon('node-1').metrics(), await mesh.daemon('node-2').metrics()];
      return [
        metricValue(one, 'request_total', { router: 'outgoing', dst_service: 'world' }),
        metricValue(two, 'request_total', { router: 'incoming', dst_service: 'world' }),
        metricValue(two, 'endpoint_request_total', { dst_pod: far.name }),
      ];
    };
    const before = await counts();
    for (let i = 0; i < MANY; i += 1) assert.equal((await askWorld()).status, 200);
    assert.deepEqual(
      (await counts()).map((count, i) => count - (before[i] ?? 0)),
      [MANY, MANY, MANY],
    );
  });

  test('both show the one certificate, and resume sessions of each other', async () => {
    const { certificate: cert, key } = makeIdentity(mesh.authority, 'node-1');
    const first = await connectToPeer({ cert, key });
    const shown = first.getPeerX509Certificate()?.serialNumber;
    const [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();
    for (let i = 0; i < MANY; i += 1) {
      const full = await connectToPeer({ cert, key });
      assert.equal(full.getPeerX509Certificate()?.serialNumber, shown);
      full.destroy();
      const resumed = await connectToPeer({ cert, key, session });
      assert.equal(resumed.isSessionReused(), true);
      resumed.destroy();
    }
  });

  test('when another CA takes over, both show a certificate of it', async () => {
    await mesh.rotateAuthority();
    const authority = new X509Certificate(mesh.authority['ca.crt']);
    await untilBoth(async () => {
      const socket = await connectToPeer({});
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      return certificate?.verify(authority.publicKey) === true;
    });
    await untilBoth(async () => (await askWorld()).status === 200);
  });
});
