import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWishes } from '../../webhook/annotations.ts';
import { decideInjection } from '../../webhook/eligibility.ts';
import { viewPod } from '../../webhook/pod-view.ts';

interface Case {
  readonly name: string;
  readonly namespace?: string;
  readonly namespaceEnabled?: boolean | undefined;
  readonly annotations?: Record<string, string>;
  readonly labels?: Record<string, string>;
  readonly spec?: Record<string, unknown>;
  readonly expected: string;
}

const enabled = { 'mesh-inject': 'enabled' };
const disabled = { 'mesh-inject': 'disabled' };

const CASES: readonly Case[] = [
  { name: 'labelled namespace', namespaceEnabled: true, expected: 'inject namespace_enabled' },
  { name: 'nobody asks', expected: 'skip not_enabled' },
  {
    name: 'labelled, pod says no',
    namespaceEnabled: true,
    annotations: disabled,
    expected: 'skip pod_disabled',
  },
  { name: 'unlabelled, pod says yes', annotations: enabled, expected: 'inject pod_enabled' },
  {
    name: 'unknown namespace: the API server matched its label',
    namespaceEnabled: undefined,
    expected: 'inject namespace_unknown',
  },
  {
    name: 'unknown namespace, pod says no',
    namespaceEnabled: undefined,
    annotations: disabled,
    expected: 'skip pod_disabled',
  },
  ...['yes', 'True', ''].map((value) => ({
    name: `annotation ${JSON.stringify(value)}`,
    namespaceEnabled: true,
    annotations: { 'mesh-inject': value },
    expected: 'skip invalid_annotation',
  })),
  {
    name: 'host network',
    namespaceEnabled: true,
    spec: { hostNetwork: true },
    expected: 'skip host_network',
  },
  {
    name: 'host network and pod says no: both',
    namespaceEnabled: true,
    annotations: disabled,
    spec: { hostNetwork: true },
    expected: 'skip host_network pod_disabled',
  },
  {
    name: 'host network is stronger than the annotation',
    annotations: enabled,
    spec: { hostNetwork: true },
    expected: 'skip host_network',
  },
  ...['kube-system', 'kube-public', 'kube-node-lease'].map((namespace) => ({
    name: namespace,
    namespace,
    annotations: enabled,
    expected: 'skip system_namespace',
  })),
  {
    name: "the mesh's own namespace",
    namespace: 'nodemesh',
    namespaceEnabled: true,
    expected: 'skip control_plane_namespace',
  },
  {
    name: 'mirror pod',
    namespaceEnabled: true,
    annotations: { 'kubernetes.io/config.mirror': 'abc' },
    expected: 'skip mirror_pod',
  },
  {
    name: 'Windows by node selector',
    namespaceEnabled: true,
    spec: { nodeSelector: { 'kubernetes.io/os': 'windows' } },
    expected: 'skip windows',
  },
  { name: 'Windows by os', namespaceEnabled: true, spec: { os: { name: 'windows' } }, expected: 'skip windows' },
  { name: 'unlabelled, pod says yes by label', labels: enabled, expected: 'inject pod_enabled' },
  { name: 'labelled, pod says no by label', namespaceEnabled: true, labels: disabled, expected: 'skip pod_disabled' },
  { name: 'label and annotation differ', annotations: disabled, labels: enabled, expected: 'skip pod_disabled' },
  { name: 'annotation and label differ', annotations: enabled, labels: disabled, expected: 'skip pod_disabled' },
  {
    name: 'label "true"',
    namespaceEnabled: true,
    labels: { 'mesh-inject': 'true' },
    expected: 'skip invalid_annotation',
  },
  {
    name: 'unknown profile',
    namespaceEnabled: true,
    annotations: { 'nodemesh.dev/profile': 'java, perl' },
    expected: 'skip invalid_annotation',
  },
  {
    name: 'Fargate',
    namespaceEnabled: true,
    labels: { 'eks.amazonaws.com/fargate-profile': 'fp' },
    expected: 'skip virtual_node',
  },
  {
    name: 'Virtual Kubelet by node selector',
    namespaceEnabled: true,
    spec: { nodeSelector: { type: 'virtual-kubelet' } },
    expected: 'skip virtual_node',
  },
  {
    name: 'Virtual Kubelet by toleration',
    namespaceEnabled: true,
    spec: { tolerations: [{ key: 'virtual-kubelet.io/provider', operator: 'Exists' }] },
    expected: 'skip virtual_node',
  },
  ...['azure.com/aci', 'eks.amazonaws.com/compute-type'].map((key) => ({
    name: `toleration ${key}`,
    namespaceEnabled: true,
    spec: { tolerations: [{ key, operator: 'Exists' }] },
    expected: 'skip virtual_node',
  })),
  {
    name: 'Alibaba Cloud ECI',
    namespaceEnabled: true,
    labels: { 'alibabacloud.com/eci': 'true' },
    expected: 'skip virtual_node',
  },
  {
    name: 'Alibaba Cloud ECI refused',
    namespaceEnabled: true,
    labels: { 'alibabacloud.com/eci': 'false' },
    expected: 'inject namespace_enabled',
  },
  {
    name: 'a toleration of everything says nothing of nodes',
    namespaceEnabled: true,
    spec: { tolerations: [{ operator: 'Exists' }] },
    expected: 'inject namespace_enabled',
  },
  { name: 'no containers', namespaceEnabled: true, spec: { containers: [] }, expected: 'skip no_containers' },
  ...['0', '65536', '99999', 'http', '', '41 40'].map((port) => ({
    name: `proxy-port ${JSON.stringify(port)}`,
    namespaceEnabled: true,
    annotations: { 'nodemesh.dev/proxy-port': port },
    expected: 'skip invalid_annotation',
  })),
];

for (const one of CASES) {
  test(`eligibility: ${one.name}: ${one.expected}`, () => {
    const pod = viewPod({
      metadata: { name: 'p', annotations: one.annotations, labels: one.labels },
      spec: { containers: [{ name: 'app' }], ...one.spec },
    });
    const decision = decideInjection(pod, readWishes(pod.annotations, pod.labels), {
      namespace: one.namespace ?? 'shop',
      namespaceEnabled: 'namespaceEnabled' in one ? one.namespaceEnabled : false,
      ownNamespace: 'nodemesh',
    });
    const ids = [...new Set(decision.reasons.map((r) => r.id))];
    // What is asked for nowhere is skipped for that reason too; it is told apart above, by `expected` without it.
    assert.equal(
      [decision.verdict, ...ids.filter((id) => id !== 'not_enabled' || ids.length === 1)].join(' '),
      one.expected,
    );
  });
}

test('eligibility: the texts name the value and what is wanted', () => {
  const { problems } = readWishes({ 'mesh-inject': 'yes', 'nodemesh.dev/proxy-port': '99999' });
  assert.deepEqual(problems, [
    'annotation mesh-inject: invalid value "yes" (want enabled|disabled)',
    'annotation nodemesh.dev/proxy-port: port must be 1-65535, got "99999"',
  ]);
});

test('eligibility: the texts of a label and a profile, too', () => {
  const { problems } = readWishes({ 'nodemesh.dev/profile': 'jvm' }, { 'mesh-inject': 'on' });
  assert.deepEqual(problems, [
    'label mesh-inject: invalid value "on" (want enabled|disabled)',
    'annotation nodemesh.dev/profile: invalid value "jvm" (want java|node|cgi|grpc)',
  ]);
});

test('eligibility: annotation keys that name object internals find nothing', () => {
  const pod = viewPod(JSON.parse('{"metadata":{"annotations":{"__proto__":"x","constructor":"y","toString":"z"}}}'));
  assert.deepEqual(readWishes(pod.annotations, pod.labels), {
    inject: undefined,
    skipContainers: [],
    noProxy: [],
    proxyPort: undefined,
    profiles: [],
    problems: [],
  });
});
