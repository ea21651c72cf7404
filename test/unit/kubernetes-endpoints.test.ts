import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trimEndpointSlice, trimEndpoints } from '../../lib/kubernetes/endpoints.ts';

const SLICE = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'world-x1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'world' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 7778, protocol: 'TCP' }],
};

const target = (name: string) => ({ kind: 'Pod', namespace: 'shop', name });

test('endpoints: a slice and an Endpoints object of the same pods give the same', () => {
  const fromSlice = trimEndpointSlice({
    ...SLICE,
    endpoints: [
      { addresses: ['10.0.1.1'], conditions: { ready: true }, nodeName: 'node-1', targetRef: target('world-1') },
      { addresses: ['10.0.2.1'], conditions: { ready: false }, nodeName: 'node-2', targetRef: target('world-2') },
    ],
  } as never);
  const fromEndpoints = trimEndpoints({
    metadata: { name: 'world', namespace: 'shop' },
    subsets: [
      {
        ports: [{ name: 'http', port: 7778, protocol: 'TCP' }],
        addresses: [{ ip: '10.0.1.1', nodeName: 'node-1', targetRef: target('world-1') }],
        notReadyAddresses: [{ ip: '10.0.2.1', nodeName: 'node-2', targetRef: target('world-2') }],
      },
    ],
  } as never);
  assert.deepEqual(fromSlice, fromEndpoints);
  const unready = {
    ready: false,
    serving: false,
    terminating: false,
    hostname: undefined,
    zone: undefined,
    forZones: undefined,
    forNodes: undefined,
  };
  assert.deepEqual(fromSlice, {
    namespace: 'shop',
    service: 'world',
    groups: [
      {
        ports: [{ name: 'http', port: 7778, appProtocol: undefined }],
        addresses: [
          { ...unready, ip: '10.0.1.1', nodeName: 'node-1', pod: 'world-1', ready: true, serving: true },
          { ...unready, ip: '10.0.2.1', nodeName: 'node-2', pod: 'world-2' },
        ],
      },
    ],
  });
});

const CONDITIONS = [
  [undefined, { ready: true, serving: true, terminating: false }],
  [{}, { ready: true, serving: true, terminating: false }],
  [{ ready: null }, { ready: true, serving: true, terminating: false }],
  [{ ready: false }, { ready: false, serving: false, terminating: false }],
  [
    { ready: false, serving: true, terminating: true },
    { ready: false, serving: true, terminating: true },
  ],
] as const;

for (const [conditions, expected] of CONDITIONS) {
  test(`endpoints: conditions ${JSON.stringify(conditions)} of a slice`, () => {
    const endpoints = [{ addresses: ['10.0.1.1'], ...(conditions === undefined ? {} : { conditions }) }];
    const address = trimEndpointSlice({ ...SLICE, endpoints } as never)?.groups[0]?.addresses[0];
    assert.ok(address);
    const { ready, serving, terminating } = address;
    assert.deepEqual({ ready, serving, terminating }, expected);
  });
}

test('endpoints: hints of a slice', () => {
  const endpoints = [
    {
      addresses: ['10.0.1.1'],
      hints: { forZones: [{ name: 'a' }], forNodes: [{ name: 'node-1' }, { name: 'node-2' }] },
    },
    { addresses: ['10.0.1.2'], hints: { forZones: [] } },
  ];
  const [one, two] = trimEndpointSlice({ ...SLICE, endpoints } as never)?.groups[0]?.addresses ?? [];
  assert.deepEqual([one?.forZones, one?.forNodes], [['a'], ['node-1', 'node-2']]);
  assert.deepEqual([two?.forZones, two?.forNodes], [undefined, undefined]);
});

test('endpoints: a slice of host names, or of no Service, publishes nothing', () => {
  assert.equal(trimEndpointSlice({ ...SLICE, addressType: 'FQDN' } as never), undefined);
  assert.equal(trimEndpointSlice({ ...SLICE, metadata: { name: 'x', namespace: 'shop' } } as never), undefined);
});

test('endpoints: a slice without endpoints or ports is an empty group', () => {
  const empty = trimEndpointSlice({ ...SLICE, endpoints: null, ports: null } as never);
  assert.deepEqual(empty?.groups, [{ ports: [], addresses: [] }]);
});

test('endpoints: only TCP ports count, TCP is the default, and unnamed ports are named ""', () => {
  const ports = [
    { port: 1 },
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'all' },
    { port: 2, appProtocol: 'h2c' },
  ];
  assert.deepEqual(trimEndpointSlice({ ...SLICE, ports } as never)?.groups[0]?.ports, [
    { name: '', port: 1, appProtocol: undefined },
    { name: '', port: 2, appProtocol: 'h2c' },
  ]);
});

test('endpoints: hostname, zone, and targets that are no pods', () => {
  const endpoints = [
    { addresses: ['10.0.1.1'], hostname: 'db-0', zone: 'a', targetRef: { kind: 'VirtualMachine', name: 'v' } },
  ];
  const address = trimEndpointSlice({ ...SLICE, endpoints } as never)?.groups[0]?.addresses[0];
  assert.equal(address?.hostname, 'db-0');
  assert.equal(address?.zone, 'a');
  assert.equal(address?.pod, undefined);
});

test('endpoints: the objects of old leader elections are not endpoints', () => {
  const annotations = { 'control-plane.alpha.kubernetes.io/leader': '{}' };
  const metadata = { name: 'kube-scheduler', namespace: 'kube-system', annotations };
  assert.equal(trimEndpoints({ metadata }), undefined);
});

test('endpoints: each subset is a group of its own ports', () => {
  const published = trimEndpoints({
    metadata: { name: 'world', namespace: 'shop' },
    subsets: [
      { ports: [{ name: 'http', port: 1 }], addresses: [{ ip: '10.0.0.1' }] },
      { ports: [{ name: 'http', port: 2 }], addresses: [{ ip: '10.0.0.2' }] },
    ],
  } as never);
  assert.deepEqual(
    published?.groups.map(({ ports, addresses }) => [ports[0]?.port, addresses[0]?.ip]),
    [
      [1, '10.0.0.1'],
      [2, '10.0.0.2'],
    ],
  );
});
