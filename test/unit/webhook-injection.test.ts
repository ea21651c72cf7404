import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyPatch, type Operation } from 'rfc6902';
import { type EnvEntry, expand, expandEnv } from '../../lib/kubernetes/env-expansion.ts';
import type { AdmissionRequest } from '../../webhook/admission-review.ts';
import { configHash, type InjectionSettings } from '../../webhook/injection.ts';
import { type Mutation, mutate } from '../../webhook/mutation.ts';

interface Container {
  name: string;
  image?: string;
  env?: EnvEntry[] | null;
  envFrom?: unknown[];
  args?: string[];
  ports?: { name: string }[];
  livenessProbe?: unknown;
  restartPolicy?: string;
}
interface Pod {
  metadata: { name: string; annotations?: Record<string, string> };
  spec: { containers: Container[]; initContainers?: Container[]; ephemeralContainers?: Container[] };
}

const BY_NAME: InjectionSettings = {
  proxyAddress: { by: 'nodeName' },
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject',
};
const BY_IP: InjectionSettings = { ...BY_NAME, proxyAddress: { by: 'hostIP', family: 4 } };

const FIELDS: Record<string, string> = {
  'spec.nodeName': 'node-1',
  'status.hostIP': '10.0.0.7',
  'metadata.name': 'p-1',
  'status.podIP': '10.1.0.3',
};
const SERVICES = { KUBERNETES_SERVICE_HOST: '10.96.0.1' };
const ENV_FROM = { NODE_NAME: 'from a ConfigMap', NODE_IP: 'from a ConfigMap', LOG: 'debug' };

function valueFrom(source: unknown): string | undefined {
  return FIELDS[(source as { fieldRef: { fieldPath: string } }).fieldRef.fieldPath];
}

function fieldVariable(name: string, fieldPath: string): EnvEntry {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

function review(pod: unknown): AdmissionRequest {
  return {
    apiVersion: 'admission.k8s.io/v1',
    uid: 'u',
    kind: '/v1/Pod',
    subResource: '',
    operation: 'CREATE',
    namespace: 'shop',
    dryRun: false,
    object: pod,
    oldObject: null,
  };
}

function inject(pod: unknown, settings = BY_NAME): { after: Pod; mutation: Mutation } {
  const mutation = mutate(review(pod), { ownNamespace: 'nodemesh', namespaceEnabled: true, settings });
  const after = structuredClone(pod) as Pod;
  const failures = applyPatch(after, mutation.patch as Operation[]).filter((error) => error !== null);
  assert.deepEqual(failures, []);
  return { after, mutation };
}

function podOf(...containers: Container[]): Pod {
  return { metadata: { name: 'p' }, spec: { containers } };
}

/** What the container's process sees. */
function environment(container: Container | undefined): Record<string, string> {
  const envFrom = (container?.envFrom ?? []).length > 0 ? ENV_FROM : {};
  return expandEnv(container?.env ?? [], { valueFrom, envFrom, services: SERVICES });
}

function names(container: Container | undefined): string[] {
  return (container?.env ?? []).map((entry) => entry.name);
}

const NO_PROXY =
  'localhost,127.0.0.1,::1,kubernetes.default.svc,kubernetes.default.svc.cluster.local,kubernetes.default,kubernetes,' +
  '$(KUBERNETES_SERVICE_HOST),169.254.169.254,fd00:ec2::254,169.254.170.2,169.254.170.23,fd00:ec2::23,' +
  'metadata.google.internal';

test('injection: a container without env gets one list, by node name', () => {
  const { after, mutation } = inject(podOf({ name: 'app' }));
  assert.deepEqual(after.spec.containers[0]?.env, [
    fieldVariable('NODE_NAME', 'spec.nodeName'),
    { name: 'http_proxy', value: 'http://$(NODE_NAME):4140' },
    { name: 'no_proxy', value: NO_PROXY },
    { name: 'NO_PROXY', value: NO_PROXY },
  ]);
  assert.deepEqual(
    mutation.patch.map((operation) => operation.path),
    ['/spec/containers/0/env', '/metadata/annotations'],
  );
  assert.equal(
    after.metadata.annotations?.['nodemesh.dev/status']?.replace(configHash(BY_NAME), 'CONFIG'),
    '{"version":1,"config":"CONFIG","containers":[{"name":"app","env":["NODE_NAME","http_proxy","no_proxy","NO_PROXY"]}]}',
  );
  assert.equal(mutation.reasons[0]?.id, 'namespace_enabled');
});

test('injection: by host IP, NODE_IP follows NODE_NAME, and IPv6 is bracketed', () => {
  const four = inject(podOf({ name: 'app' }), BY_IP).after.spec.containers[0];
  assert.deepEqual(names(four), ['NODE_NAME', 'NODE_IP', 'http_proxy', 'no_proxy', 'NO_PROXY']);
  assert.equal(environment(four).http_proxy, 'http://10.0.0.7:4140');
  const settings: InjectionSettings = { ...BY_IP, proxyAddress: { by: 'hostIP', family: 6 } };
  const six = inject(podOf({ name: 'app' }), settings).after.spec.containers[0];
  assert.equal(six?.env?.[2]?.value, 'http://[$(NODE_IP)]:4140');
});

test('injection: the namespace can be the user of the proxy URL', () => {
  const { after } = inject(podOf({ name: 'app' }), { ...BY_NAME, namespaceInProxyUrl: true });
  assert.equal(environment(after.spec.containers[0]).http_proxy, 'http://shop@node-1:4140');
});

test("injection: ours stand before the user's variables, which stay as they are", () => {
  const user = [
    { name: 'A', value: '1' },
    { name: 'B', value: '$(A)' },
  ];
  const { after, mutation } = inject(podOf({ name: 'app', env: user }));
  assert.deepEqual(after.spec.containers[0]?.env?.slice(4), user);
  assert.deepEqual(
    mutation.patch.slice(0, 4).map((operation) => operation.path),
    [0, 1, 2, 3].map((i) => `/spec/containers/0/env/${i}`),
  );
});

test('injection: init containers and native sidecars too; existing annotations stay', () => {
  const pod: Pod = podOf({ name: 'app', env: null });
  pod.spec.initContainers = [
    { name: 'setup', env: [{ name: 'A', value: '1' }] },
    { name: 'sidecar', restartPolicy: 'Always' },
  ];
  pod.metadata.annotations = { 'a/b': 'c' };
  const { after } = inject(pod);
  for (const i of [0, 1]) assert.equal(environment(after.spec.initContainers?.[i]).http_proxy, 'http://node-1:4140');
  assert.equal(environment(after.spec.containers[0]).http_proxy, 'http://node-1:4140');
  assert.equal(after.metadata.annotations?.['a/b'], 'c');
});

for (const name of ['http_proxy', 'HTTP_PROXY', 'Http_Proxy', 'https_proxy', 'ALL_PROXY']) {
  test(`injection: a container with its own ${name} stays as it is, its neighbour does not`, () => {
    const own = { name: 'own', env: [{ name, value: '' }] };
    const { after, mutation } = inject(podOf(own, { name: 'app' }));
    assert.deepEqual(after.spec.containers[0], own);
    assert.equal(environment(after.spec.containers[1]).http_proxy, 'http://node-1:4140');
    assert.deepEqual(
      mutation.reasons.map((r) => r.id),
      ['namespace_enabled', 'container_has_proxy'],
    );
    assert.match(mutation.warnings.join(), new RegExp(`container "own" sets ${name} itself`));
  });
}

test('injection: a proxy of its own from elsewhere keeps a container out as well', () => {
  const valueFrom = { secretKeyRef: { name: 'proxy', key: 'url' } };
  const { mutation } = inject(podOf({ name: 'own', env: [{ name: 'http_proxy', valueFrom }] }));
  assert.deepEqual([mutation.patch, mutation.reasons[0]?.id], [[], 'container_has_proxy']);
});

test("injection: a user's NODE_NAME that is the node's name serves, and ours follow it", () => {
  const user = [
    { name: 'A', value: '1' },
    { name: 'NODE_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'spec.nodeName' } } },
    { name: 'B', value: '2' },
  ];
  const container = inject(podOf({ name: 'app', env: user })).after.spec.containers[0];
  assert.deepEqual(names(container), ['A', 'NODE_NAME', 'http_proxy', 'no_proxy', 'NO_PROXY', 'B']);
  assert.equal(environment(container).http_proxy, 'http://node-1:4140');
});

test("injection: a user's NODE_NAME of another meaning stays, ours gets a name of its own and says so", () => {
  const user = [{ name: 'NODE_NAME', value: 'blue' }];
  const { after, mutation } = inject(podOf({ name: 'app', env: user }));
  const container = after.spec.containers[0];
  assert.deepEqual(names(container), ['NODEMESH_NODE_NAME', 'http_proxy', 'no_proxy', 'NO_PROXY', 'NODE_NAME']);
  assert.equal(environment(container).NODE_NAME, 'blue');
  assert.equal(environment(container).http_proxy, 'http://node-1:4140');
  assert.match(
    mutation.warnings.join(),
    /"app" gives NODE_NAME another meaning, so http_proxy uses NODEMESH_NODE_NAME/,
  );
});

test("injection: a NODE_NAME that is the node's name only until it is defined again does not serve", () => {
  const nodeName = { valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } };
  const user = [
    { name: 'NODE_NAME', ...nodeName },
    { name: 'NODE_NAME', value: '' },
    { name: 'NO_PROXY', ...nodeName },
  ];
  const container = inject(podOf({ name: 'app', env: user })).after.spec.containers[0];
  assert.equal(environment(container).http_proxy, 'http://node-1:4140');
  assert.equal(environment(container).NODE_NAME, '');
});

test("injection: a user's NODE_NAME of another meaning is no matter where the host IP is used", () => {
  const { after } = inject(podOf({ name: 'app', env: [{ name: 'NODE_NAME', value: 'blue' }] }), BY_IP);
  assert.deepEqual(names(after.spec.containers[0]), ['NODE_IP', 'http_proxy', 'no_proxy', 'NO_PROXY', 'NODE_NAME']);
});

test('injection: where both names are taken the container is left alone', () => {
  const taken = ['NODE_NAME', 'NODEMESH_NODE_NAME'].map((name) => ({ name, value: 'x' }));
  const { mutation } = inject(podOf({ name: 'app', env: taken }));
  assert.deepEqual(mutation.patch, []);
  assert.deepEqual(
    mutation.reasons.map((r) => r.id),
    ['variable_conflict'],
  );
});

test('injection: a container that refers to $(http_proxy) stays as it is; one that refers to $(NO_PROXY) gets no NO_PROXY', () => {
  const { after, mutation } = inject(podOf({ name: 'app', args: ['--proxy=$(http_proxy)'] }, { name: 'other' }));
  assert.equal(after.spec.containers[0]?.env, undefined);
  assert.match(mutation.warnings.join(), /"app" refers to \$\(http_proxy\)/);
  const escaped = inject(podOf({ name: 'app', args: ['$$(http_proxy)'] })).after.spec.containers[0];
  assert.equal(environment(escaped).http_proxy, 'http://node-1:4140');
  const other = inject(podOf({ name: 'app', args: ['$(NO_PROXY)'] })).after.spec.containers[0];
  assert.deepEqual(names(other), ['NODE_NAME', 'http_proxy', 'no_proxy']);
});

test("injection: a user's no_proxy stays as it is, and the other name gets ours and theirs", () => {
  const ours = NO_PROXY.replace('$(KUBERNETES_SERVICE_HOST)', '10.96.0.1');
  const [before, after] = [fieldVariable('A', 'metadata.name'), { name: 'B', value: 'b' }];
  for (const [own, other] of [
    ['no_proxy', 'NO_PROXY'],
    ['NO_PROXY', 'no_proxy'],
  ] as const) {
    for (const entry of [{ name: own, value: '.corp' }, { name: own }, fieldVariable(own, 'status.podIP')]) {
      const pod = podOf({ name: 'app', env: [before, entry, after] });
      const injected = inject(pod);
      const [container] = injected.after.spec.containers;
      assert.deepEqual(names(container), ['A', own, 'NODE_NAME', 'http_proxy', other, 'B']);
      const [was, is] = [environment(pod.spec.containers[0]), environment(container)];
      assert.equal(is[own], was[own]);
      assert.equal(is[other], `${ours},${was[own]}`);
      assert.match(injected.mutation.warnings.join(), new RegExp(`keeps its own ${own}`));
      assert.deepEqual(inject(injected.after).mutation.patch, []);
    }
  }
  const both = [{ name: 'no_proxy', value: '.corp' }, { name: 'NO_PROXY' }];
  assert.deepEqual(names(inject(podOf({ name: 'app', env: both })).after.spec.containers[0]), [
    'no_proxy',
    'NO_PROXY',
    'NODE_NAME',
    'http_proxy',
  ]);
  assert.deepEqual(names(withProfile('cgi', { name: 'app', env: [{ name: 'no_proxy' }] }).after.spec.containers[0]), [
    'no_proxy',
    'NODE_NAME',
    'http_proxy',
  ]);
});

test('injection: envFrom may define anything, so ours takes a name of its own and the person is told', () => {
  const { after, mutation } = inject(podOf({ name: 'app', envFrom: [{ configMapRef: { name: 'c' } }] }));
  const seen = environment(after.spec.containers[0]);
  assert.equal(seen.NODE_NAME, 'from a ConfigMap');
  assert.equal(seen.http_proxy, 'http://node-1:4140');
  assert.match(mutation.warnings.join(), /"app" has envFrom/);
});

test('injection: envFrom: skip leaves containers with envFrom out, and the others in', () => {
  const pod = podOf({ name: 'app', envFrom: [{ configMapRef: { name: 'c' } }] }, { name: 'other' });
  const { after, mutation } = inject(pod, { ...BY_NAME, envFrom: 'skip' });
  assert.deepEqual(after.spec.containers[0], pod.spec.containers[0]);
  assert.equal(environment(after.spec.containers[1]).http_proxy, 'http://node-1:4140');
  assert.deepEqual(
    mutation.reasons.map(({ id }) => id),
    ['namespace_enabled', 'container_has_env_from'],
  );
  assert.match(mutation.warnings.join(), /"app" has envFrom, and such containers are left out/);
  const alone = inject(podOf({ name: 'app', envFrom: [{}] }), { ...BY_NAME, envFrom: 'skip' }).mutation;
  assert.deepEqual([alone.decision, alone.patch], ['skip', []]);
});

test('injection: skip-containers, no-proxy and proxy-port', () => {
  const pod = podOf({ name: 'app' }, { name: 'db' });
  pod.metadata.annotations = {
    'nodemesh.dev/skip-containers': 'db, ghost',
    'nodemesh.dev/no-proxy': 'a.example, localhost,b.example',
    'nodemesh.dev/proxy-port': '4240',
  };
  const { after, mutation } = inject(pod);
  const seen = environment(after.spec.containers[0]);
  assert.equal(seen.http_proxy, 'http://node-1:4240');
  assert.equal(seen.no_proxy, `${NO_PROXY.replace('$(KUBERNETES_SERVICE_HOST)', '10.96.0.1')},a.example,b.example`);
  assert.equal(after.spec.containers[1]?.env, undefined);
  assert.deepEqual(mutation.warnings, [
    'annotation nodemesh.dev/skip-containers names "ghost", which is no container of this pod',
  ]);
});

test('injection: twice is once, also after the API server filled in fieldRef.apiVersion', () => {
  const once = inject(podOf({ name: 'app', env: [{ name: 'A', value: '1' }] })).after;
  const [first] = once.spec.containers[0]?.env ?? [];
  Object.assign(first as object, { valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'spec.nodeName' } } });
  const { mutation } = inject(once);
  assert.deepEqual(mutation.patch, []);
  assert.deepEqual(
    mutation.reasons.map((r) => r.id),
    ['already_injected'],
  );
  assert.deepEqual(mutation.warnings, []);
});

test('injection: a container that joined after the first time is injected, and the status names both', () => {
  const once = inject(podOf({ name: 'app' })).after;
  once.spec.containers.push({ name: 'late' });
  const { after } = inject(once);
  assert.equal(environment(after.spec.containers[1]).http_proxy, 'http://node-1:4140');
  const status = JSON.parse(after.metadata.annotations?.['nodemesh.dev/status'] ?? '');
  assert.deepEqual(
    status.containers.map((c: { name: string }) => c.name),
    ['app', 'late'],
  );
});

test('injection: an annotated pod that cannot be injected is told why', () => {
  const pod = {
    metadata: { annotations: { 'mesh-inject': 'enabled' } },
    spec: { hostNetwork: true, containers: [{ name: 'a' }] },
  };
  const { mutation } = inject(pod);
  assert.deepEqual(mutation.patch, []);
  assert.match(mutation.warnings.join(), /^not injected: the pod uses its host's network/);
});

test('injection: an annotation that is not understood is a warning, and the pod passes as it is', () => {
  const { mutation } = inject({ ...podOf({ name: 'app' }), metadata: { annotations: { 'mesh-inject': 'yes' } } });
  assert.deepEqual(mutation.patch, []);
  assert.deepEqual(mutation.warnings, ['annotation mesh-inject: invalid value "yes" (want enabled|disabled)']);
});

test('injection: debug containers that a pod is created with are passed over', () => {
  const pod = podOf({ name: 'app' });
  pod.spec.ephemeralContainers = [{ name: 'debug' }];
  const { after } = inject(pod);
  assert.equal(environment(after.spec.containers[0]).http_proxy, 'http://node-1:4140');
  assert.deepEqual(after.spec.ephemeralContainers, [{ name: 'debug' }]);
});

test('injection: what is no pod creation passes as it is', () => {
  const context = { ownNamespace: 'nodemesh', namespaceEnabled: true, settings: BY_NAME };
  const pod = podOf({ name: 'app' });
  for (const change of [
    { kind: 'apps/v1/Deployment' },
    { operation: 'UPDATE' },
    { operation: 'DELETE', object: null },
    { operation: 'UPDATE', subResource: 'status' },
    { subResource: 'ephemeralcontainers' },
    { operation: 'CONNECT', subResource: 'exec', kind: '/v1/PodExecOptions' },
  ]) {
    const mutation = mutate({ ...review(pod), ...change }, context);
    assert.deepEqual([mutation.decision, mutation.reasons[0]?.id, mutation.patch], ['skip', 'unsupported_kind', []]);
  }
});

test('injection: the hash of the settings changes with each of them', () => {
  const hashes = [
    BY_NAME,
    BY_IP,
    { ...BY_IP, proxyAddress: { by: 'hostIP', family: 6 } as const },
    { ...BY_NAME, proxyPort: 4141 },
    { ...BY_NAME, clusterDomain: 'corp.local' },
    { ...BY_NAME, namespaceInProxyUrl: true },
    { ...BY_NAME, envFrom: 'skip' } as const,
  ].map(configHash);
  assert.equal(new Set(hashes).size, hashes.length);
  assert.match(hashes[0] ?? '', /^[0-9a-f]{8}$/);
});

function withProfile(profile: string, container: Container, settings = BY_NAME) {
  const pod = podOf({ ...container });
  pod.metadata.annotations = { 'nodemesh.dev/profile': profile };
  const { after, mutation } = inject(pod, settings);
  return { seen: environment(after.spec.containers[0]), warnings: mutation.warnings, after };
}

test('injection: profile java tells the JVM by its options, and leaves those that the container sets', () => {
  const options = '-Dhttp.proxyHost=node-1 -Dhttp.proxyPort=4140 -Dhttp.nonProxyHosts=127.*|localhost|127.0.0.1|[::1]|';
  assert.ok(withProfile('java', { name: 'app' }).seen.JAVA_TOOL_OPTIONS?.startsWith(options));
  const own = { name: 'JAVA_TOOL_OPTIONS', value: '-Xmx1g' };
  const beside = withProfile('java', { name: 'app', env: [own] }).seen;
  assert.equal(beside.JAVA_TOOL_OPTIONS, '-Xmx1g');
  assert.ok(beside.JDK_JAVA_OPTIONS?.startsWith(options));
  const both = withProfile('java', { name: 'app', env: [own, { name: 'JDK_JAVA_OPTIONS', value: '' }] });
  assert.deepEqual([both.seen.JAVA_TOOL_OPTIONS, both.seen.JDK_JAVA_OPTIONS], ['-Xmx1g', '']);
  assert.match(both.warnings.join(), /sets both JAVA_TOOL_OPTIONS and JDK_JAVA_OPTIONS/);
  const from = withProfile('java', { name: 'app', envFrom: [{ configMapRef: { name: 'c' } }] });
  assert.equal(from.seen.JAVA_TOOL_OPTIONS, undefined);
  assert.match(from.warnings.join(), /has envFrom, where options of its JVM may come from/);
});

test('injection: profiles node, cgi and grpc, also together', () => {
  assert.equal(withProfile('node', { name: 'app' }).seen.NODE_USE_ENV_PROXY, '1');
  const own = { name: 'NODE_USE_ENV_PROXY', value: '0' };
  assert.equal(withProfile('node', { name: 'app', env: [own] }).seen.NODE_USE_ENV_PROXY, '0');
  const cgi = withProfile('cgi', { name: 'app' }).seen;
  assert.deepEqual(
    Object.keys(cgi).filter((name) => /proxy/i.test(name)),
    ['http_proxy', 'no_proxy'],
  );
  const { seen, after } = withProfile('grpc,node', { name: 'app' });
  assert.equal(seen.grpc_proxy, '');
  assert.equal(seen.no_grpc_proxy, `${seen.no_proxy},.svc,.cluster.local`);
  assert.equal(seen.NODE_USE_ENV_PROXY, '1');
  assert.deepEqual(inject(after).mutation.patch, []);
});

test('injection: a probe by wget of the container itself is warned of', () => {
  const livenessProbe = { exec: { command: ['sh', '-c', 'wget -qO- http://localhost:8080/health'] } };
  assert.match(
    inject(podOf({ name: 'app', livenessProbe })).mutation.warnings.join(),
    /probe that asks itself by wget/,
  );
  const other = { exec: { command: ['wget', 'http://db/'] } };
  assert.deepEqual(inject(podOf({ name: 'app', livenessProbe: other })).mutation.warnings, []);
});

test('injection: who has a port of gRPC is told of profile grpc', () => {
  const served = (name: string) => ({ name: 'app', ports: [{ name: 'http' }, { name }] });
  for (const name of ['grpc', 'grpc-web']) {
    const { warnings } = inject(podOf(served(name))).mutation;
    assert.match(warnings.join(), new RegExp(`has port "${name}": .*nodemesh.dev/profile: grpc`));
  }
  assert.deepEqual(inject(podOf(served('grpcish'))).mutation.warnings, []);
  assert.deepEqual(withProfile('grpc', served('grpc')).warnings, []);
});

function debug(pod: Pod, ...joining: Container[]) {
  const object = structuredClone(pod);
  object.spec.ephemeralContainers = [...(pod.spec.ephemeralContainers ?? []), ...joining];
  const request = { ...review(object), operation: 'UPDATE', subResource: 'ephemeralcontainers', oldObject: pod };
  const mutation = mutate(request, { ownNamespace: 'nodemesh', namespaceEnabled: false, settings: BY_NAME });
  const after = structuredClone(object);
  assert.deepEqual(
    applyPatch(after, mutation.patch as Operation[]).filter((error) => error !== null),
    [],
  );
  return { after, mutation };
}

test('injection: a debug container joins an injected pod with its proxy; nothing else of the pod is touched', () => {
  const pod = inject(podOf({ name: 'app' })).after;
  const first = debug(pod, { name: 'debug-1' }).after;
  assert.equal(environment(first.spec.ephemeralContainers?.[0]).http_proxy, 'http://node-1:4140');
  assert.deepEqual([first.metadata, first.spec.containers], [pod.metadata, pod.spec.containers]);
  const bare = structuredClone(first);
  bare.spec.ephemeralContainers = [{ name: 'debug-0' }];
  const { after, mutation } = debug(bare, { name: 'debug-1', env: [{ name: 'A', value: '1' }] });
  assert.deepEqual(after.spec.ephemeralContainers?.[0], { name: 'debug-0' });
  assert.equal(environment(after.spec.ephemeralContainers?.[1]).http_proxy, 'http://node-1:4140');
  assert.ok(mutation.patch.every(({ path }) => path.startsWith('/spec/ephemeralContainers/1/env/')));
});

test('injection: a debug container of a pod that was not injected, or is told to stay out, has no proxy', () => {
  const plain = debug(podOf({ name: 'app' }), { name: 'debug' }).mutation;
  assert.deepEqual([plain.patch, plain.reasons[0]?.id], [[], 'pod_not_injected']);
  const pod = inject(podOf({ name: 'app' })).after;
  Object.assign(pod.metadata.annotations ?? {}, { 'mesh-inject': 'disabled' });
  assert.deepEqual(debug(pod, { name: 'debug' }).mutation.patch, []);
});

test('injection: an update in which no debug container joins has a reason as well', () => {
  const pod = debug(inject(podOf({ name: 'app' })).after, { name: 'debug' }).after;
  const { patch, reasons } = debug(pod).mutation;
  assert.deepEqual([patch, reasons.map(({ id }) => id)], [[], ['already_injected']]);
});

const reference = fc.constantFrom(
  '$(A)',
  '$(B)',
  '$(NODE_NAME)',
  '$(NODE_IP)',
  '$$(NODE_NAME)',
  '$',
  'x',
  '$(LOG)',
  '$(JAVA_TOOL_OPTIONS)',
);
const text = fc.array(reference, { maxLength: 3 }).map((parts) => parts.join(''));
const envName = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('A', 'B', 'C') },
  { weight: 2, arbitrary: fc.constantFrom('NODE_NAME', 'NODE_IP', 'NODEMESH_NODE_NAME', 'NODEMESH_NODE_IP') },
  { weight: 1, arbitrary: fc.constantFrom('http_proxy', 'HTTP_PROXY', 'no_proxy', 'NO_PROXY') },
  {
    weight: 1,
    arbitrary: fc.constantFrom('JAVA_TOOL_OPTIONS', 'JDK_JAVA_OPTIONS', 'NODE_USE_ENV_PROXY', 'grpc_proxy'),
  },
);
const envEntry: fc.Arbitrary<EnvEntry> = fc.oneof(
  fc.record({ name: envName, value: text }),
  fc.record({ name: envName }),
  fc.tuple(envName, fc.constantFrom(...Object.keys(FIELDS))).map(([name, path]) => fieldVariable(name, path)),
);
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const containerShape = fc.record(
  {
    env: fc.oneof(fc.constant(null), fc.array(envEntry, { maxLength: 6 })),
    envFrom: fc.constant<unknown[]>([{ configMapRef: { name: 'c' } }]),
    args: fc.array(text, { maxLength: 2 }),
  },
  { requiredKeys: [] },
);
const anyPod: fc.Arbitrary<Pod> = fc
  .record({
    containers: fc.array(containerShape, { minLength: 1, maxLength: 3 }),
    initContainers: optional(fc.array(containerShape, { maxLength: 2 })),
    annotations: optional(
      fc.dictionary(fc.constantFrom('a', 'nodemesh.dev/no-proxy', 'nodemesh.dev/skip-containers'), text),
    ),
    profile: optional(fc.constantFrom('java', 'node', 'cgi', 'grpc', 'java,node', 'cgi, grpc, java')),
  })
  .map(({ containers, initContainers, annotations, profile }) => ({
    metadata: {
      name: 'p',
      ...(annotations === undefined && profile === undefined
        ? {}
        : { annotations: { ...annotations, ...(profile === undefined ? {} : { 'nodemesh.dev/profile': profile }) } }),
    },
    spec: {
      containers: containers.map((c, i) => ({ name: `app-${i}`, ...c })),
      ...(initContainers === undefined
        ? {}
        : { initContainers: initContainers.map((c, i) => ({ name: `init-${i}`, ...c })) }),
    },
  }));
const anySettings = fc.constantFrom(BY_NAME, BY_IP);

test('injection: on any pod, every injected container finds its proxy and nothing of the user’s changes', () => {
  let injected = 0;
  fc.assert(
    fc.property(anyPod, anySettings, (generated, settings) => {
      const pod: Pod = JSON.parse(JSON.stringify(generated)); // as it comes over the wire
      const { after } = inject(pod, settings);
      const all = (p: Pod) => [...p.spec.containers, ...(p.spec.initContainers ?? [])];
      for (const [i, now] of all(after).entries()) {
        const then = all(pod)[i] as Container;
        const { env: _new, ...restNow } = now;
        const { env: _old, ...restThen } = then;
        assert.deepEqual(restNow, restThen);
        if ((now.env ?? []).length === (then.env ?? []).length) {
          assert.deepEqual(now.env, then.env);
          continue;
        }
        injected += 1;
        const userNames = new Set(names(then));
        const added = (now.env ?? []).filter((entry) => !userNames.has(entry.name));
        assert.deepEqual(
          (now.env ?? []).filter((entry) => userNames.has(entry.name)),
          then.env ?? [],
        );
        assert.equal(new Set(added.map((e) => e.name)).size, added.length);
        const [before, seen] = [environment(then), environment(now)];
        for (const [name, value] of Object.entries(before)) assert.equal(seen[name], value, name);
        const node = settings === BY_NAME ? 'node-1' : '10.0.0.7';
        assert.equal(seen.http_proxy, `http://${node}:4140`);
        for (const arg of then.args ?? []) {
          assert.equal(
            expand(arg, (name) => seen[name]),
            expand(arg, (name) => before[name]),
          );
        }
      }
      const { 'nodemesh.dev/status': _status, ...annotations } = after.metadata.annotations ?? {};
      assert.deepEqual(annotations, pod.metadata.annotations ?? {});
      assert.deepEqual(inject(after, settings).mutation.patch, []);
    }),
    { numRuns: 2000 },
  );
  assert.ok(injected > 500, `only ${injected} containers were injected`);
});

test('injection: any JSON at all ends in an answer', () => {
  const context = { ownNamespace: 'nodemesh', namespaceEnabled: true, settings: BY_NAME };
  const json = fc.constantFrom<unknown>(
    null,
    true,
    0,
    '',
    'x',
    [],
    {},
    [null],
    [[]],
    [{}],
    { name: 'x' },
    { fieldRef: 1 },
  );
  const key = fc.constantFrom('name', 'env', 'envFrom', 'args', 'value', 'valueFrom', '__proto__', 'constructor');
  const nearly = fc.dictionary(key, fc.oneof(json, fc.array(fc.dictionary(key, json))));
  const pods = fc.record(
    {
      metadata: fc.oneof(json, fc.record({ annotations: fc.oneof(json, fc.dictionary(key, json)) })),
      spec: fc.record({
        containers: fc.oneof(json, fc.array(nearly)),
        initContainers: fc.oneof(json, fc.array(nearly)),
      }),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.oneof(json, pods), (object) => {
      const parsed = JSON.parse(JSON.stringify(object));
      const { patch } = mutate(review(parsed), context);
      const failures = applyPatch(structuredClone(parsed), patch as Operation[]).filter((error) => error !== null);
      assert.deepEqual(failures, []);
    }),
    { numRuns: 1000 },
  );
});
