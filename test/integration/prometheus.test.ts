import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { readManifest } from '../../scripts/playground/manifests.ts';
import { CountingClient } from '../support/counting-client.ts';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, until } from '../support/mesh.ts';
import { NO_PROMETHEUS, Prometheus } from '../support/prometheus.ts';
import { ask } from '../support/raw-http.ts';

const NODES = { 'node-1': '127.96.1.1', 'node-2': '127.96.2.1' };
type Node = keyof typeof NODES;
const CALLERS = { 'node-1': '127.96.1.10', 'node-2': '127.96.2.10' };
/** Of each caller; one in ten fails, three in a hundred wait. */
const REQUESTS = 300;
const SLOW_MS = 300;
const SERVICE = '{job="nodemesh-daemon",router="outgoing",dst_namespace="shop",dst_service="world"';

const manifest = (path: string) => new URL(`../../manifests/${path}`, import.meta.url);

describe('what Prometheus makes of two daemons', { skip: NO_PROMETHEUS }, () => {
  let mesh: TestMesh;
  let prometheus: Prometheus;
  /** What the callers got. */
  const latencies: number[] = [];
  let failures = 0;
  /** Of somebody who may read metrics. */
  let token = '';

  before(async () => {
    mesh = await TestMesh.start(NODES, true, {
      access: 'metrics: token, diagnostics: open, tap: open',
      before: async ({ kubernetes }) => {
        const access = readManifest(manifest('base/access.yaml').pathname);
        for (const object of access) await kubernetes.apply(object as Parameters<typeof kubernetes.apply>[0]);
      },
    });
    for (const [node, ip] of Object.entries(CALLERS))
      await mesh.pod({ namespace: 'shop', name: `c-${node}`, ip, node });
    const world = await mesh.pod(
      { namespace: 'shop', name: 'world', ip: '127.96.2.11', node: 'node-2' },
      (request, response) => {
        const answer = () => response.writeHead(request.url === '/fail' ? 503 : 200, { 'content-length': 0 }).end();
        if (request.url === '/slow') void setTimeout(SLOW_MS).then(answer);
        else answer();
      },
    );
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', [world]);
    for (const node of ['node-1', 'node-2'] as const) {
      await until(
        () =>
          ask(
            { host: NODES[node], port: mesh.daemon(node).port('outgoing'), localAddress: CALLERS[node] },
            'GET http://world/none HTTP/1.1\r\nHost: x',
          ),
        ({ status }) => status === 200,
      );
    }
    prometheus = await Prometheus.start(await files());
  });
  after(async () => {
    await prometheus?.stop();
    await mesh?.stop();
  });

  async function files(): Promise<Record<string, string>> {
    const targets = [...mesh.daemons.values()].map(({ admin }) => `${admin.ip}:${admin.port}`);
    const viewer = '/api/v1/namespaces/nodemesh/serviceaccounts/nodemesh-viewer/token';
    const made = await fetch(`${mesh.kubernetes.url}${viewer}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} }),
    });
    token = ((await made.json()) as { status: { token: string } }).status.token;
    const { groups } = parse(readFileSync(manifest('monitoring/daemon-rules.yaml'), 'utf8')).spec;
    const job = (job_name: string, more: object = {}) => ({ job_name, static_configs: [{ targets }], ...more });
    return {
      token,
      'rules.yml': stringify({ groups }),
      'prometheus.yml': stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: ['rules.yml'],
        scrape_configs: [
          job('nodemesh-daemon', { authorization: { credentials_file: 'token' } }),
          job('without-token'),
        ],
      }),
    };
  }

  /** Answers of the Service that its callers had, by the daemons' own word. */
  async function counted(labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const texts = [...mesh.daemons.values()].map(async ({ admin }) => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`http://${admin.ip}:${admin.port}/metrics`, { headers })).text();
    });
    const of = { router: 'outgoing', dst_namespace: 'shop', dst_service: 'world', ...labels };
    return metricValue((await Promise.all(texts)).join('\n'), 'response_total', of);
  }

  async function load(node: Node): Promise<void> {
    const to = { host: NODES[node], port: mesh.daemon(node).port('outgoing'), localAddress: CALLERS[node] };
    const client = new CountingClient(to);
    for (let i = 0; i < REQUESTS; i += 1) {
      const path = i % 10 === 0 ? '/fail' : i % 33 === 1 ? '/slow' : '/';
      const begun = performance.now();
      const status = await client.ask(`GET http://world${path} HTTP/1.1\r\nHost: world`);
      latencies.push(performance.now() - begun);
      if (status !== 200) failures += 1;
    }
    client.close();
  }

  test('a scrape wants a token where the config says so, and has one', async () => {
    assert.equal(
      await until(
        () => prometheus.value('sum(up{job="nodemesh-daemon"})'),
        (up) => up === 2,
      ),
      2,
    );
    assert.equal(
      await until(
        () => prometheus.value('sum(up{job="without-token"})'),
        (up) => up !== undefined,
      ),
      0,
    );
  });

  test('success rate and p99 of a Service are those that its callers had', async () => {
    const earlier = await counted(); // while the daemons got to know the pod
    const earlierFailures = await counted({ classification: 'failure' });
    // The first one of each kind makes its series, so that what follows is an increase.
    await load('node-1');
    await Promise.all([load('node-1'), load('node-2')]);
    const total = earlier + latencies.length;
    await until(
      () => prometheus.value(`sum(response_total${SERVICE}})`),
      (value) => value === total,
    );
    assert.equal(failures, latencies.length / 10);
    failures += earlierFailures;
    assert.equal(await prometheus.value(`sum(response_total${SERVICE},classification="failure"})`), failures);
    const success = await prometheus.value(
      `sum(response_total${SERVICE},classification="success"}) / sum(response_total${SERVICE}})`,
    );
    assert.ok(Math.abs((success ?? 0) - (1 - failures / total)) < 1e-9);

    latencies.sort((a, b) => a - b);
    const truth = latencies[Math.ceil(latencies.length * 0.99) - 1] ?? 0;
    const p99 = await prometheus.value(`histogram_quantile(0.99, sum by (le) (response_latency_ms_bucket${SERVICE}}))`);
    const series = await prometheus.query(`sum by (le) (response_latency_ms_bucket${SERVICE}})`);
    const bounds = series.map(({ metric }) => Number(metric.le?.replace('+Inf', 'Infinity'))).sort((a, b) => a - b);
    const upper = bounds.find((bound) => bound >= truth) ?? Number.NaN;
    const lower = bounds[bounds.indexOf(upper) - 1] ?? 0;
    assert.ok(
      p99 !== undefined && p99 > lower && p99 <= upper,
      `p99 ${p99} is not in (${lower}, ${upper}] of ${truth}`,
    );
  });

  test("the manifests' rules record the same failures", async () => {
    const ratio = await until(
      () => prometheus.value('nodemesh:failure_ratio:rate5m{dst_service="world"}'),
      (value) => value !== undefined && value > 0,
    );
    // A rate is extrapolated from what the scrapes of five minutes have seen.
    assert.ok(Math.abs((ratio ?? 0) - 0.1) < 0.04, `${ratio}`);
    assert.deepEqual(await prometheus.query('ALERTS{alertstate="firing"}'), []);
  });

  test('the daemons count whatever the alerts and the dashboard ask for', async () => {
    const { groups } = parse(readFileSync(manifest('monitoring/daemon-rules.yaml'), 'utf8')).spec;
    const rules = groups.flatMap((group: { rules: object[] }) => group.rules);
    const { panels } = JSON.parse(readFileSync(manifest('monitoring/daemon-dashboard.json'), 'utf8'));
    const targets = panels.flatMap(({ targets = [] }: { targets?: object[] }) => targets);
    const asked = new Set<string>(
      [...rules, ...targets].flatMap(({ expr }: { expr: string }) =>
        [...expr.matchAll(/(?<![:\w])([a-z_]+)\{/g)].map(([, name = '']) => name),
      ),
    );
    assert.ok(asked.size > 20);
    const families = new Set<string>();
    for (const name of await prometheus.query('group by (__name__) ({job="nodemesh-daemon"})')) {
      families.add(name.metric.__name__ ?? '');
    }
    const silent = [...asked].filter((name) => !families.has(name) && !NEEDS_AN_EVENT.has(name));
    assert.deepEqual(silent, []);
  });
});

/** Counted with labels, which are there from the first event on, or only where the config asks for it. */
const NEEDS_AN_EVENT: ReadonlySet<string> = new Set([
  'breaker_transitions_total',
  'direct_request_total',
  'identity_expiry_seconds',
  'panic_total',
  'policy_denied_total',
  'rejected_total',
  'retry_total',
  'series_evicted_total',
  'tls_files_loaded_total',
  'tls_refused_total',
  'trace_spans_total',
]);
