import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAddresses } from '../../scripts/playground/addresses.ts';
import { growths, readSamples, total } from '../../scripts/playground/daemon-counts.ts';
import { fitToMachine } from '../../scripts/playground/manifests.ts';
import type { PodObject } from '../../scripts/playground/objects.ts';
import { resolveContainer } from '../../scripts/playground/pod-environment.ts';
import { probeTarget } from '../../scripts/playground/readiness-probe.ts';
import { requestPath } from '../../scripts/playground/request-path.ts';
import { rewriteMountedPaths } from '../../scripts/playground/volumes.ts';

const hello: PodObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'hello-1', namespace: 'shop', uid: 'u', labels: { app: 'hello' } },
  spec: { nodeName: 'node-2', containers: [] },
};
const place = { podIp: '127.77.2.10', hostIp: '127.77.2.1', api: { ip: '127.77.0.1', port: 6443 } };
const field = (fieldPath: string) => ({ fieldRef: { fieldPath } });

test('a container gets its fields, the API server, and $(VAR) expanded in env, command and args', () => {
  const { env, argv } = resolveContainer(
    {
      name: 'service',
      command: ['node', '/app/helloworld.js'],
      args: ['-addr=$(POD_IP):7777', '-price=$$(POD_IP)', '-unknown=$(NOBODY)'],
      env: [
        { name: 'NODE_IP', valueFrom: field('status.hostIP') },
        { name: 'http_proxy', value: 'http://$(NODE_IP):4140' },
        { name: 'no_proxy', value: 'localhost,$(KUBERNETES_SERVICE_HOST)' },
        { name: 'POD_IP', valueFrom: field('status.podIP') },
        { name: 'WHO', valueFrom: field('metadata.name') },
        { name: 'WHERE', valueFrom: field('spec.nodeName') },
        { name: 'NAMESPACE', valueFrom: field('metadata.namespace') },
        { name: 'APP', valueFrom: field("metadata.labels['app']") },
      ],
    },
    hello,
    place,
  );
  assert.deepEqual(
    { ...env },
    {
      NODE_IP: '127.77.2.1',
      http_proxy: 'http://127.77.2.1:4140',
      no_proxy: 'localhost,127.77.0.1',
      POD_IP: '127.77.2.10',
      WHO: 'hello-1',
      WHERE: 'node-2',
      NAMESPACE: 'shop',
      APP: 'hello',
      KUBERNETES_SERVICE_HOST: '127.77.0.1',
      KUBERNETES_SERVICE_PORT: '6443',
      KUBERNETES_SERVICE_PORT_HTTPS: '6443',
    },
  );
  assert.deepEqual(argv, [
    'node',
    '/app/helloworld.js',
    '-addr=127.77.2.10:7777',
    '-price=$(POD_IP)',
    '-unknown=$(NOBODY)',
  ]);
});

test('a field that the downward API does not have is named', () => {
  const container = { name: 'c', env: [{ name: 'X', valueFrom: field('spec.hostname') }] };
  assert.throws(() => resolveContainer(container, hello, place), /fieldPath spec\.hostname/);
});

test('arguments under a mount path lead into the volume, others stay', () => {
  const volumes = new Map([['config', '/tmp/volumes/config']]);
  const mounts = [{ name: 'config', mountPath: '/etc/nodemesh' }];
  assert.deepEqual(rewriteMountedPaths(['/etc/nodemesh/daemon.yaml', '/etc/nodemesh2/x', '-v'], mounts, volumes), [
    '/tmp/volumes/config/daemon.yaml',
    '/etc/nodemesh2/x',
    '-v',
  ]);
});

test('a probe goes to the named port of the container, by its scheme', () => {
  const container = {
    name: 'webhook',
    ports: [{ name: 'https', containerPort: 8443 }],
    readinessProbe: { httpGet: { path: '/readyz', port: 'https', scheme: 'HTTPS' } },
  };
  assert.deepEqual(probeTarget(container, '127.77.1.10'), {
    scheme: 'https',
    host: '127.77.1.10',
    port: 8443,
    path: '/readyz',
  });
  const misspelt = { ...container, readinessProbe: { httpGet: { port: 'htps' } } };
  assert.throws(() => probeTarget(misspelt, '127.77.1.10'), /"htps" is not its own/);
});

test('the webhook binds to its pod, and the console is open; nothing else of the configs changes', () => {
  const configMap = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'nodemesh-config' },
    data: {
      'daemon.yaml': 'admin: {ip: node}\nrouters: []\n',
      'webhook.yaml': 'https: {port: 8443} # TLS\nproxyPort: 4140\n',
    },
  };
  assert.deepEqual(fitToMachine(configMap).data, {
    'daemon.yaml': 'admin: { ip: node, access: { diagnostics: open, tap: open } }\nrouters: []\n',
    'webhook.yaml':
      'https: { port: 8443, ip: pod } # TLS\nproxyPort: 4140\nadmin:\n  ip: pod\n  access:\n    diagnostics: open\n    tap: open\n',
  });
});

test('the first free /16 of loopback is taken', async () => {
  const free = await planAddresses(async () => undefined);
  assert.equal(free.api.ip, '127.77.0.1');
  assert.deepEqual(
    free.nodes.map(({ name, ip, pods }) => [name, ip, pods[0]]),
    [
      ['node-1', '127.77.1.1', '127.77.1.10'],
      ['node-2', '127.77.2.1', '127.77.2.10'],
    ],
  );
  const second = await planAddresses(async (ip, port) =>
    ip === '127.77.1.1' && port === 4140 ? 'EADDRINUSE' : undefined,
  );
  assert.equal(second.nodes[0]?.ip, '127.78.1.1');
  await assert.rejects(
    planAddresses(async (_ip, port) => (port === 4141 ? 'EADDRINUSE' : undefined)),
    /127\.77\.1\.1:4141 cannot be listened on \(EADDRINUSE\)/,
  );
});

test('where loopback addresses have to be made, the commands for the missing ones are named', async () => {
  const made = new Set(['127.77.0.1', '127.77.1.1']);
  const error = await planAddresses(async (ip) => (made.has(ip) ? undefined : 'EADDRNOTAVAIL')).then(
    () => assert.fail('a plan with missing addresses'),
    (reason: Error) => reason,
  );
  assert.match(error.message, /^ {2}sudo ifconfig lo0 alias 127\.77\.2\.1 up$/m);
  assert.match(error.message, /^ {2}sudo ifconfig lo0 alias 127\.77\.1\.10 up$/m);
  assert.doesNotMatch(error.message, /alias 127\.77\.1\.1 up/);
  const commands = error.message.match(/127\.\d+\.\d+\.\d+(?= up)/g) ?? [];
  const all = new Set([...made, ...commands]);
  const plan = await planAddresses(async (ip) => (all.has(ip) ? undefined : 'EADDRNOTAVAIL'));
  assert.ok([plan.api.ip, ...plan.nodes.flatMap(({ ip, pods }) => [ip, ...pods])].every((ip) => all.has(ip)));
});

const counted = (router: string, pod: string, value: number) =>
  readSamples(
    [
      '# TYPE request_total counter',
      `request_total{router="${router}",dst_namespace="shop",dst_service="world"} ${value}`,
      ...(router === 'incoming'
        ? [
            `endpoint_request_total{router="incoming",dst_namespace="shop",dst_service="world",dst_pod="${pod}"} ${value}`,
          ]
        : []),
      'open_connections 3',
    ].join('\n'),
  );

test('the path of one request is told from the counters that grew', () => {
  const at = (outgoing: number, incoming: number) => [
    { node: 'node-1', ip: '127.77.1.1', samples: counted('outgoing', '', outgoing) },
    { node: 'node-2', ip: '127.77.2.1', samples: counted('incoming', 'world-1', incoming) },
  ];
  const world = { namespace: 'shop', service: 'world' };
  const { sourceNode, destinationNode, hops } = requestPath(at(4, 7), at(5, 8), world);
  assert.deepEqual([sourceNode, destinationNode], ['node-1', 'node-2']);
  assert.deepEqual(
    hops.map(({ where }) => where),
    ['node-1 outgoing 127.77.1.1:4140', 'node-2 incoming 127.77.2.1:4141', 'pod world-1'],
  );
  assert.match(hops[1]?.evidence ?? '', /^request_total\{router="incoming".*\} 7 → 8$/);
  assert.throws(() => requestPath(at(4, 7), at(5, 7), world), /no daemon counted the request in incoming/);
  assert.throws(() => requestPath(at(4, 7), at(6, 8), world), /more than once in outgoing/);
});

test('a counter that was not there before grew from nothing', () => {
  const after = counted('outgoing', '', 2);
  const grown = growths([], after, 'request_total', { router: 'outgoing' });
  assert.equal(total(grown), 2);
  assert.deepEqual(growths(after, after, 'request_total', { router: 'outgoing' }), []);
});
