import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { splitAnswers } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.67.1.1', 'node-2': '127.67.2.1' };
const ZONES = { 'node-1': 'a', 'node-2': 'b' };
const CALLER = '127.67.1.10';

interface Slice {
  readonly hinted?: boolean;
  readonly ready?: boolean;
}

describe('two nodes in two zones', () => {
  let mesh: TestMesh;
  let near: TestPod;
  let far: TestPod;

  /** Publishes a pod in its own slice, as the controller does for a Service with trafficDistribution. */
  async function publish(pod: TestPod, { hinted = true, ready = true }: Slice = {}): Promise<void> {
    const zone = ZONES[pod.node as keyof typeof ZONES];
    await mesh.kubernetes.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: 'shop', name: pod.name, labels: { 'kubernetes.io/service-name': 'world' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: pod.port, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: [pod.ip],
          conditions: { ready },
          nodeName: pod.node,
          zone,
          ...(hinted ? { hints: { forZones: [{ name: zone }] } } : {}),
        },
      ],
    });
  }

  async function service(spec: object): Promise<void> {
    await mesh.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: 'shop', name: 'world' },
      spec: { clusterIP: '10.96.0.77', ports: [{ name: 'http', port: 80 }], ...spec },
    });
  }

  async function ask(): Promise<string> {
    const socket = connect({
      host: NODES['node-1'],
      port: mesh.daemon('node-1').port('outgoing'),
      localAddress: CALLER,
    });
    socket.write('GET http://world/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let wire = '';
    socket.on('data', (piece: Buffer) => {
      wire += piece.toString('latin1');
    });
    await once(socket, 'close');
    return splitAnswers(wire)[0]?.body ?? '';
  }

  /** Asks until thirty answers in a row are from these pods, and from each of them. */
  async function reaches(...pods: readonly TestPod[]): Promise<void> {
    const wanted = new Set(pods.map(({ ip }) => ip));
    let seen: string[] = [];
    await until(ask, (body) => {
      seen = wanted.has(body) ? [...seen, body] : [];
      return seen.length >= 30 && new Set(seen).size === wanted.size;
    });
  }

  before(async () => {
    mesh = await TestMesh.start(NODES, true);
    await mesh.pod({ namespace: 'shop', name: 'hello', ip: CALLER, node: 'node-1' });
    near = await mesh.pod({ namespace: 'shop', name: 'world-1', ip: '127.67.1.11', node: 'node-1' });
    far = await mesh.pod({ namespace: 'shop', name: 'world-2', ip: '127.67.2.11', node: 'node-2' });
    await service({});
    await publish(near);
    await publish(far);
  });
  after(() => mesh.stop());

  test("hints count once the node's zone is known, and no longer when the zone has nobody ready", async () => {
    await reaches(near, far);
    for (const [name, zone] of Object.entries(ZONES)) {
      const labels = { 'topology.kubernetes.io/zone': zone };
      await mesh.kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } });
    }
    await reaches(near);
    await publish(near, { ready: false, hinted: false });
    await reaches(far);
    await publish(near);
    await reaches(near);
  });

  test('without hints trafficDistribution says it, and without both all are alike', async () => {
    await publish(far, { hinted: false });
    await reaches(near, far);
    await service({ trafficDistribution: 'PreferSameZone' });
    await reaches(near);
    await service({});
    await reaches(near, far);
  });

  test('internalTrafficPolicy Local never leaves the node, and says so', async () => {
    await service({ internalTrafficPolicy: 'Local' });
    await reaches(near);
    await publish(near, { ready: false });
    const body = await until(ask, (answer) => answer !== near.ip);
    assert.match(
      body,
      /"world" in namespace "shop" has no ready endpoints on this node, and its internalTrafficPolicy/,
    );
    await service({});
    await reaches(far);
  });
});
