import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { METRICS_CONTENT_TYPE } from '../../lib/metrics.ts';
import { readLabels } from '../../lib/snapshot-reading.ts';
import { metricValue } from '../support/daemon.ts';
import { TestMesh, type TestPod, until } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';
import { WebhookCluster } from '../support/webhook-cluster.ts';

const PAGE = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
const NODES = { 'node-1': '127.72.1.1', 'node-2': '127.72.2.1' };
const WEBHOOK = '## The webhook';
const COMMON = '## The admin port and watches of the Kubernetes API';

/** The names of the page's tables, and the labels of each, of the sections that `wanted` takes. */
function described(wanted: (heading: string) => boolean): Map<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  for (const section of PAGE.split(/^(?=## )/m)) {
    if (!wanted(section.split('\n')[0] ?? '')) continue;
    for (const [, name = '', labels = ''] of section.matchAll(/^\| `(\w+)` \|([^|]*)\|/gm)) {
      const own = [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label);
      found.set(
        name,
        own.flatMap((label) => found.get(label) ?? [label]),
      );
      if (labels.trim().startsWith('the same')) found.set(name, [...(found.get('request_total') ?? []), ...own]);
    }
  }
  return found;
}

/** What a process exposes is what the page says of it, label by label. */
function matches(text: string, page: ReadonlyMap<string, readonly string[]>): void {
  const exposed = [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name = '']) => name);
  assert.deepEqual(exposed.sort(), [...page.keys()].sort());
  for (const [, series = '', labels = ''] of text.matchAll(/^(\w+)\{(.*)\} /gm)) {
    const said = page.get(series) ?? [...(page.get(series.replace(/_(bucket|sum|count)$/, '')) ?? []), 'le'];
    for (const label of Object.keys(readLabels(labels))) {
      assert.ok(said.includes(label), `${series} has a label ${label} that docs/metrics.md does not name`);
    }
  }
}

describe('what /metrics tells', () => {
  let mesh: TestMesh;
  let caller: TestPod;
  let world: TestPod[];
  const askWorld = () =>
    ask(
      { host: NODES['node-1'], port: mesh.daemon('node-1').port('outgoing'), localAddress: caller.ip },
      'GET http://world/ HTTP/1.1\r\nHost: world',
    );
  const metrics = () => mesh.daemon('node-1').metrics();

  before(async () => {
    mesh = await TestMesh.start(NODES, true, {
      tls: 'required',
      keys: [
        // All that makes names: nothing is sent, and nothing is kept.
        `telemetry:
- {kind: nodemesh.accessLog, path: /dev/null}
- {kind: nodemesh.otlp, endpoint: http://${NODES['node-1']}:1/v1/traces, sampleRate: 0}
- {kind: io.l5d.recentRequests, sampleRate: 1}
- {kind: nodemesh.tap}`,
      ],
      outgoingRouterKeys: ['client: {failureAccrual: {kind: io.l5d.consecutiveFailures, failures: 2}}'],
    });
    caller = await mesh.pod({ namespace: 'shop', name: 'hello', ip: '127.72.1.10', node: 'node-1' });
    const fails = await mesh.pod(
      { namespace: 'shop', name: 'world-1', ip: '127.72.1.21', node: 'node-1' },
      (_, response) => response.writeHead(500).end('no'),
    );
    world = [fails];
    for (const [name, ip, node] of [
      ['world-2', '127.72.1.22', 'node-1'],
      ['world-3', '127.72.2.21', 'node-2'],
    ] as const) {
      world.push(await mesh.pod({ namespace: 'shop', name, ip, node }));
    }
    await mesh.service('shop', 'world', [{ name: 'http', port: 80 }]);
    await mesh.endpoints('shop', 'world', world);
    await until(askWorld, ({ status }) => status === 200);
  });
  after(() => mesh.stop());

  test('of a daemon and of a webhook: each name and label is on the page, and nothing else is', async (t) => {
    matches(
      await metrics(),
      described((heading) =>
        ['## Requests', '## Endpoints and connections', '## The process', COMMON].includes(heading),
      ),
    );
    const cluster = await WebhookCluster.start(t);
    const [replica] = await cluster.serve(1);
    const text = (await replica?.metrics()) ?? '';
    matches(
      text,
      described((heading) => [WEBHOOK, COMMON].includes(heading)),
    );
  });

  test('endpoints by state, and how often they were put out and came back', async () => {
    const state = (text: string, of: string) =>
      metricValue(text, 'endpoint_state', { dst_namespace: 'shop', dst_service: 'world', state: of });
    await until(
      async () => {
        await askWorld();
        return metrics();
      },
      (text) => state(text, 'out') === 1,
    );
    const text = await metrics();
    assert.deepEqual(
      ['ready', 'warming', 'out'].map((of) => state(text, of)),
      [2, 0, 1],
    );
    assert.ok(metricValue(text, 'breaker_transitions_total', { dst_service: 'world', to: 'out' }) >= 1);
  });

  test('connections of pools, idle once nothing is under way; and what callers have sent and got', async () => {
    const { status, wire } = await askWorld().then(({ status, body }) => ({ status, wire: body.length }));
    assert.ok(status === 200 || status === 500);
    const text = await until(metrics, (one) => metricValue(one, 'pool_connections', { state: 'busy' }) === 0);
    for (const side of ['pod', 'peer']) {
      const open = metricValue(text, 'pool_connections', { side, state: 'open' });
      assert.equal(metricValue(text, 'pool_connections', { side, state: 'idle' }), open);
      assert.equal(metricValue(text, 'open_connections', { side }), open);
    }
    const bytes = (one: string, direction: string) => metricValue(one, 'caller_bytes_total', { direction });
    const before = [bytes(text, 'read'), bytes(text, 'written')];
    await askWorld();
    const later = await until(metrics, (one) => bytes(one, 'written') > (before[1] ?? 0));
    assert.ok(bytes(later, 'read') >= (before[0] ?? 0) + 'GET http://world/ HTTP/1.1\r\nHost: world\r\n\r\n'.length);
    assert.ok(wire > 0);
  });

  test('comes as Prometheus asks for it', async () => {
    const { ip, port } = mesh.daemon('node-1').admin;
    const answer = await fetch(`http://${ip}:${port}/metrics`);
    assert.equal(answer.headers.get('content-type'), METRICS_CONTENT_TYPE);
    const text = await answer.text();
    for (const line of text.trimEnd().split('\n')) {
      assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="([^"\\\n]|\\.)*",?)+\})? \S+)$/);
    }
  });
});
