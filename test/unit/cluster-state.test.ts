import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterState } from '../../daemon/discovery/cluster-state.ts';
import { KubernetesNamer } from '../../daemon/naming/kubernetes-namer.ts';
import { trimEndpoints } from '../../lib/kubernetes/endpoints.ts';
import { trimService } from '../../lib/kubernetes/service.ts';

test('after an outage of the API server a Service that is said to have no ready pod keeps those it has', () => {
  const metadata = { namespace: 'shop', name: 'world' };
  const state = new ClusterState('node-1');
  const namer = new KubernetesNamer(state, 'cluster.local', () => false);
  const service = trimService({ metadata, spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] } } as never);
  state.applyServices([{ key: 'shop/world', object: service, previous: undefined }]);
  const publish = (kind: 'addresses' | 'notReadyAddresses') =>
    trimEndpoints({
      metadata,
      subsets: [{ [kind]: [{ ip: '10.1.0.1' }], ports: [{ name: 'http', port: 80 }] }],
    } as never);
  const up = publish('addresses');
  const notReady = publish('notReadyAddresses');
  state.applyEndpoints([{ key: 'shop/world', object: up }]);
  const named = namer.name({ host: 'world', port: undefined, isAddress: false }, 'shop');
  assert.ok(named?.kind === 'binding');
  const ips = () => named.binding.endpoints().map(({ ip }) => ip);
  assert.deepEqual(ips(), ['10.1.0.1']);
  state.applyEndpoints([{ key: 'shop/world', object: notReady }]);
  assert.deepEqual(ips(), []);
  state.readinessDoubted = true;
  assert.deepEqual(ips(), ['10.1.0.1']);
  state.readinessDoubted = false;
  assert.deepEqual(ips(), []);
  assert.equal(state.service('shop/world')?.serves('10.1.0.1', 80, 'node-1'), false);
});

test("a node's own ports are reached by no name: neither by a Service's address nor by an undeclared port of it", () => {
  const metadata = { namespace: 'shop', name: 'exporter' };
  const state = new ClusterState('node-1');
  const namer = new KubernetesNamer(
    state,
    'cluster.local',
    (address, port) => address === '10.0.0.9' && port === 10_250,
  );
  const spec = { clusterIP: 'None', ports: [{ name: 'http', port: 9_100 }] };
  state.applyServices([
    { key: 'shop/exporter', object: trimService({ metadata, spec } as never), previous: undefined },
  ]);
  const subsets = [{ addresses: [{ ip: '10.0.0.9' }, { ip: '10.1.0.1' }], ports: [{ name: 'http', port: 9_100 }] }];
  const published = trimEndpoints({ metadata, subsets } as never);
  state.applyEndpoints([{ key: 'shop/exporter', object: published }]);
  const reached = (host: string, port: number) => {
    const named = namer.name({ host, port, isAddress: host !== 'exporter' }, 'shop');
    return named?.kind === 'binding' ? named.binding.endpoints().map((one) => `${one.ip}:${one.port}`) : undefined;
  };
  assert.equal(reached('10.0.0.9', 10_250), undefined, 'left to the egress guard');
  assert.deepEqual(reached('10.0.0.9', 9_100), ['10.0.0.9:9100']);
  assert.deepEqual(reached('exporter', 10_250), ['10.1.0.1:10250']);
  assert.deepEqual(reached('exporter', 9_100), ['10.0.0.9:9100', '10.1.0.1:9100']);
});

test('an address belongs to whoever publishes it now, in whatever order one slice gives it up and another takes it', () => {
  const state = new ClusterState('node-1');
  const slice = (service: string, ip: string, nodeName: string) =>
    trimEndpoints({
      metadata: { namespace: 'shop', name: service },
      subsets: [{ addresses: [{ ip, nodeName }] }],
    } as never);
  const [a, b] = [slice('a', '10.1.0.1', 'node-1'), slice('b', '10.1.0.1', 'node-2')];
  state.applyEndpoints([{ key: 'shop/a', object: a }]);
  assert.deepEqual(state.addressOwner('10.1.0.1'), { namespace: 'shop', service: 'a', nodeName: 'node-1' });
  state.applyEndpoints([{ key: 'shop/b', object: b }]);
  state.applyEndpoints([{ key: 'shop/a', object: undefined }]);
  assert.deepEqual(state.addressOwner('10.1.0.1'), { namespace: 'shop', service: 'b', nodeName: 'node-2' });
  // As it comes from another thread: a copy of what is known.
  state.applyEndpoints([{ key: 'shop/b', object: slice('b', '10.1.0.2', 'node-2') }]);
  assert.equal(state.addressOwner('10.1.0.1'), undefined);
  assert.equal(state.addressOwner('10.1.0.2')?.service, 'b');
});
