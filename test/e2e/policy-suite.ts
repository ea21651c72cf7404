import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { flowsOf, POLICY_CASES, PORTS, type PodName } from '../support/policy-cases.ts';
import type { Cluster } from './cluster.ts';
import { eventually, kubectl } from './kubectl.ts';
import { type Asked, namespaceOf, PolicyPods, placeOf } from './policy-pods.ts';

/** A change of a policy holds after this long. */
const BOUND_MS = 2_000;
const START_MS = 30_000;

/** NetworkPolicies by their definition, and MeshPolicies, for what goes through the mesh. */
export function policySuite(cluster: Cluster): void {
  const skip = cluster.seesCallers ? false : 'a hostPort hides who calls: policies are not enforced';
  describe('policies', { skip }, () => {
    let pods: PolicyPods;
    before(async () => {
      pods = await PolicyPods.start(cluster);
      const all = POLICY_CASES.flatMap((one) => flowsOf(one)).map(({ source, destination, port }) =>
        get(source, destination, port),
      );
      await becomes(
        pods,
        all,
        all.map(() => ALLOWED),
        START_MS,
      );
    });
    after(() => pods?.stop());

    for (const one of POLICY_CASES) {
      it(one.name, async (test) => {
        const items = one.policies.map((make) => {
          const { namespace, name, spec } = make(pods.ips);
          const metadata = { namespace: namespaceOf(namespace), name };
          return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
        });
        if (JSON.stringify(items).includes('"endPort"') && !(await knowsEndPort())) {
          test.skip('this Kubernetes knows no endPort (since 1.22)');
          return;
        }
        const flows = flowsOf(one);
        const requests = flows.map(({ source, destination, port }) => get(source, destination, port));
        const expected = flows.map(({ allowed }) => (allowed ? ALLOWED : DENIED));
        await withObjects(items, async () => {
          await becomes(pods, requests, expected);
          assert.deepEqual(await outcomes(pods, requests), expected, 'and stays so');
        });
        await becomes(
          pods,
          requests,
          requests.map(() => ALLOWED),
        );
      });
    }

    it('a MeshPolicy allows the methods and paths that it names, of the callers that it names', async () => {
      const { namespace } = placeOf('y/a');
      const from = [{ namespaces: [namespaceOf('x')], podSelector: { matchLabels: { app: 'a' } } }];
      const rules = [{ from, methods: ['GET'], paths: [{ prefix: '/api' }] }];
      const metadata = { namespace, name: 'api' };
      const policy = {
        apiVersion: 'nodemesh.dev/v1alpha1',
        kind: 'MeshPolicy',
        metadata,
        spec: { services: ['a'], rules },
      };
      const ask = (source: PodName, method: string, path: string): Asked => ({
        ...get(source, 'y/a', PORTS.http, path),
        method,
      });
      const requests = [
        ask('x/a', 'GET', '/api/v1'),
        ask('x/a', 'POST', '/api/v1'),
        ask('x/a', 'GET', '/admin'),
        ask('x/a', 'GET', '/api/%2e%2e/admin'),
        ask('x/b', 'GET', '/api/v1'),
        ask('y/b', 'GET', '/api/v1'),
        get('x/b', 'y/b', PORTS.http),
      ];
      const expected = [ALLOWED, DENIED, DENIED, DENIED, DENIED, DENIED, ALLOWED];
      await withObjects([policy], () => becomes(pods, requests, expected));
      await becomes(
        pods,
        requests,
        requests.map(() => ALLOWED),
      );
    });
  });
}

const ALLOWED = 'allowed';
const DENIED = '403 policy_denied';

function get(source: PodName, destination: PodName, port: number, path = '/'): Asked {
  const { namespace, name } = placeOf(destination);
  return { source, destination, method: 'GET', url: `http://${name}.${namespace}:${port}${path}` };
}

async function knowsEndPort(): Promise<boolean> {
  const explained = kubectl(['explain', 'networkpolicies.spec.ingress.ports.endPort']);
  return explained.then(
    () => true,
    () => false,
  );
}

/** Runs something while objects are there. */
async function withObjects(items: readonly object[], run: () => Promise<void>): Promise<void> {
  const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await kubectl(['apply', '-f', '-'], list);
  try {
    await run();
  } finally {
    await kubectl(['delete', '--wait=false', '--ignore-not-found', '-f', '-'], list);
  }
}

/** What came of each request. */
async function outcomes(pods: PolicyPods, requests: readonly Asked[]): Promise<string[]> {
  const answers = await pods.ask(requests);
  return answers.map(([status, text], i) =>
    status === 200 && text === requests[i]?.destination ? ALLOWED : `${status} ${text}`,
  );
}

/** Asks until all outcomes are as expected. Fails with those that are not. */
async function becomes(
  pods: PolicyPods,
  requests: readonly Asked[],
  expected: readonly string[],
  timeoutMs = BOUND_MS,
): Promise<void> {
  let found: string[] = [];
  try {
    await eventually('the verdicts', timeoutMs, async () => {
      found = await outcomes(pods, requests);
      return found.every((outcome, i) => outcome === expected[i]) ? true : undefined;
    });
  } catch {
    const wrong = requests.flatMap(({ source, method, url }, i) =>
      found[i] === expected[i] ? [] : [`${source} ${method} ${url}: ${found[i]}, not ${expected[i]}`],
    );
    assert.fail(`not within ${timeoutMs / 1000} s:\n${wrong.join('\n')}`);
  }
}
