import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClusterState } from '../../daemon/discovery/cluster-state.ts';
import { KubernetesNamer } from '../../daemon/naming/kubernetes-namer.ts';
import { trimEndpoints } from '../../lib/kubernetes/endpoints.ts';
import { trimService } from '../../lib/kubernetes/service.ts';

test('after an outage of the API server a Service that is said to have no ready pod keeps those it has', () => {
  const metadata = { namespace: 'shop', name: 'world' };
  const state = new ClusterState();
  const namer = new KubernetesNamer(state, 'cluster.local');
  const service = trimService({ metadata, spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] } } as never);
  state.applyServices([{ key: 'shop/world', object: service, previous: undefined }]);
  const publish = (kind: 'addresses' | 'notReadyAddresses') =>
    trimEndpoints({
      metadata,
      subsets: [{ [kind]: [{ ip: '10.1.0.1' }], ports: [{ name: 'http', port: 80 }] }],
    } as never);
  const up = publish('addresses');
  const notReady = publish('notReadyAddresses');
  state.applyEndpoints([{ key: 'shop/world', object: up, previous: undefined }]);
  const named = namer.name({ host: 'world', port: undefined, isAddress: false }, 'shop');
  assert.ok(named?.kind === 'binding');
  const ips = () => named.binding.endpoints().map(({ ip }) => ip);
  assert.deepEqual(ips(), ['10.1.0.1']);
  state.applyEndpoints([{ key: 'shop/world', object: notReady, previous: up }]);
  assert.deepEqual(ips(), []);
  state.readinessDoubted = true;
  assert.deepEqual(ips(), ['10.1.0.1']);
  state.readinessDoubted = false;
  assert.deepEqual(ips(), []);
  assert.equal(state.service('shop/world')?.serves('10.1.0.1', 80, 'node-1'), false);
});
