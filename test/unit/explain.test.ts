import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redactedConfig } from '../../daemon/admin/config.ts';
import { policyVerdict } from '../../daemon/admin/policy-verdict.ts';
import { DEFAULT_BALANCER } from '../../daemon/balancer/balancer.ts';
import { drawnShares, type MemberState } from '../../daemon/balancer/shares.ts';
import { composeTransform } from '../../daemon/naming/transformers/transform.ts';
import type { PolicyFinding } from '../../daemon/policy/endpoint-gate.ts';
import { unrouted } from '../../daemon/router/destination.ts';

const member = (more: Partial<MemberState> = {}): MemberState => ({
  queue: 0,
  load: 1,
  warmth: 1,
  out: false,
  far: false,
  ...more,
});

function near(shares: readonly number[] | undefined, expected: readonly number[]): void {
  assert.equal(shares?.length, expected.length);
  for (const [i, share] of (shares ?? []).entries()) {
    assert.ok(Math.abs(share - (expected[i] ?? 0)) < 0.03, `${shares} is not ${expected}`);
  }
}

test('shares are those of the balancer: alike, by load, without what is out or far', () => {
  near(drawnShares(DEFAULT_BALANCER, [member(), member()]), [1 / 2, 1 / 2]);
  // The odds of two go with the cube of their loads: 1 to 8.
  near(drawnShares(DEFAULT_BALANCER, [member({ load: 2 }), member({ load: 1 })]), [1 / 9, 8 / 9]);
  near(drawnShares(DEFAULT_BALANCER, [member({ out: true }), member(), member()]), [0, 1 / 2, 1 / 2]);
  near(drawnShares(DEFAULT_BALANCER, [member(), member({ far: true })]), [1, 0]);
  near(drawnShares(DEFAULT_BALANCER, [member({ out: true }), member({ far: true })]), [0, 1]);
  near(drawnShares({ ...DEFAULT_BALANCER, kind: 'heap' }, [member({ queue: 3 }), member()]), [0, 1]);
  near(drawnShares({ ...DEFAULT_BALANCER, kind: 'roundRobin' }, [member({ load: 9 }), member()]), [1 / 2, 1 / 2]);
  const slow = { ...DEFAULT_BALANCER, slowStartMs: 1_000 };
  near(drawnShares(slow, [member({ warmth: 0.1 }), member()]), [0.05, 0.95]);
  assert.deepEqual(drawnShares(DEFAULT_BALANCER, []), []);
  assert.equal(drawnShares({ ...DEFAULT_BALANCER, kind: 'aperture' }, [member()]), undefined);
});

test('the same state gives the same shares', () => {
  const states = [member({ load: 3 }), member({ load: 2 }), member()];
  assert.deepEqual(drawnShares(DEFAULT_BALANCER, states), drawnShares(DEFAULT_BALANCER, states));
});

const finding = (more: Partial<PolicyFinding> = {}): PolicyFinding => ({
  of: 'ingress',
  mode: 'enforce',
  refusal: undefined,
  policies: [],
  ...more,
});

test('a verdict names the policies that decided, and who judges', () => {
  const denied = finding({ refusal: 'policy_denied', policies: ['shop/a', 'shop/b'] });
  assert.deepEqual(policyVerdict([], undefined), { verdict: 'allowed', by: 'none' });
  assert.deepEqual(policyVerdict([finding()], undefined), { verdict: 'allowed', by: 'none' });
  assert.deepEqual(policyVerdict([denied], undefined), {
    verdict: 'denied',
    by: 'NetworkPolicy shop/a, shop/b (ingress)',
  });
  assert.deepEqual(policyVerdict([finding({ of: 'egress', policies: ['shop/out'] }), denied], 'node-2'), {
    verdict: 'denied',
    by: 'NetworkPolicy shop/a, shop/b (ingress), judged by the daemon of node-2',
  });
  assert.deepEqual(policyVerdict([finding({ refusal: 'not_synced' })], 'node-2'), {
    verdict: 'unknown',
    by: 'judged by the daemon of node-2',
  });
  assert.match(policyVerdict([finding({ refusal: 'not_synced' })], undefined).by, /not been read yet/);
  assert.deepEqual(policyVerdict([{ ...denied, mode: 'audit' }], undefined), {
    verdict: 'allowed',
    by: 'NetworkPolicy shop/a, shop/b (ingress) would deny it (audit)',
  });
  assert.deepEqual(policyVerdict([finding({ of: 'request', policies: ['shop/readers'] })], undefined), {
    verdict: 'allowed',
    by: 'MeshPolicy shop/readers',
  });
});

test('a config is shown without what may be secret', () => {
  const shown = redactedConfig({
    telemetry: [
      {
        kind: 'otlp',
        url: 'https://user:pass@collector.example/v1/traces',
        headers: { authorization: 'Bearer abc', 'x-tenant': 'shop' },
      },
    ],
    limits: { maxSize: Number.POSITIVE_INFINITY, idleMs: 5, none: undefined },
    tls: { keyPath: '/etc/tls/key.pem' },
    headers: ['a', 'b'],
    names: new Map([['a', new Set([1])]]),
    call: () => 1,
    nothing: null,
  });
  assert.deepEqual(JSON.parse(JSON.stringify(shown)), {
    telemetry: [
      {
        kind: 'otlp',
        url: 'https://[redacted]@collector.example/v1/traces',
        headers: { authorization: '[redacted]', 'x-tenant': '[redacted]' },
      },
    ],
    limits: { maxSize: 'unlimited', idleMs: 5 },
    tls: { keyPath: '/etc/tls/key.pem' },
    headers: '[redacted]',
    names: { a: [1] },
    nothing: null,
  });
});

test('a transformer says why it drops what it drops', () => {
  const daemons = { kind: 'io.l5d.k8s.daemonset', namespace: 'mesh', service: 'daemon', port: 'incoming' } as const;
  const transform = composeTransform(
    [{ ...daemons, fallback: 'fail' }, { kind: 'io.l5d.k8s.localnode' }],
    'node-1',
    () => ({ version: 1, byNode: () => new Map() }),
  );
  const at = (nodeName: string | undefined) => ({
    ip: '10.0.0.1',
    port: 80,
    nodeName,
    pod: undefined,
    hostname: undefined,
    zone: undefined,
  });
  const [daemonset, localnode] = transform.steps ?? [];
  assert.deepEqual(daemonset?.apply(unrouted([at('node-2'), at(undefined)])), []);
  assert.equal(daemonset?.why(at('node-2')), 'no ready daemon on node node-2, and fallback is "fail"');
  assert.equal(daemonset?.why(at(undefined)), 'on no node that is known, and fallback is "fail"');
  assert.equal(localnode?.why(at('node-2')), 'not on node node-1 (localnode)');
});
