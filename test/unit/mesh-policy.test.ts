import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { comparablePath } from '../../daemon/policy/comparable-path.ts';
import { allowsRequest, MeshPolicySet } from '../../daemon/policy/mesh-policy.ts';
import { trimMeshPolicy } from '../../lib/kubernetes/mesh-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';

test('a path is compared as every server reads it', () => {
  const cases: [string, string][] = [
    ['/', '/'],
    ['/api/v1', '/api/v1'],
    ['/api/v1/', '/api/v1/'],
    ['/api?path=/../x//y', '/api'],
    ['/a%20b/%C3%BC', '/a b/ü'],
    ['/%61dmin', '/admin'],
    ['/a.b/..c/...', '/a.b/..c/...'],
    ['/a;v=1/b', '/a;v=1/b'],
    ['/a%3Fb', '/a?b'],
  ];
  for (const [target, path] of cases) assert.equal(comparablePath(target), path, target);
});

test('a path that servers read in different ways is none', () => {
  const ambiguous = [
    '',
    '*',
    'a:80',
    '//admin',
    '/a//b',
    '/a/../b',
    '/a/./b',
    '/a/..',
    '/.',
    '/a/%2e%2e/b',
    '/a/.%2E/b',
    '/a/..;/b',
    '/a/..;x=1/b',
    '/a/%2e%2e;/b',
    '/a/.;/b',
    '/a%2fb',
    '/a%2Fb',
    '/a%5cb',
    '/a\\b',
    '/a%252fb',
    '/a%25b',
    '/a%00',
    '/a%0ab',
    '/a%7f',
    '/a%',
    '/a%2',
    '/a%zz',
    '/a%c0%ae%c0%ae/b',
    '/a%ff',
    '/a#b',
    '/ü',
  ];
  for (const target of ambiguous) assert.equal(comparablePath(target), undefined, target);
});

const pod = (name: string, serviceAccount = 'default'): PolicyPod => {
  const [namespace = '', short = ''] = name.split('/');
  const place = { uid: name, ips: [], nodeName: 'node-1', ports: [] };
  return { namespace, name: short, serviceAccount, labels: { app: short }, ...place };
};
const set = (...policies: [string, object][]) =>
  new MeshPolicySet(
    policies.map(([key, spec]) => {
      const [namespace, name] = key.split('/');
      return trimMeshPolicy({ metadata: { namespace, name }, spec } as never);
    }),
  );
const nowhere = () => false;

describe('a MeshPolicy', () => {
  /** Whether a request passes the rules of one policy for pods of namespace `shop`. */
  const passes = (rule: object, request: object = {}, source: PolicyPod | null = pod('shop/web')) => {
    const rules = set(['shop/p', { podSelector: {}, rules: [rule] }]).rulesFor(
      pod('shop/api'),
      source ?? undefined,
      nowhere,
    );
    assert.ok(rules);
    return allowsRequest(rules.rules, { method: 'GET', target: '/', host: 'api', upgrade: undefined, ...request });
  };

  test('selects pods of its namespace by labels, or those of its Services; any other is open', () => {
    const policies = set(
      ['shop/labels', { podSelector: { matchLabels: { app: 'api' } } }],
      ['shop/services', { services: ['world', 'other'] }],
      ['else/all', { podSelector: {} }],
    );
    const names = (name: string, service?: string) =>
      policies.rulesFor(pod(name), undefined, (asked) => asked === service)?.policies;
    assert.deepEqual(names('shop/api'), ['shop/labels']);
    assert.deepEqual(names('shop/api', 'shop/world'), ['shop/labels', 'shop/services']);
    assert.deepEqual(names('shop/web', 'shop/other'), ['shop/services']);
    assert.equal(names('shop/web', 'else/world'), undefined);
    assert.deepEqual(names('else/web'), ['else/all']);
    assert.equal(names('third/web'), undefined);
  });

  test('without rules allows nothing, with a rule of nothing everything', () => {
    const rules = set(['shop/p', { podSelector: {} }]).rulesFor(pod('shop/api'), pod('shop/web'), nowhere);
    const request = { method: 'GET', target: '/', host: 'api', upgrade: undefined };
    assert.equal(allowsRequest(rules?.rules ?? [], request), false);
    assert.equal(passes({}, { target: '/a/../b', method: 'CONNECT' }, null), true);
  });

  test('knows callers by namespace, ServiceAccount and labels, its own namespace unless others are named', () => {
    assert.equal(passes({ from: [{}] }), true);
    assert.equal(passes({ from: [{}] }, {}, pod('else/web')), false);
    assert.equal(passes({ from: [{}] }, {}, null), false, 'no pod');
    assert.equal(passes({ from: [] }), false);
    assert.equal(passes({ from: [{ namespaces: ['else'] }] }, {}, pod('else/web')), true);
    assert.equal(passes({ from: [{ namespaces: ['else'] }] }), false);
    assert.equal(passes({ from: [{ serviceAccounts: ['reader'] }] }, {}, pod('shop/web', 'reader')), true);
    assert.equal(passes({ from: [{ serviceAccounts: ['reader'] }] }), false);
    assert.equal(passes({ from: [{ podSelector: { matchLabels: { app: 'web' } } }] }), true);
    assert.equal(passes({ from: [{ podSelector: { matchLabels: { app: 'db' } } }] }), false);
    const both = { namespaces: ['else', 'shop'], serviceAccounts: ['reader'] };
    assert.equal(passes({ from: [both, { namespaces: ['third'] }] }, {}, pod('else/x', 'reader')), true);
    assert.equal(passes({ from: [both, { namespaces: ['third'] }] }, {}, pod('third/x')), true);
    assert.equal(passes({ from: [both, { namespaces: ['third'] }] }, {}, pod('else/x')), false);
  });

  test('compares methods as they are written', () => {
    const rule = { methods: ['GET', 'HEAD'] };
    assert.equal(passes(rule, { method: 'HEAD' }), true);
    for (const method of ['POST', 'get', 'CONNECT']) assert.equal(passes(rule, { method }), false, method);
  });

  test('compares paths whole, or by their first segments', () => {
    const exact = { paths: [{ exact: '/healthz' }] };
    assert.equal(passes(exact, { target: '/healthz?x' }), true);
    for (const target of ['/healthz/', '/healthz/x', '/Healthz', '/healthz;x']) {
      assert.equal(passes(exact, { target }), false, target);
    }
    for (const prefix of ['/api', '/api/']) {
      const rule = { paths: [{ prefix }] };
      for (const target of ['/api', '/api/', '/api/v1', '/%61pi/v1', 'http://api/api/v1']) {
        assert.equal(passes(rule, { target }), true, target);
      }
      for (const target of ['/', '/apis', '/api/../admin', '/api/%2e%2e/admin', '/api%2fv1', '//api', '/api;x/v1']) {
        assert.equal(passes(rule, { target }), false, target);
      }
    }
    assert.equal(passes({ paths: [{ prefix: '/' }] }, { target: '/anything' }), true);
    assert.equal(passes({ paths: [{ prefix: '/' }] }, { method: 'OPTIONS', target: '*' }), false);
    assert.equal(passes({ paths: [] }), false);
    assert.equal(passes({ paths: [{}] }), false, 'a rule of a kind that is not known');
  });

  test('with methods or paths opens no tunnel but a WebSocket’s', () => {
    const rule = { methods: ['GET'], paths: [{ prefix: '/ws' }] };
    assert.equal(passes(rule, { target: '/ws', upgrade: 'websocket' }), true);
    assert.equal(passes(rule, { target: '/ws', upgrade: 'h2c' }), false);
    assert.equal(passes({ methods: ['GET'] }, { upgrade: 'h2c' }), false);
    assert.equal(passes({ paths: [{ prefix: '/' }] }, { upgrade: 'websocket, h2c' }), false);
    assert.equal(passes({ paths: [{ prefix: '/' }] }, { method: 'CONNECT', target: 'api:80' }), false);
    assert.equal(passes({}, { upgrade: 'h2c' }), true);
  });

  test('adds to others: what one rule of any allows is allowed', () => {
    const policies = set(
      ['shop/a', { podSelector: {}, rules: [{ methods: ['GET'] }] }],
      ['shop/b', { podSelector: {}, rules: [{ from: [{ namespaces: ['else'] }], methods: ['POST'] }] }],
    );
    const allowed = (source: string, method: string) => {
      const rules = policies.rulesFor(pod('shop/api'), pod(source), nowhere)?.rules ?? [];
      return allowsRequest(rules, { method, target: '/', host: 'api', upgrade: undefined });
    };
    assert.deepEqual([allowed('shop/web', 'GET'), allowed('shop/web', 'POST')], [true, false]);
    assert.deepEqual([allowed('else/web', 'GET'), allowed('else/web', 'POST')], [true, true]);
  });
});
