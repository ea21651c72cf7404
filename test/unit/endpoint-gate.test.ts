import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CallerSources } from '../../daemon/policy/caller-sources.ts';
import { EndpointGate } from '../../daemon/policy/endpoint-gate.ts';
import type { JudgedRequest } from '../../daemon/policy/mesh-policy.ts';
import { PolicyView } from '../../daemon/policy/policy-view.ts';
import type { PolicyMode } from '../../daemon/policy/request-judge.ts';
import { trimMeshPolicy } from '../../lib/kubernetes/mesh-policy.ts';
import { trimNetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';

function pod(name: string, nodeName: string, ...ips: string[]): PolicyPod {
  const [namespace = '', short = ''] = name.split('/');
  return { namespace, name: short, uid: name, ips, nodeName, serviceAccount: 'web', labels: { app: short }, ports: [] };
}

/** Node-1's view: `shop/web` is its own, the others run elsewhere. */
class Stage {
  readonly local = new Map<string, PolicyPod>();
  /** The one address of each. */
  readonly services = new Map<string, string>();
  endpointsVersion = 1;
  readonly view = new PolicyView((ip) => this.local.get(ip));
  readonly sources = new CallerSources(this.view, true);
  readonly lines: Record<string, unknown>[] = [];
  readonly registry = new MetricsRegistry();
  readonly web = pod('shop/web', 'node-1', '10.1.0.1', 'fd00::1');
  readonly caller = pod('shop/caller', 'node-2', '10.2.0.1', 'fd00:2::1');

  constructor() {
    for (const ip of this.web.ips) this.local.set(ip, this.web);
  }

  gate(
    directions: readonly ('egress' | 'ingress')[],
    mode: PolicyMode = 'enforce',
    endpoint: object = {},
  ): EndpointGate {
    const write = (line: string) => this.lines.push(JSON.parse(line));
    const options = {
      view: this.view,
      nodeName: 'node-1',
      isOwnNode: (address: string) => address === '10.0.0.1',
      isNode: (address: string) => address.startsWith('10.0.0.'),
      serves: (service: string, ip: string) => this.services.get(service) === ip,
      endpointsVersion: () => this.endpointsVersion,
      router: 'incoming',
      denied: this.registry.counter('denied', '', ['router', 'mode', 'direction']),
      log: createLog('test', 'info', { write }),
    };
    const at = { ip: '10.1.0.1', port: 8080, nodeName: 'node-1', ...endpoint };
    return new EndpointGate(
      options,
      at,
      directions.map((direction) => ({ direction, mode })),
    );
  }

  policies(...specs: (object | undefined)[]): void {
    const changes = specs.map((spec, i) => {
      const metadata = { namespace: 'shop', name: `p${i}` };
      const object = spec === undefined ? undefined : trimNetworkPolicy({ metadata, spec } as never);
      return { key: `shop/p${i}`, object, previous: undefined };
    });
    this.view.apply({ kind: 'networkpolicies', changes });
    for (const kind of ['networkpolicies', 'meshpolicies']) this.view.read(kind);
  }

  meshPolicies(...specs: object[]): void {
    const changes = specs.map((spec, i) => {
      const object = trimMeshPolicy({ metadata: { namespace: 'shop', name: `m${i}` }, spec } as never);
      return { key: `shop/m${i}`, object, previous: undefined };
    });
    this.view.apply({ kind: 'meshpolicies', changes });
    this.policies();
  }

  pods(...pods: PolicyPod[]): void {
    const changes = pods.map((object) => ({ key: object.uid, object, previous: undefined }));
    this.view.apply({ kind: 'clusterpods', changes });
    for (const kind of ['namespaces', 'clusterpods']) this.view.read(kind);
  }
}

const GET: JudgedRequest = { method: 'GET', target: '/', host: 'web.shop', upgrade: undefined };
const FROM_CALLER = { podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'caller' } } }] }] };
const NOBODY = { podSelector: {} };
const SENDS_NOTHING = { podSelector: {}, policyTypes: ['Egress'] };

describe('a gate', () => {
  test('lets nothing through before policies are known, and audit everything', () => {
    const stage = new Stage();
    const refusal = stage.gate(['ingress']).refusal(stage.sources.at('10.2.0.1'), GET);
    assert.deepEqual([refusal?.code, refusal?.status, refusal?.retryable], ['not_synced', 503, true]);
    assert.equal(stage.gate(['ingress'], 'audit').refusal(stage.sources.at('10.2.0.1'), GET), undefined);
    stage.policies();
    assert.equal(stage.gate(['ingress']).refusal(stage.sources.at('10.2.0.1'), GET), undefined);
  });

  test('lets nothing through to an isolated pod before the other pods are known; to any other all', () => {
    const stage = new Stage();
    stage.policies(FROM_CALLER);
    const gate = stage.gate(['ingress']);
    assert.equal(gate.refusal(stage.sources.at('10.2.0.1'), GET)?.code, 'not_synced');
    stage.pods(stage.caller);
    assert.equal(gate.refusal(stage.sources.at('10.2.0.1'), GET), undefined);
    assert.equal(gate.refusal(stage.sources.at('10.2.0.2'), GET)?.code, 'policy_denied');
    const other = new Stage();
    other.policies({ podSelector: { matchLabels: { app: 'none' } } });
    assert.equal(other.gate(['ingress']).refusal(other.sources.at('10.2.0.1'), GET), undefined);
  });

  test('logs a denial once, with what decided, and tells the caller nothing of that', () => {
    const stage = new Stage();
    stage.policies(NOBODY, { podSelector: { matchLabels: { app: 'web' } } });
    stage.pods(stage.caller);
    const gate = stage.gate(['egress', 'ingress']);
    for (let i = 0; i < 3; i += 1) {
      const refusal = gate.refusal(stage.sources.at('10.2.0.1'), GET);
      assert.deepEqual([refusal?.code, refusal?.status], ['policy_denied', 403]);
      assert.doesNotMatch(refusal?.body ?? '', /p0|p1/);
      assert.match(refusal?.body ?? '', /from pod shop\/caller to 10\.1\.0\.1:8080/);
    }
    assert.equal(stage.lines.length, 1);
    const [line] = stage.lines;
    assert.equal(line?.msg, 'refused: isolated for ingress by shop/p0, shop/p1; none allows it');
    assert.equal(line?.source, 'shop/caller (10.2.0.1)');
    assert.equal(line?.destination, 'shop/web (10.1.0.1):8080');
    assert.equal(stage.registry.counter('denied', '').with('incoming', 'enforce', 'ingress').value, 3);
  });

  test('a policy that goes, and one that comes, count from then on', () => {
    const stage = new Stage();
    stage.policies(NOBODY);
    stage.pods(stage.caller);
    const gate = stage.gate(['ingress']);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(gate.refusal(source, GET)?.code, 'policy_denied');
    stage.policies(undefined);
    assert.equal(gate.refusal(source, GET), undefined);
    stage.policies(FROM_CALLER);
    assert.equal(gate.refusal(source, GET), undefined);
    stage.policies(NOBODY);
    assert.equal(gate.refusal(source, GET)?.code, 'policy_denied');
  });

  test('the pod at an address is the one that is there now', () => {
    const stage = new Stage();
    stage.policies(FROM_CALLER);
    stage.pods(stage.caller);
    const gate = stage.gate(['ingress']);
    assert.equal(gate.refusal(stage.sources.at('10.2.0.1'), GET), undefined);
    stage.pods(pod('shop/next', 'node-2', '10.2.0.1'));
    assert.equal(gate.refusal(stage.sources.at('10.2.0.1'), GET)?.code, 'policy_denied');
    stage.local.set('10.1.0.1', pod('open/web', 'node-1', '10.1.0.1'));
    assert.equal(gate.refusal(stage.sources.at('10.2.0.1'), GET), undefined);
  });

  test('a destination that the watch of pods has not shown is not let through to', () => {
    const stage = new Stage();
    stage.policies(NOBODY);
    stage.pods(stage.caller);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(stage.gate(['ingress'], 'enforce', { ip: '10.1.0.9' }).refusal(source, GET)?.code, 'not_synced');
    assert.equal(
      stage.gate(['ingress'], 'enforce', { ip: '10.0.0.9' }).refusal(source, GET),
      undefined,
      'a pod on a node',
    );
    const outside = { ip: '192.0.2.1', nodeName: undefined };
    assert.equal(stage.gate(['ingress'], 'enforce', outside).refusal(source, GET), undefined);
    stage.policies(undefined, SENDS_NOTHING);
    const own = stage.sources.at('10.1.0.1');
    const far = { ip: '10.2.0.9', nodeName: 'node-2' };
    assert.equal(stage.gate(['egress'], 'enforce', far).refusal(own, GET)?.code, 'not_synced');
    assert.equal(stage.gate(['egress'], 'enforce', outside).refusal(own, GET)?.code, 'policy_denied');
  });

  test("the node's own processes reach its pods, those of other nodes as policies say", () => {
    const stage = new Stage();
    stage.policies(NOBODY);
    stage.pods(stage.caller);
    assert.equal(stage.gate(['ingress']).refusal(stage.sources.at('10.0.0.1'), GET), undefined);
    assert.equal(stage.gate(['ingress']).refusal(stage.sources.at('10.0.0.2'), GET)?.code, 'policy_denied');
  });

  test('a caller counts by its address of the family that its packets would have', () => {
    const stage = new Stage();
    stage.policies({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 'fd00:2::/64' } }] }] });
    stage.pods(stage.caller);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(stage.gate(['ingress'], 'enforce', { ip: 'fd00::1' }).refusal(source, GET), undefined);
    assert.equal(stage.gate(['ingress']).refusal(source, GET)?.code, 'policy_denied');
  });
});

describe('MeshPolicies, behind NetworkPolicies', () => {
  const READ = { podSelector: {}, rules: [{ from: [{}], methods: ['GET'], paths: [{ prefix: '/api' }] }] };
  const ask = (method: string, target: string): JudgedRequest => ({ ...GET, method, target });

  test('let through what a rule allows; each request is judged, and different ones are logged', () => {
    const stage = new Stage();
    stage.meshPolicies(READ);
    stage.pods(stage.caller);
    const gate = stage.gate(['ingress']);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(gate.refusal(source, ask('GET', '/api/v1?q=1')), undefined);
    for (let i = 0; i < 2; i += 1) {
      for (const request of [ask('POST', '/api'), ask('GET', '/admin'), ask('GET', '/api/../admin')]) {
        const refusal = gate.refusal(source, request);
        assert.deepEqual([refusal?.code, refusal?.status], ['policy_denied', 403]);
        assert.doesNotMatch(refusal?.body ?? '', /m0/);
      }
    }
    assert.deepEqual(
      stage.lines.map(({ request, msg, source }) => [request, msg, source]),
      ['POST /api', 'GET /admin', 'GET /api/../admin'].map((request) => [
        request,
        'refused: selected by MeshPolicy shop/m0; none allows it',
        'shop/caller (10.2.0.1)',
      ]),
    );
    assert.equal(stage.registry.counter('denied', '').with('incoming', 'enforce', 'request').value, 6);
    for (let i = 0; i < 20; i += 1) gate.refusal(source, ask('GET', `/${i}`));
    assert.equal(stage.lines.length, 10, 'of one source no more than ten');
  });

  test('of a source that a NetworkPolicy forbids nothing is asked', () => {
    const stage = new Stage();
    stage.meshPolicies({ podSelector: {}, rules: [{}] });
    stage.policies(NOBODY);
    stage.pods(stage.caller);
    assert.equal(stage.gate(['ingress']).refusal(stage.sources.at('10.2.0.1'), GET)?.code, 'policy_denied');
    assert.match(String(stage.lines[0]?.msg), /isolated for ingress/);
  });

  test('are the business of whoever answers for ingress; audit lets through', () => {
    const stage = new Stage();
    stage.meshPolicies({ podSelector: {}, rules: [] });
    stage.pods(stage.caller);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(stage.gate(['egress']).refusal(source, GET), undefined);
    assert.equal(stage.gate(['ingress'], 'audit').refusal(source, GET), undefined);
    assert.equal(stage.registry.counter('denied', '').with('incoming', 'audit', 'request').value, 1);
    assert.equal(stage.gate(['ingress']).refusal(source, GET)?.code, 'policy_denied');
  });

  test('of a Service select its endpoints, whatever they are called by, as they are now', () => {
    const stage = new Stage();
    stage.meshPolicies({ services: ['web'], rules: [] });
    stage.pods(stage.caller);
    const gate = stage.gate(['ingress']);
    const source = stage.sources.at('10.2.0.1');
    assert.equal(gate.refusal(source, GET), undefined);
    stage.services.set('shop/web', '10.1.0.1');
    stage.endpointsVersion += 1;
    assert.equal(gate.refusal(source, GET)?.code, 'policy_denied');
  });

  test('a caller that is not known yet, and policies that are not, are asked for again', () => {
    const stage = new Stage();
    stage.meshPolicies(READ);
    stage.pods(stage.caller);
    const source = stage.sources.saidBy('node-2', '10.2.0.7 shop/new', '10.0.0.2');
    assert.equal(stage.gate(['ingress']).refusal(source, ask('GET', '/api'))?.code, 'not_synced');
    const early = new Stage();
    early.view.read('networkpolicies');
    assert.equal(early.gate(['ingress']).refusal(early.sources.at('10.2.0.1'), GET)?.code, 'not_synced');
  });
});

describe('what a daemon says of its pods', () => {
  const SAID = '10.2.0.1 shop/caller';

  test('is believed of pods of its own node', () => {
    const stage = new Stage();
    stage.policies(FROM_CALLER, SENDS_NOTHING);
    stage.pods(stage.caller);
    const source = stage.sources.saidBy('node-2', SAID, '10.0.0.2');
    assert.equal(source.pod, stage.caller);
    assert.equal(source, stage.sources.saidBy('node-2', SAID, '10.0.0.2'));
    assert.equal(stage.gate(['egress', 'ingress']).refusal(source, GET), undefined, 'its egress was judged there');
    assert.equal(stage.gate(['egress', 'ingress']).refusal(stage.sources.at('10.2.0.1'), GET)?.code, 'policy_denied');
  });

  test('of pods of another node is not: the source is the daemon', () => {
    const stage = new Stage();
    stage.policies(FROM_CALLER);
    stage.pods(stage.caller);
    const source = stage.sources.saidBy('node-3', SAID, '10.0.0.3');
    assert.deepEqual([source.pod, source.ip, source.clientLine], [undefined, '10.0.0.3', '']);
    assert.equal(stage.gate(['ingress']).refusal(source, GET)?.code, 'policy_denied');
    stage.policies({ podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.3/32' } }] }] });
    assert.equal(stage.gate(['ingress']).refusal(source, GET), undefined);
  });

  test('of a pod that is not known yet, or of another name at its address, is asked for again', () => {
    const stage = new Stage();
    stage.policies(FROM_CALLER);
    stage.pods(stage.caller);
    const gate = stage.gate(['ingress']);
    for (const said of ['10.2.0.7 shop/new', '10.2.0.1 shop/new', '10.2.0.1', 'nonsense']) {
      const source = stage.sources.saidBy('node-2', said, '10.0.0.2');
      const refusal = gate.refusal(source, GET);
      assert.deepEqual([refusal?.code, refusal?.retryable, source.clientLine], ['not_synced', true, ''], said);
    }
    stage.pods(pod('shop/new', 'node-2', '10.2.0.1'));
    assert.equal(stage.sources.saidBy('node-2', '10.2.0.1 shop/new', '10.0.0.2').pod?.name, 'new');
    assert.equal(stage.sources.saidBy('node-2', SAID, '10.0.0.2').unseen, true);
  });

  test('without a word the source is the daemon', () => {
    const stage = new Stage();
    stage.pods(stage.caller);
    assert.equal(stage.sources.saidBy('node-2', undefined, '10.0.0.2'), stage.sources.at('10.0.0.2'));
  });

  test('and what it is told, and an application', () => {
    const stage = new Stage();
    stage.pods(stage.caller);
    const { peerLine, clientLine } = stage.sources.at('10.2.0.1');
    assert.equal(peerLine, 'mesh-source: 10.2.0.1 shop/caller\r\n');
    assert.equal(clientLine, 'mesh-client: namespace=shop;serviceaccount=web;pod=caller\r\n');
    assert.deepEqual([stage.sources.at('10.0.0.1').peerLine, stage.sources.at('10.0.0.1').clientLine], ['', '']);
    assert.equal(new CallerSources(stage.view, false).at('10.2.0.1').clientLine, '');
  });
});
