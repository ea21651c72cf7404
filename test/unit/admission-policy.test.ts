import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyPatch, type Operation } from 'rfc6902';
import { parseAllDocuments } from 'yaml';
import { probeWebhook } from '../../cli/cluster/probe.ts';
import { type LabelSelector, unmetRequirement } from '../../lib/kubernetes/label-selector.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { mutate } from '../../webhook/mutation.ts';
import { computeCel, evaluateCel } from '../support/cel.ts';

/** Overlay admission-policy: its CEL by an evaluator of ours, against the webhook's own decision and patch. */

const TEXT = readFileSync(new URL('../../manifests/overlays/admission-policy/policy.yaml', import.meta.url), 'utf8');

interface Expression {
  readonly name: string;
  readonly expression: string;
}
interface Selectors {
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
}
interface Policy {
  readonly spec: {
    readonly matchConstraints: Selectors;
    readonly matchConditions: readonly Expression[];
    readonly variables: readonly Expression[];
    readonly mutations: readonly { readonly jsonPatch: { readonly expression: string } }[];
  };
}
interface Binding {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly policyName: string; readonly matchResources: Selectors };
}
type Labels = Record<string, string>;
interface Container {
  readonly name: string;
  readonly env?: readonly { readonly name: string; readonly value?: string; readonly valueFrom?: unknown }[];
}
interface Pod {
  readonly metadata: { readonly labels?: Labels; readonly annotations?: Labels };
  readonly spec: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[] };
}

interface Guard {
  readonly spec: Pick<Policy['spec'], 'matchConstraints' | 'matchConditions'> & {
    readonly validations: readonly { readonly expression: string }[];
  };
}

const objects = parseAllDocuments(TEXT).map((document) => document.toJS());
const ofKind = <T>(kind: string): T[] => objects.filter((object) => object.kind === kind);
const [policy] = ofKind<Policy>('MutatingAdmissionPolicy') as [Policy];
const [guard] = ofKind<Guard>('ValidatingAdmissionPolicy') as [Guard];
const bindings = ofKind<Binding>('MutatingAdmissionPolicyBinding');
const SETTINGS: InjectionSettings = {
  proxyAddress: { by: 'hostIP', family: 4 },
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject',
};

function fits({ namespaceSelector, objectSelector }: Selectors, namespace: Labels, pod: Pod): boolean {
  return (
    unmetRequirement(namespaceSelector, namespace) === undefined &&
    unmetRequirement(objectSelector, pod.metadata.labels) === undefined
  );
}

function isConcerned({ spec }: Guard | Policy, name: string, labels: Labels, pod: Pod): boolean {
  const namespace = { 'kubernetes.io/metadata.name': name, ...labels };
  const scope = { object: pod, request: { namespace: name } };
  return (
    fits(spec.matchConstraints, namespace, pod) &&
    spec.matchConditions.every(({ expression }) => evaluateCel(expression, scope))
  );
}

/** The bindings by which the policy is asked about a pod. */
function asked(name: string, labels: Labels, pod: Pod): Binding[] {
  const namespace = { 'kubernetes.io/metadata.name': name, ...labels };
  const bound = bindings.filter(({ spec }) => fits(spec.matchResources, namespace, pod));
  return bound.length > 0 && isConcerned(policy, name, labels, pod) ? bound : [];
}

/** What the policy makes of a pod that it is asked about. */
function applied(pod: Pod): Pod {
  const variables: Record<string, unknown> = {};
  const scope = { object: pod, request: { namespace: 'shop' }, variables };
  for (const { name, expression } of policy.spec.variables) variables[name] = computeCel(expression, scope);
  const after = structuredClone(pod);
  for (const { jsonPatch } of policy.spec.mutations) {
    const operations = structuredClone(computeCel(jsonPatch.expression, scope)) as Operation[];
    const failures = applyPatch(after, operations).filter((failure) => failure !== null);
    assert.deepEqual(failures, []);
  }
  return after;
}

/** What the webhook makes of a pod. */
function injected(pod: Pod): { readonly pod: Pod; readonly containers: readonly string[] } {
  const what = { kind: '/v1/Pod', subResource: '', operation: 'CREATE', namespace: 'shop', object: pod, dryRun: false };
  const review = { apiVersion: 'admission.k8s.io/v1', uid: 'u', ...what };
  const { patch, containers } = mutate(review, {
    ownNamespace: 'nodemesh',
    namespaceEnabled: true,
    settings: SETTINGS,
  });
  const after = structuredClone(pod);
  applyPatch(after, structuredClone(patch) as Operation[]);
  return { pod: after, containers };
}

const all = ({ spec }: Pod) => [...spec.containers, ...(spec.initContainers ?? [])];
const statusOf = ({ metadata }: Pod) => {
  const { config, containers } = JSON.parse(metadata.annotations?.['nodemesh.dev/status'] ?? '{}');
  const byName = (a: Container, b: Container) => (a.name < b.name ? -1 : 1);
  return { config, containers: (containers as Container[] | undefined)?.toSorted(byName) };
};
const LABELLED = { 'mesh-inject': 'enabled' };

const text = fc.constantFrom('x', '$(A)', '$(NODE_NAME)', '$$(NODE_IP)', '$(http_proxy)', '');
const name = fc.constantFrom(
  'A',
  'B',
  'LOG',
  'NODE_NAME',
  'NODE_IP',
  'HTTP_PROXY',
  'no_proxy',
  'NO_PROXY',
  'all_proxy',
);
const entry = fc.oneof(
  fc.record({ name, value: text }),
  name.map((one) => ({ name: one, valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } })),
);
const sparse = <T extends object>(shape: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(shape, { requiredKeys: [] });
const container = sparse({
  env: fc.array(entry, { minLength: 1, maxLength: 3 }),
  envFrom: fc.constant([{ configMapRef: { name: 'c' } }]),
  args: fc.array(text, { minLength: 1, maxLength: 2 }),
});
/** Half of them are plain. */
const containers = fc.array(fc.oneof(fc.constant({}), container), { minLength: 1, maxLength: 3 });
const wish = fc.constantFrom('enabled', 'disabled', 'yes');
const annotations = sparse({
  a: text,
  'mesh-inject': wish,
  'nodemesh.dev/skip-containers': fc.constant('app-0'),
  'nodemesh.dev/profile': fc.constantFrom('java', 'go'),
  'kubernetes.io/config.mirror': text,
});
/** Three of four have none of these. */
const rarely = <T extends object>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary });
const obstacles = sparse({
  hostNetwork: fc.boolean(),
  os: fc.constantFrom({ name: 'linux' }, { name: 'windows' }),
  nodeSelector: fc.constantFrom({ type: 'virtual-kubelet' }, { 'kubernetes.io/os': 'windows' }, { zone: 'a' }),
  tolerations: fc.constantFrom([{ operator: 'Exists' }], [{ key: 'azure.com/aci' }]),
});
const metadata = sparse({ labels: sparse({ app: text, 'mesh-inject': wish }), annotations });
const somePod: fc.Arbitrary<Pod> = fc
  .tuple(rarely(metadata), rarely(obstacles), containers, fc.option(containers, { nil: undefined }))
  .map(([metadata, obstacle, main, init]) => {
    const named = (list: object[], prefix: string) => list.map((one, i) => ({ name: `${prefix}-${i}`, ...one }));
    const more = init === undefined ? {} : { initContainers: named(init, 'init') };
    return { metadata, spec: { ...obstacle, containers: named(main, 'app'), ...more } };
  });

test('admission policy: whatever the pod, policy and webhook together make of it what the webhook does alone', () => {
  let both = 0;
  let alone = 0;
  const check = (generated: Pod) => {
    const pod: Pod = JSON.parse(JSON.stringify(generated));
    if (asked('shop', LABELLED, pod).length === 0) return;
    const first = applied(pod);
    const { pod: second, containers: rest } = injected(first);
    const wanted = injected(pod);
    assert.deepEqual(second.spec, wanted.pod.spec);
    assert.deepEqual(statusOf(second), statusOf(wanted.pod));
    const ours = all(first).filter((one, i) => one.env?.length !== all(pod)[i]?.env?.length);
    for (const one of ours) assert.ok(!rest.includes(one.name) && wanted.containers.includes(one.name));
    if (ours.length > 0 && rest.length > 0) both += 1;
    if (ours.length > 0 && rest.length === 0) {
      alone += 1;
      assert.deepEqual(first.metadata.annotations, wanted.pod.metadata.annotations);
    }
  };
  fc.assert(fc.property(somePod, check), { numRuns: 3000 });
  for (const metadata of [{}, { annotations: { a: 'b' } }])
    check({ metadata, spec: { containers: [{ name: 'app' }] } });
  assert.ok(both > 100 && alone > 100, `${both} ${alone}`);
});

test('admission policy: a pod is asked about once at most, and never one that the webhook would leave alone', () => {
  const shop = { labels: LABELLED };
  fc.assert(
    fc.property(somePod, fc.constantFrom<Labels>({}, LABELLED, { 'mesh-inject': 'disabled' }), (generated, labels) => {
      const pod: Pod = JSON.parse(JSON.stringify(generated));
      const found = asked('shop', labels, pod);
      assert.ok(found.length <= 1);
      for (const system of ['nodemesh', 'kube-system', 'kube-proxies'])
        assert.deepEqual(asked(system, labels, pod), []);
      const own = {
        ...pod,
        metadata: { ...pod.metadata, labels: { ...shop.labels, 'app.kubernetes.io/name': 'nodemesh' } },
      };
      assert.deepEqual(asked('shop', labels, own), []);
      if (found.length === 0) return;
      assert.ok(labels === LABELLED || pod.metadata.labels?.['mesh-inject'] === 'enabled');
      const { pod: wanted } = injected(pod);
      if (wanted.metadata.annotations?.['nodemesh.dev/status'] === undefined) assert.deepEqual(applied(pod), pod);
    }),
    { numRuns: 1000 },
  );
  const plain: Pod = { metadata: {}, spec: { containers: [{ name: 'app' }] } };
  assert.deepEqual(
    asked('shop', LABELLED, plain).map(({ metadata }) => metadata.name),
    ['nodemesh-namespaces'],
  );
  const byLabel: Pod = { ...plain, metadata: { labels: LABELLED } };
  assert.deepEqual(
    asked('plain', {}, byLabel).map(({ metadata }) => metadata.name),
    ['nodemesh-pods'],
  );
  assert.deepEqual(asked('plain', {}, plain), []);
  assert.deepEqual(asked('shop', LABELLED, applied(plain)), []);
});

test('admission policy: the pod by which check tries the webhook is none that the policy injects', async () => {
  let body: Pod | undefined;
  const request = async (call: { readonly body?: unknown }) => {
    body = call.body as Pod;
    return body;
  };
  const none = () => assert.fail('nothing is listed or watched');
  await probeWebhook({ server: '', request, list: none, stream: none } as Parameters<typeof probeWebhook>[0]);
  assert.ok(body !== undefined);
  assert.deepEqual(asked('default', {}, body), []);
  assert.ok(injected(body).containers.includes('probe'));
});

test('admission policy: who creates a pod without the proxy is warned, where its namespace asks and the pod does not say no', () => {
  const isWarned = (pod: Pod, labels: Labels = LABELLED, name = 'shop') =>
    isConcerned(guard, name, labels, pod) &&
    !guard.spec.validations.every(({ expression }) => evaluateCel(expression, { object: pod }));
  const spec = { containers: [{ name: 'app' }] };
  assert.ok(isWarned({ metadata: {}, spec }));
  assert.ok(isWarned({ metadata: { annotations: { a: 'b' }, labels: LABELLED }, spec }));
  assert.ok(!isWarned(applied({ metadata: {}, spec })));
  assert.ok(!isWarned({ metadata: {}, spec }, {}));
  assert.ok(!isWarned({ metadata: {}, spec }, LABELLED, 'kube-system'));
  const hostNetwork = { ...spec, hostNetwork: true };
  for (const pod of [
    { metadata: { annotations: { 'mesh-inject': 'disabled' } }, spec },
    { metadata: { labels: { 'mesh-inject': 'disabled' } }, spec },
    { metadata: { labels: { 'app.kubernetes.io/name': 'nodemesh' } }, spec },
    { metadata: { annotations: { 'kubernetes.io/config.mirror': '' } }, spec },
    { metadata: {}, spec: hostNetwork },
  ]) {
    assert.ok(!isWarned(pod), JSON.stringify(pod));
  }
});
