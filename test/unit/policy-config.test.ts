import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { hasPrefix } from '../../daemon/router/path-prefix.ts';
import { type PolicyTarget, routePolicies } from '../../daemon/router/route-policies.ts';
import { DEFAULT_POLICY, type RoutePolicy } from '../../daemon/router/route-policy.ts';
import { ConfigError } from '../../lib/config-file.ts';
import { TEST_ENVIRONMENT } from '../support/daemon.ts';

const WORLD = { namespace: 'shop', service: 'world' };

function policyFor(keys: string, of: PolicyTarget = WORLD): RoutePolicy {
  const config = parseDaemonConfig('f', `routers: [{protocol: http, ${keys}}]`, TEST_ENVIRONMENT);
  const [router] = config.routers;
  assert.ok(router !== undefined);
  return routePolicies(router)(of);
}

describe('policies of routes', () => {
  test('where nothing is said, the defaults', () => {
    const { classifier, ...policy } = policyFor('label: outgoing');
    const { classifier: standard, ...defaults } = DEFAULT_POLICY;
    assert.deepEqual(policy, defaults);
    assert.equal(classifier, standard);
  });

  test("linkerd's keys", () => {
    const policy = policyFor(`
      service: {totalTimeoutMs: 500, responseClassifier: {kind: io.l5d.http.retryableRead5XX},
        retries: {budget: {ttlSecs: 5, percentCanRetry: 1.5}, backoff: {kind: jittered, minMs: 1, maxMs: 9}}},
      client: {requestAttemptTimeoutMs: 100, loadBalancer: {kind: p2c, maxEffort: 9, slowStartMs: 30000},
        failureAccrual: {kind: io.l5d.consecutiveFailures, failures: 3, backoff: {kind: constant, ms: 700}}}`);
    assert.deepEqual([policy.totalTimeoutMs, policy.attemptTimeoutMs], [500, 100]);
    assert.deepEqual(policy.retryBudget, { ttlSecs: 5, minRetriesPerSec: 10, percentCanRetry: 1.5 });
    assert.deepEqual(policy.retryBackoff, { kind: 'jittered', minMs: 1, maxMs: 9 });
    assert.deepEqual(policy.failureAccrual, { failures: 3, minMs: 700, maxMs: 700 });
    assert.deepEqual(policy.balancer, {
      ...DEFAULT_POLICY.balancer,
      kind: 'p2c',
      maxEffort: 9,
      slowStartMs: 30_000,
    });
    assert.deepEqual([policy.classifier.mayRetry('GET'), policy.classifier.mayRetry('PUT')], [true, false]);
  });

  test('adaptive concurrency is off until it is asked for, and has its defaults then', () => {
    assert.equal(policyFor('service: {totalTimeoutMs: 1}').adaptiveConcurrency, undefined);
    assert.deepEqual(policyFor('service: {adaptiveConcurrency: {}}').adaptiveConcurrency, {
      minLimit: 5,
      maxLimit: 1_000,
    });
    assert.throws(
      () => policyFor('service: {adaptiveConcurrency: {minLimit: 9, maxLimit: 3}}'),
      (error: unknown) =>
        error instanceof ConfigError &&
        error.message.includes('routers[0].service.adaptiveConcurrency.maxLimit: give at least minLimit'),
    );
  });

  test("linkerd's success rates, over requests and over seconds", () => {
    const accrual = (keys: string) => policyFor(`client: {failureAccrual: {kind: io.l5d.${keys}}}`).failureAccrual;
    assert.deepEqual(
      accrual('successRate, successRate: 0.9, requests: 20, backoff: {kind: jittered, minMs: 1, maxMs: 2}'),
      {
        failures: Number.POSITIVE_INFINITY,
        successRate: { least: 0.9, over: { requests: 20 } },
        minMs: 1,
        maxMs: 2,
      },
    );
    assert.deepEqual(accrual('successRateWindowed, successRate: 1, window: 30'), {
      failures: Number.POSITIVE_INFINITY,
      successRate: { least: 1, over: { ms: 30_000 } },
      minMs: 1_000,
      maxMs: 60_000,
    });
  });

  test("linkerd's balancers", () => {
    const balancer = (keys: string) => policyFor(`client: {loadBalancer: {${keys}}}`).balancer;
    const { balancer: defaults } = DEFAULT_POLICY;
    for (const kind of ['ewma', 'p2c', 'aperture', 'heap', 'roundRobin'] as const) {
      assert.deepEqual(balancer(`kind: ${kind}, enableProbation: true`), { ...defaults, kind });
    }
    assert.deepEqual(
      balancer('kind: aperture, maxEffort: 3, smoothWindowMs: 100, lowLoad: 0.1, highLoad: 1, minAperture: 4'),
      { ...defaults, kind: 'aperture', maxEffort: 3, smoothWindowMs: 100, lowLoad: 0.1, highLoad: 1, minAperture: 4 },
    );
    assert.deepEqual(balancer('kind: ewma, decayTimeMs: 1'), { ...defaults, decayTimeMs: 1 });
  });

  test('a constant backoff is 0 ms where it is not said, as in linkerd', () => {
    const { retryBackoff } = policyFor('service: {retries: {backoff: {kind: constant}}}');
    assert.deepEqual(retryBackoff, { kind: 'constant', ms: 0 });
  });

  test('the requeue budget has defaults of its own', () => {
    const { requeueBudget, retryBudget } = policyFor('client: {requeueBudget: {ttlSecs: 3}}');
    assert.deepEqual(requeueBudget, { ttlSecs: 3, minRetriesPerSec: 10, percentCanRetry: 1 });
    assert.deepEqual(retryBudget, DEFAULT_POLICY.retryBudget);
  });

  test("linkerd's connections: each thread its part, and one at least", () => {
    const config = parseDaemonConfig(
      'f',
      `routers: [{protocol: http, client: {clientSession: {lifeTimeMs: 9},
        hostConnectionPool: {minSize: 1, maxSize: 5, idleTimeMs: 7, maxWaiters: 0}}}]`,
      TEST_ENVIRONMENT,
    );
    const [router] = config.routers;
    assert.ok(router !== undefined);
    const expected = { minSize: 1, maxWaiters: 0, idleMs: 7, sessionIdleMs: Number.POSITIVE_INFINITY, lifeMs: 9 };
    assert.deepEqual(routePolicies(router)(WORLD).connections, { ...expected, maxSize: 5 });
    assert.deepEqual(routePolicies(router, { workers: 2 })(WORLD).connections, { ...expected, maxSize: 2 });
    assert.deepEqual(routePolicies(router, { workers: 9 })(WORLD).connections, { ...expected, maxSize: 1 });
  });

  test('failure accrual can be turned off', () => {
    const { failureAccrual } = policyFor('client: {failureAccrual: {kind: none}}');
    assert.equal(failureAccrual.failures, Number.POSITIVE_INFINITY);
  });

  test('by prefix, the later one outdoing the earlier one key by key', () => {
    const keys = `
      service: {kind: io.l5d.static, configs: [
        {prefix: '/svc/*', totalTimeoutMs: 900, retries: {backoff: {kind: constant, ms: 3}}},
        {prefix: /svc/world, totalTimeoutMs: 100},
        {prefix: /svc/world.other, totalTimeoutMs: 200},
        {prefix: /svc/wor, totalTimeoutMs: 1},
        {prefix: /svc/world/deeper, totalTimeoutMs: 2}]},
      client: {kind: io.l5d.static, configs: [
        {prefix: /#/io.l5d.k8s/shop/http/world, requestAttemptTimeoutMs: 10},
        {prefix: '/%/io.l5d.k8s.daemonset/mesh/incoming/l5d/#/io.l5d.k8s/{ns}/http/hello', requestAttemptTimeoutMs: 20}]}`;
    const limits = (namespace: string, service: string) => {
      const { totalTimeoutMs, attemptTimeoutMs, retryBackoff } = policyFor(keys, { namespace, service });
      return [totalTimeoutMs, attemptTimeoutMs, retryBackoff?.kind];
    };
    assert.deepEqual(limits('shop', 'world'), [100, 10, 'constant']);
    assert.deepEqual(limits('other', 'world'), [200, undefined, 'constant']);
    assert.deepEqual(limits('any', 'hello'), [900, 20, 'constant']);
    assert.deepEqual(limits('', 'api.example.com'), [900, undefined, 'constant']);
  });

  for (const [prefix, path, expected] of [
    ['/foo/bar', '/foo/bar', true],
    ['/foo/bar', '/foo/bar/bas', true],
    ['/foo/bar/', '/foo/bar/bas', true],
    ['/foo/bar', '/foo/goo', false],
    ['/foo/bar', '/foo', false],
    ['/foo/*/*', '/foo/hi/there', true],
    ['/foo/{A}', '/foo/bar/bas', true],
    ['/foo/{A-b c}/*/{B}', '/foo/boo/bar/bas', true],
    ['/foo/{A}/bar', '/foo/bar/bad', false],
    ['/foo/bar/{A}:http', '/foo/bar/bas:http', true],
    ['/foo/bar/{A}:http', '/foo/bar/bas:https', false],
    ['/foo/{A}/*/{B}:http', '/foo/boo/bar/bas:http', true],
    ['/foo/{A}:http', '/foo/bar/bas:http', false],
    ['/foo/bar/{A}:http/{B}', '/foo/bar/bas:http/blarg', true],
    ['/foo/bar/{A}:http/more', '/foo/bar/bas:http', true],
    ['/foo/fo*', '/foo/foo', false],
    ['/', '/foo', true],
  ] as const) {
    test(`linkerd's PathMatcher: ${prefix} ${expected ? 'takes' : 'leaves'} ${path}`, () => {
      assert.equal(hasPrefix(path, prefix), expected);
    });
  }

  test('each name that a request may give a destination', () => {
    const timeout = (prefix: string, of: PolicyTarget) =>
      policyFor(`service: {kind: io.l5d.static, configs: [{prefix: '${prefix}', totalTimeoutMs: 1}]}`, of)
        .totalTimeoutMs;
    const outside = { namespace: '', service: 'egress', outside: { host: 'api.example.com', port: 8080 } };
    for (const [prefix, of] of [
      ['/', WORLD],
      ['/svc', WORLD],
      ['/svc/world.shop.svc', WORLD],
      ['/svc/world.shop.svc.cluster.local/', WORLD],
      ['/svc/api.example.com', outside],
      ['/svc/api.example.com:8080', outside],
      ['/svc/{host}:8080', outside],
    ] as const) {
      assert.equal(timeout(prefix, of), 1, prefix);
    }
    for (const [prefix, of] of [
      ['/svc/world.shop.svc.elsewhere', WORLD],
      ['/svc/egress', outside],
      ['/svc/api.example.com:80', outside],
    ] as const) {
      assert.equal(timeout(prefix, of), undefined, prefix);
    }
  });

  test('client ids, with and without what transformers put before', () => {
    const transformers =
      'interpreter: {transformers: [{kind: io.l5d.k8s.daemonset, namespace: mesh, service: l5d, port: incoming}]}';
    const timeout = (prefix: string, of: PolicyTarget, more = transformers) =>
      policyFor(
        `${more}, client: {kind: io.l5d.static, configs: [{prefix: '${prefix}', requestAttemptTimeoutMs: 1}]}`,
        of,
      ).attemptTimeoutMs;
    for (const prefix of [
      '/#/io.l5d.k8s/shop',
      '/*/io.l5d.k8s/{namespace}/*/world',
      '/%/io.l5d.k8s.daemonset/mesh/incoming/l5d',
      '/%/io.l5d.k8s.daemonset/mesh/incoming/l5d/#/io.l5d.k8s/shop/http/world',
      '/%/io.l5d.k8s.daemonset/another/mesh/than-ours/#/io.l5d.k8s/shop/http/world',
      '/*/*/*/*/*/#/io.l5d.k8s/shop',
    ]) {
      assert.equal(timeout(prefix, WORLD), 1, prefix);
    }
    assert.equal(timeout('/%/io.l5d.k8s.daemonset/mesh/incoming/l5d', WORLD, 'label: outgoing'), undefined);
    assert.equal(timeout('/%/io.l5d.k8s.daemonset/other', WORLD), undefined);
    const localnode = 'interpreter: {transformers: [{kind: io.l5d.k8s.localnode}]}';
    assert.equal(timeout('/%/io.l5d.k8s.localnode/10.1.2.3/#/io.l5d.k8s/shop', WORLD, localnode), 1);
    assert.equal(timeout('/#/io.l5d.fs/web', { namespace: '', service: 'web' }), 1);
    const outside = { namespace: '', service: 'egress', outside: { host: 'api.example.com', port: 80 } };
    assert.equal(timeout('/$/inet/api.example.com/80', outside), 1);
  });

  test('what two entries say of retries is put together, as in linkerd', () => {
    const { retryBudget, retryBackoff } = policyFor(`service: {kind: io.l5d.static, configs: [
      {prefix: /svc, retries: {backoff: {kind: constant, ms: 3}, budget: {ttlSecs: 2, percentCanRetry: 9}}},
      {prefix: /svc/world, retries: {budget: {ttlSecs: 5}}}]}`);
    assert.deepEqual(retryBackoff, { kind: 'constant', ms: 3 });
    assert.deepEqual(retryBudget, { ...DEFAULT_POLICY.retryBudget, ttlSecs: 5 });
  });

  for (const [keys, expected] of [
    ['service: {totalTimeoutMs: 0}', 'service.totalTimeoutMs: give a number of milliseconds, 1 or more'],
    ['service: {totalTimeout: 1}', 'service.totalTimeout: unknown key; did you mean "totalTimeoutMs"?'],
    ['service: {retries: {budget: {ttlSecs: 90}}}', 'service.retries.budget.ttlSecs: give 1 to 60'],
    [
      'service: {retries: {backoff: {kind: linear}}}',
      'service.retries.backoff.kind: unknown kind; known kinds: constant, jittered',
    ],
    [
      'service: {retries: {backoff: {kind: jittered, minMs: 2, maxMs: 1}}}',
      'service.retries.backoff.maxMs: give at least minMs',
    ],
    [
      'service: {responseClassifier: {kind: io.l5d.h2.retryable}}',
      'service.responseClassifier.kind: unknown kind; known kinds: io.l5d.http.nonRetryable5XX, io.l5d.http.retryableRead5XX, io.l5d.http.retryableIdempotent5XX, io.l5d.http.retryableAll5XX, io.l5d.http.allSuccessful',
    ],
    [
      'client: {loadBalancer: {kind: leastLoaded}}',
      'client.loadBalancer.kind: unknown kind; known kinds: ewma, p2c, aperture, heap, roundRobin',
    ],
    [
      'client: {loadBalancer: {kind: heap, enableProbation: maybe}}',
      'client.loadBalancer.enableProbation: give true or false',
    ],
    ['client: {loadBalancer: {kind: aperture, lowLoad: 2}}', 'client.loadBalancer.highLoad: give more than lowLoad'],
    [
      'client: {loadBalancer: {kind: aperture, minAperture: 0}}',
      'client.loadBalancer.minAperture: give a number, 1 or more',
    ],
    [
      'client: {loadBalancer: {kind: ewma, slowStartMs: -1}}',
      'client.loadBalancer.slowStartMs: give a number of milliseconds',
    ],
    [
      'client: {failureAccrual: {kind: io.l5d.successrate}}',
      'client.failureAccrual.kind: unknown kind; known kinds: io.l5d.consecutiveFailures, io.l5d.successRate, io.l5d.successRateWindowed, none',
    ],
    [
      'client: {failureAccrual: {kind: io.l5d.successRate, requests: 9}}',
      'client.failureAccrual.successRate: required: a part of the requests, such as 0.9',
    ],
    [
      'client: {failureAccrual: {kind: io.l5d.successRate, successRate: 90, requests: 9}}',
      'client.failureAccrual.successRate: give a part of the requests, 0 to 1',
    ],
    [
      'client: {failureAccrual: {kind: io.l5d.successRateWindowed, successRate: 0.9}}',
      'client.failureAccrual.window: required: a number of seconds',
    ],
    ['client: {kind: io.l5d.static}', 'client.configs: required: a list of {prefix, …}'],
    ['client: {configs: [{prefix: /a}]}', 'client.configs: goes with kind: io.l5d.static only'],
    [
      'service: {kind: io.l5d.static, totalTimeoutMs: 1, configs: [{prefix: /svc/a}]}',
      'service.totalTimeoutMs: with kind io.l5d.static, give it in an entry of configs',
    ],
    [
      'service: {kind: io.l5d.static, configs: [{prefix: world}]}',
      'service.configs[0].prefix: give a path such as /svc/world; * stands for one segment',
    ],
    [
      'client: {hostConnectionPool: {minSize: 2, maxSize: 1}}',
      'client.hostConnectionPool.maxSize: give at least minSize',
    ],
    ['client: {hostConnectionPool: {maxSize: 0}}', 'client.hostConnectionPool.maxSize: give a number, 1 or more'],
    [
      'client: {clientSession: {lifeTimeMs: 0}}',
      'client.clientSession.lifeTimeMs: give a number of milliseconds, 1 or more',
    ],
    ['bindingTimeoutMs: 0', 'bindingTimeoutMs: give a number of milliseconds, 1 or more'],
    ['servers: [{maxConcurrentRequests: 0}]', 'servers[0].maxConcurrentRequests: give a number, 1 or more'],
  ] as const) {
    test(`${keys} is refused`, () => {
      assert.throws(
        () => parseDaemonConfig('f', `routers: [{protocol: http, ${keys}}]`, TEST_ENVIRONMENT),
        (error) => error instanceof ConfigError && error.message === `f: routers[0].${expected}`,
      );
    });
  }
});
