import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BalancerConfig, DEFAULT_BALANCER, makeBalancer } from '../../daemon/balancer/balancer.ts';
import type { Balanced } from '../../daemon/balancer/p2c.ts';
import { backoffMs } from '../../daemon/balancer/retry-backoff.ts';
import { Attempts } from '../../daemon/router/attempts.ts';
import type { Hop } from '../../daemon/router/hop.ts';
import { CLASSIFIER_KINDS, ResponseClassifier } from '../../daemon/router/response-classifier.ts';
import { decideRetry, type FailedAttempt } from '../../daemon/router/retry.ts';
import { DEFAULT_POLICY } from '../../daemon/router/route-policy.ts';

const METHODS = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'POST', 'PATCH', 'CONNECT', 'PROPFIND'];
const NEVER = new ResponseClassifier('io.l5d.http.nonRetryable5XX');
const ALWAYS = new ResponseClassifier('io.l5d.http.retryableAll5XX');

test("classifiers: linkerd's table", () => {
  const table = CLASSIFIER_KINDS.map((kind) => {
    const classifier = new ResponseClassifier(kind);
    return [
      kind,
      METHODS.filter((method) => classifier.mayRetry(method)).join(' '),
      [0, 200, 404, 499, 500, 503].filter((status) => classifier.isFailure(status)).join(' '),
    ];
  });
  assert.deepEqual(table, [
    ['io.l5d.http.nonRetryable5XX', '', '0 500 503'],
    ['io.l5d.http.retryableRead5XX', 'GET HEAD OPTIONS TRACE', '0 500 503'],
    ['io.l5d.http.retryableIdempotent5XX', 'GET HEAD OPTIONS TRACE PUT DELETE', '0 500 503'],
    ['io.l5d.http.retryableAll5XX', 'GET HEAD OPTIONS TRACE PUT DELETE POST PATCH', '0 500 503'],
    ['io.l5d.http.allSuccessful', '', ''],
  ]);
});

describe('whether to try again', () => {
  const failed = (over: Partial<FailedAttempt>): FailedAttempt => ({
    method: 'POST',
    cause: 'upstream_reset',
    untouched: false,
    staleConnection: false,
    unread: false,
    attempts: 1,
    touching: 1,
    replayable: true,
    ...over,
  });
  for (const [what, over, classifier, expected] of [
    ['a refused connection, any method', { cause: 'connect_failed', untouched: true }, NEVER, 'elsewhere'],
    ['a lost connection, POST', {}, NEVER, 'no'],
    ['a lost connection, PUT', { method: 'PUT' }, NEVER, 'elsewhere'],
    ['a lost connection, POST that may be retried', {}, ALWAYS, 'elsewhere'],
    ['a slow attempt, POST', { cause: 'attempt_timeout' }, NEVER, 'no'],
    ['a slow attempt, GET', { cause: 'attempt_timeout', method: 'GET' }, NEVER, 'elsewhere'],
    ['a slow attempt, POST that may be retried', { cause: 'attempt_timeout' }, ALWAYS, 'elsewhere'],
    ['the whole took too long', { cause: 'total_timeout', method: 'GET' }, ALWAYS, 'no'],
    ['a 5xx, GET', { cause: 'failure_answered', method: 'GET' }, NEVER, 'no'],
    ['a 5xx, POST that may be retried', { cause: 'failure_answered' }, ALWAYS, 'elsewhere'],
    ['a body that is not at hand', { cause: 'failure_answered', replayable: false }, ALWAYS, 'no'],
    ['the third that touched', { cause: 'failure_answered', attempts: 3, touching: 3 }, ALWAYS, 'no'],
    ['the fifth', { untouched: true, attempts: 5 }, ALWAYS, 'no'],
    ['an idle connection that was closed, PUT', { method: 'PUT', staleConnection: true, touching: 0 }, NEVER, 'again'],
    ['an idle connection that was closed, POST', { staleConnection: true, touching: 0 }, NEVER, 'no'],
    [
      'the same, POST that the server had not read',
      { staleConnection: true, unread: true, touching: 0 },
      NEVER,
      'again',
    ],
    ['the same, POST that may be retried', { staleConnection: true, touching: 0 }, ALWAYS, 'elsewhere'],
    ['an answer that is not HTTP', { cause: 'bad_response', method: 'GET' }, ALWAYS, 'no'],
  ] as const) {
    test(`${what}: ${expected}`, () => assert.equal(decideRetry(failed(over), classifier), expected));
  }
});

test('waits: constant, and jittered from minMs to three times as much with each retry, up to maxMs', () => {
  assert.equal(
    backoffMs({ kind: 'constant', ms: 7 }, 3, () => 0.9),
    7,
  );
  const jittered = { kind: 'jittered', minMs: 10, maxMs: 50 } as const;
  const at = (retry: number, random: number) => backoffMs(jittered, retry, () => random);
  assert.deepEqual([at(1, 0), at(1, 0.5), at(1, 1), at(2, 1), at(9, 1)], [10, 20, 30, 50, 50]);
});

describe('balancers', () => {
  const member = (over: Partial<Balanced>): Balanced => ({
    queue: () => 0,
    load: () => 1,
    out: false,
    warmth: () => 1,
    takeProbe: () => false,
    ...over,
  });
  const drawFrom = (config: Partial<BalancerConfig>, members: readonly Balanced[]) => {
    const balancer = makeBalancer<Balanced>({ ...DEFAULT_BALANCER, ...config });
    let panics = 0;
    const draw = (excluded: readonly Balanced[] = []) => {
      const onPanic = () => {
        panics += 1;
      };
      const draw = { members, now: 0, random: Math.random, onPanic, excluded: new Set(excluded) };
      const found = balancer(draw);
      return found === undefined ? undefined : members.indexOf(found);
    };
    return { draw, panics: () => panics };
  };

  test('p2c looks at requests under way alone, ewma at latency too', () => {
    const slowAndIdle = member({ queue: () => 0, load: () => 1_000 });
    const fastAndBusy = member({ queue: () => 9, load: () => 1 });
    const p2c = drawFrom({ kind: 'p2c' }, [slowAndIdle, fastAndBusy]);
    const ewma = drawFrom({ kind: 'ewma' }, [slowAndIdle, fastAndBusy]);
    for (let i = 0; i < 20; i += 1) assert.deepEqual([p2c.draw(), ewma.draw()], [0, 1]);
  });

  test('heap: the least of all, chance among equals, past what is out or excluded, but for a probe', () => {
    const queues = (...of: number[]) => of.map((queue) => member({ queue: () => queue }));
    const seen = (of: () => number | undefined) => [...new Set(Array.from({ length: 60 }, of))].sort().join(' ');
    const members = queues(3, 1, 2, 1);
    const { draw } = drawFrom({ kind: 'heap' }, members);
    assert.equal(seen(draw), '1 3');
    assert.equal(draw([members[1], members[3]] as Balanced[]), 2);
    assert.equal(draw(members), undefined);
    const [busy, idle] = queues(5, 0) as [Balanced, Balanced];
    assert.equal(drawFrom({ kind: 'heap' }, [busy, { ...idle, out: true }]).draw(), 0);
    assert.equal(drawFrom({ kind: 'heap' }, [idle, { ...busy, out: true, takeProbe: () => true }]).draw(), 1);
    const all = drawFrom({ kind: 'heap' }, [member({ out: true }), member({ out: true })]);
    assert.notEqual(all.draw(), undefined);
    assert.equal(all.panics(), 1);
    const cold = [member({ warmth: () => 0 }), member({})];
    assert.equal(seen(drawFrom({ kind: 'heap', slowStartMs: 9 }, cold).draw), '1');
    assert.equal(seen(drawFrom({ kind: 'heap', slowStartMs: 9 }, cold.slice(0, 1)).draw), '0');
  });

  test('round robin: in turn, past what is out or excluded, but for a probe', () => {
    const members = [member({}), member({ out: true }), member({}), member({})];
    const { draw } = drawFrom({ kind: 'roundRobin' }, members);
    assert.deepEqual([draw(), draw(), draw(), draw(), draw()], [0, 2, 3, 0, 2]);
    assert.equal(draw([members[3] as Balanced]), 0);
    assert.equal(draw(members), undefined);
    const probed = drawFrom({ kind: 'roundRobin' }, [member({}), member({ out: true, takeProbe: () => true })]);
    assert.deepEqual([probed.draw(), probed.draw()], [0, 1]);
  });

  test('round robin: when all are out, still in turn, and it is told', () => {
    const all = drawFrom({ kind: 'roundRobin' }, [member({ out: true }), member({ out: true })]);
    assert.deepEqual([all.draw(), all.draw(), all.draw()], [0, 1, 0]);
    assert.equal(all.panics(), 3);
  });
});

test('one pod may be too busy for a request, and no second one; a busy one is better than one that is out', () => {
  const [first, second, failing] = [{ out: false }, { out: false }, { out: true }] as Hop[];
  for (const [other, then] of [
    [second, second],
    [failing, first],
    [undefined, first],
  ] as const) {
    const picks = [first, other];
    const route = {
      policy: DEFAULT_POLICY,
      requested: () => {},
      pick: () => picks.shift(),
      withdrawRetry: () => false,
      withdrawRequeue: () => true,
    };
    const attempts = new Attempts('POST', route, true);
    assert.equal(attempts.pick(), first);
    attempts.count = 1;
    assert.equal(attempts.insisting, false);
    assert.equal(attempts.after({ cause: 'endpoint_busy', untouched: true }, true)?.decision, 'elsewhere');
    attempts.exclude(first as Hop);
    assert.equal(attempts.pick(), then);
    assert.equal(attempts.insisting, true);
  }
});

test('what its daemon refuses for a pod that is out costs no retry, is asked elsewhere, and of the fifth none follows', () => {
  const withdrawn: boolean[] = [];
  const route = {
    policy: DEFAULT_POLICY,
    requested: () => {},
    pick: () => ({}) as Hop,
    withdrawRetry: () => withdrawn.push(true) > 0,
    withdrawRequeue: () => true,
  };
  const attempts = new Attempts('POST', route, true);
  const refused = { cause: 'endpoint_out', untouched: true } as const;
  for (const [count, follows] of [
    [1, 'elsewhere'],
    [4, 'elsewhere'],
    [5, undefined],
  ] as const) {
    attempts.count = count;
    assert.equal(attempts.insisting, follows === undefined);
    assert.equal(attempts.after(refused, true)?.decision, follows);
  }
  assert.deepEqual(withdrawn, []);
  attempts.count = 1;
  attempts.after({ cause: 'overloaded', untouched: true }, true);
  assert.deepEqual(withdrawn, [true]);
});
