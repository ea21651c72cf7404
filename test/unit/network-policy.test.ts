import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  compilePolicy,
  explainVerdict,
  type Flow,
  type FlowEnd,
  NetworkPolicySet,
} from '../../daemon/policy/network-policy.ts';
import { trimNetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import {
  type Addresses,
  flowsOf,
  LABELS,
  NAMESPACES,
  PODS,
  POLICY_CASES,
  PORTS,
  type PodName,
  type PolicyObject,
} from '../support/policy-cases.ts';

const labelsOf = (namespace: string) => NAMESPACES[namespace];

function podsAt(ips: Addresses): Record<PodName, PolicyPod> {
  const entries = PODS.map((key): [PodName, PolicyPod] => {
    const [namespace = '', name = ''] = key.split('/');
    const ports = Object.entries(PORTS).map(([name, port]) => ({ name, port }));
    const place = { nodeName: 'node-1', serviceAccount: 'default' };
    return [key, { namespace, name, uid: key, ips: [ips[key]], labels: LABELS[key], ports, ...place }];
  });
  return Object.fromEntries(entries) as Record<PodName, PolicyPod>;
}

const V4: Addresses = { 'x/a': '10.1.0.1', 'x/b': '10.1.0.2', 'y/a': '10.2.0.1', 'y/b': '10.2.0.2', 'z/a': '10.3.0.1' };
const V6: Addresses = {
  'x/a': 'fd00:1::1',
  'x/b': 'fd00:1::2',
  'y/a': 'fd00:2::1',
  'y/b': 'fd00:2::2',
  'z/a': 'fd00:3::1',
};

function setOf(policies: readonly PolicyObject[]): NetworkPolicySet {
  return new NetworkPolicySet(
    policies.map(({ namespace, name, spec }) =>
      compilePolicy(trimNetworkPolicy({ metadata: { namespace, name }, spec } as never)),
    ),
  );
}

for (const [family, ips] of Object.entries({ IPv4: V4, IPv6: V6 })) {
  describe(`NetworkPolicies by their definition, ${family}`, () => {
    const pods = podsAt(ips);
    const end = (key: PodName): FlowEnd => ({ ip: ips[key], pod: pods[key] });
    for (const one of POLICY_CASES) {
      test(one.name, () => {
        const set = setOf(one.policies.map((make) => make(ips)));
        for (const { source, destination, port, allowed } of flowsOf(one)) {
          const flow: Flow = { source: end(source), destination: end(destination), port, withinNode: false };
          const verdicts = (['egress', 'ingress'] as const).map((direction) => set.judge(direction, flow, labelsOf));
          const why = verdicts.map((verdict, i) => explainVerdict(i === 0 ? 'egress' : 'ingress', verdict)).join('; ');
          assert.equal(
            verdicts.every((verdict) => verdict.allowed),
            allowed,
            `${source} > ${destination}:${port}: ${why}`,
          );
        }
      });
    }
  });
}

test('there are at least 60 cases, each with a name of its own, and each both allows and denies', () => {
  assert.ok(POLICY_CASES.length >= 60, String(POLICY_CASES.length));
  assert.equal(new Set(POLICY_CASES.map(({ name }) => name)).size, POLICY_CASES.length);
  for (const { name, allowed, denied } of POLICY_CASES) assert.ok(allowed.length > 0 && denied.length > 0, name);
});

describe('beyond pods', () => {
  const pods = podsAt(V4);
  const x: FlowEnd = { ip: V4['x/a'], pod: pods['x/a'] };
  const outside = (ip: string): FlowEnd => ({ ip, pod: undefined });
  const judge = (spec: object, direction: 'ingress' | 'egress', flow: Partial<Flow>, port = 8080) =>
    setOf([{ namespace: 'x', name: 'p', spec }]).judge(
      direction,
      { source: x, destination: x, port, withinNode: false, ...flow },
      labelsOf,
    );

  const block = (cidr: string, ...except: string[]) => ({
    podSelector: {},
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ from: [{ ipBlock: { cidr, except } }] }],
    egress: [{ to: [{ ipBlock: { cidr, except } }], ports: [{ port: 443 }, { port: 'http' }] }],
  });

  test('what is no pod is matched by address blocks, and by no selector', () => {
    const everyPod = { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }, { podSelector: {} }] }] };
    assert.equal(judge(everyPod, 'ingress', { source: outside('10.0.0.9') }).allowed, false);
    assert.equal(judge(block('10.0.0.0/24'), 'ingress', { source: outside('10.0.0.9') }).allowed, true);
    assert.equal(judge(block('10.0.0.0/24', '10.0.0.8/29'), 'ingress', { source: outside('10.0.0.9') }).allowed, false);
    assert.equal(judge({ podSelector: {} }, 'ingress', { source: outside('10.0.0.9') }).allowed, false);
  });

  test('egress to the outside goes by address and port number; a name is no port of what is no pod', () => {
    const to = (ip: string, port: number) => judge(block('192.0.2.0/24'), 'egress', { destination: outside(ip) }, port);
    assert.equal(to('192.0.2.7', 443).allowed, true);
    assert.equal(to('192.0.2.7', 8080).allowed, false);
    assert.equal(to('192.0.3.7', 443).allowed, false);
    assert.equal(judge(block('2001:db8::/32'), 'egress', { destination: outside('2001:db8::7') }, 443).allowed, true);
    assert.equal(judge(block('2001:db8::/32'), 'egress', { destination: outside('2001:db9::7') }, 443).allowed, false);
  });

  test('host bits of a CIDR do not count; an IPv4 address that is mapped into IPv6 is the IPv4 address', () => {
    assert.equal(judge(block('10.9.9.9/8'), 'ingress', { source: outside('10.0.0.9') }).allowed, true);
    assert.equal(judge(block('10.0.0.0/24'), 'ingress', { source: outside('::ffff:10.0.0.9') }).allowed, true);
    assert.equal(judge(block('::/0'), 'ingress', { source: outside('::ffff:10.0.0.9') }).allowed, false);
  });

  test('a block that cannot be read, or whose exception cannot, holds nobody', () => {
    for (const cidr of ['10.0.0.0', '10.0.0.0/33', 'ten/8', '10.0.0.0/8/8', '10.0.0.0/', '::/129']) {
      assert.equal(judge(block(cidr), 'ingress', { source: outside('10.0.0.9') }).allowed, false, cidr);
    }
    assert.equal(judge(block('10.0.0.0/8', 'ten'), 'ingress', { source: outside('10.0.0.9') }).allowed, false);
  });

  test('a peer of nothing is nobody', () => {
    const spec = { podSelector: {}, ingress: [{ from: [{}] }] };
    assert.equal(judge(spec, 'ingress', { source: { ip: V4['x/b'], pod: pods['x/b'] } }).allowed, false);
  });

  test('the node that a pod runs on always reaches it, and is reached', () => {
    const spec = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] };
    const node = outside('10.0.0.1');
    for (const [direction, flow] of [
      ['ingress', { source: node }],
      ['egress', { destination: node }],
    ] as const) {
      assert.equal(judge(spec, direction, { ...flow, withinNode: true }).allowed, true);
      assert.equal(judge(spec, direction, { ...flow, withinNode: false }).allowed, false);
    }
  });

  test('a namespace that is not known is selected by nothing', () => {
    const set = setOf([
      { namespace: 'x', name: 'p', spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] } },
    ]);
    const flow: Flow = { source: { ip: V4['y/a'], pod: pods['y/a'] }, destination: x, port: 80, withinNode: false };
    assert.equal(set.judge('ingress', flow, () => undefined).allowed, false);
    assert.equal(set.judge('ingress', flow, labelsOf).allowed, true);
  });

  test('a verdict names what decided', () => {
    const policies = ['b', 'a', 'other'].map((name): PolicyObject => {
      const podSelector = name === 'other' ? { matchLabels: { app: 'b' } } : {};
      return {
        namespace: 'x',
        name,
        spec: { podSelector, ingress: [{ from: [{ podSelector: { matchLabels: { app: name } } }] }] },
      };
    });
    const set = setOf(policies);
    const judged = (source: PodName, destination: PodName) => {
      const end = (key: PodName) => ({ ip: V4[key], pod: pods[key] });
      const flow = { source: end(source), destination: end(destination), port: 80, withinNode: false };
      return explainVerdict('ingress', set.judge('ingress', flow, labelsOf));
    };
    assert.equal(judged('x/b', 'x/a'), 'allowed by x/b');
    assert.equal(judged('y/b', 'x/a'), 'isolated for ingress by x/a, x/b; none allows it');
    assert.equal(judged('x/a', 'y/a'), 'no NetworkPolicy isolates the pod for ingress');
  });
});
