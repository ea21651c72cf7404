import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEvents } from '../../cli/cluster/event-stream.ts';
import { inParallel } from '../../cli/cluster/in-parallel.ts';
import { ViewerToken } from '../../cli/cluster/viewer-token.ts';
import { CommandError } from '../../cli/host.ts';
import { refusalOf } from '../../cli/telemetry/dashboard-server.ts';
import { endpointLines } from '../../cli/telemetry/endpoints-table.ts';
import { resolutionLines } from '../../cli/telemetry/resolution-text.ts';
import { type StatQuestion, statRows } from '../../cli/telemetry/stat-rows.ts';
import { TapLines } from '../../cli/telemetry/tap-lines.ts';
import { paintOf } from '../../cli/view/colours.ts';
import { type Column, tableLines } from '../../cli/view/table.ts';
import { clean, duration, jsonText, percent, rate, sparkline, timeLeft } from '../../cli/view/text.ts';
import type { EndpointsView, Resolution } from '../../lib/explain.ts';
import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { counts, edge, nodeStats, pod } from '../support/admin-mesh.ts';

const plain = (text: string) => text;
const terminal = { columns: 80, rows: 24, keys: () => () => {} };

test('text: control characters, and those that hide or turn text, are escaped', () => {
  assert.equal(clean('a\x1b]0;owned\x07b\r\n\x9b31m\x7f'), 'a\\x1b]0;owned\\x07b\\x0d\\x0a\\x9b31m\\x7f');
  assert.equal(clean('a\u202eb\u200bc\ufeffd\u2028e\ud800'), 'a\\u{202e}b\\u{200b}c\\u{feff}d\\u{2028}e\\u{d800}');
  assert.equal(clean('/straße/世界?a=😀'), '/straße/世界?a=😀');
  const value = { uri: '/\x1b[2J\x9b\x7f\u202e\u{e0001}', '\x9bkey': 1 };
  assert.match(jsonText(value), /^[\x20-\x7e]*$/);
  assert.deepEqual(JSON.parse(jsonText(value)), value);
});

test('text: numbers say no more than is known', () => {
  assert.deepEqual([1, 0.99999, 0.95, 0.29, 0, null].map(percent), [
    '100.00%',
    '99.99%',
    '95.00%',
    '29.00%',
    '0.00%',
    '-',
  ]);
  assert.deepEqual([0, 0.001, 0.25, 12.34, 1_340.4].map(rate), ['0', '<0.01', '0.25', '12.3', '1340']);
  assert.deepEqual([null, 0.42, 9.96, 123.4, 999.6, 1_204, 12_345].map(duration), [
    '-',
    '0.4ms',
    '10ms',
    '123ms',
    '1.00s',
    '1.20s',
    '12.3s',
  ]);
  assert.deepEqual(
    [null, 0, 90_000, 7_200_000, 400_000_000].map((until) => timeLeft(until, 1_000)),
    ['-', 'expired', '1min', '1h', '4d'],
  );
  assert.equal(sparkline([0, 1, 2, 4]), '▁▃▅█');
  assert.equal(sparkline([0, 0]), '');
});

const COLUMNS: readonly Column<readonly [string, string]>[] = [
  { title: 'NAME', shrinks: true, text: ([name]) => name },
  { title: 'RPS', right: true, text: ([, rps]) => rps, colour: () => 'red' },
];

test('table: columns are aligned, and names give way to a narrow terminal', () => {
  const rows = [['web', '1'] as const, ['a-very-long-workload-name', '1000'] as const];
  assert.deepEqual(tableLines(COLUMNS, rows, undefined, plain), [
    'NAME                        RPS',
    'web                           1',
    'a-very-long-workload-name  1000',
  ]);
  assert.deepEqual(tableLines(COLUMNS, rows, 20, plain), [
    'NAME             RPS',
    'web                1',
    'a-very-long-w…  1000',
  ]);
  for (const width of [1, 5, 12]) {
    for (const line of tableLines(COLUMNS, rows, width, plain))
      assert.ok([...line].length <= width, `${width}: ${line}`);
  }
  const [, hostile = ''] = tableLines(COLUMNS, [['a\x1b[2Jb', '1']], undefined, plain);
  assert.equal(hostile, 'a\\x1b[2Jb    1');
});

test('colours: on a terminal alone, and not against NO_COLOR or on a dumb one', () => {
  const [, line = ''] = tableLines(COLUMNS, [['web', '1']], undefined, paintOf({ terminal, env: {} }));
  assert.equal(line, 'web   \x1b[31m  1\x1b[39m');
  assert.equal(paintOf({ terminal: undefined, env: {} })('x', 'red'), 'x');
  assert.equal(paintOf({ terminal, env: { NO_COLOR: '1' } })('x', 'red'), 'x');
  assert.equal(paintOf({ terminal, env: { TERM: 'dumb' } })('x', 'red'), 'x');
});

const STATS = [
  nodeStats('node-1', [
    edge('shop/web', 'shop/world', counts(60, 6, 3)),
    edge('shop/cart', 'shop/world', counts(60)),
    edge('/', 'pay/bank', counts(6)),
  ]),
  nodeStats(
    'node-2',
    [edge('shop/web', 'shop/world', counts(60)), edge('shop/web', 'shop/idle', counts(0))],
    [pod('shop/world-1', 'world', counts(120)), pod('shop/world-2', 'world', counts(60, 6))],
  ),
];
const QUESTION: StatQuestion = { kind: 'services', namespace: undefined, from: undefined, to: undefined, sort: 'name' };
const ask = (question: Partial<StatQuestion>) =>
  statRows(STATS, { ...QUESTION, ...question }).map(({ namespace, name, target, requests, success_rate }) =>
    [
      `${namespace}/${name}`,
      ...(target === undefined ? [] : [`${target.namespace}/${target.name}`]),
      requests,
      success_rate,
    ].join(' '),
  );

test('stat: counts of all nodes are added up by what is asked for', () => {
  assert.deepEqual(ask({}), ['pay/bank 6 1', 'shop/idle 0 ', `shop/world 180 ${174 / 180}`]);
  assert.deepEqual(ask({ sort: 'rps' }), [`shop/world 180 ${174 / 180}`, 'pay/bank 6 1', 'shop/idle 0 ']);
  assert.deepEqual(ask({ sort: 'success' }), [`shop/world 180 ${174 / 180}`, 'pay/bank 6 1', 'shop/idle 0 ']);
  assert.deepEqual(ask({ namespace: 'pay' }), ['pay/bank 6 1']);
  assert.deepEqual(ask({ from: 'shop/cart' }), ['shop/world 60 1']);
  assert.deepEqual(ask({ kind: 'workloads' }), [`shop/world 180 ${174 / 180}`]);
  assert.deepEqual(ask({ kind: 'workloads', to: 'world' }), ['shop/cart 60 1', 'shop/web 120 0.95']);
  assert.deepEqual(ask({ kind: 'pods' }), ['shop/world-1 120 1', 'shop/world-2 60 0.9']);
  assert.deepEqual(ask({ kind: 'nodes' }), [`/node-1 126 ${120 / 126}`, '/node-2 60 1']);
  assert.deepEqual(ask({ kind: 'edges', to: 'bank' }), ['/ pay/bank 6 1']);
  const [world] = statRows(STATS, { ...QUESTION, to: 'shop/world' });
  assert.deepEqual([world?.rps, world?.retries_per_second, world?.p50_ms], [3, 0.05, 5]);
});

test('stat: five hundred services of a hundred nodes are added up as they are', () => {
  const many = Array.from({ length: 100 }, (_, n) =>
    nodeStats(
      `node-${n}`,
      Array.from({ length: 500 }, (_, s) => edge('shop/web', `shop/s${s}`, counts(1))),
    ),
  );
  const rows = statRows(many, QUESTION);
  assert.equal(rows.length, 500);
  assert.ok(rows.every(({ requests }) => requests === 100));
});

const RECORD = {
  timestamp: '2026-01-02T03:04:05.678Z',
  direction: 'outgoing',
  src_namespace: 'shop',
  src_workload: 'web',
  dst_namespace: 'shop',
  dst_service: 'world',
  method: 'GET',
  host: 'world',
  uri: '/api?…',
  status: 503,
  error: 'no_endpoint',
  total_ms: 1.25,
};

test('tap: a line a request, cut at the edge, and nothing in it commands the terminal', () => {
  const lines = new TapLines(false, plain);
  assert.deepEqual(lines.add(RECORD, undefined), [
    'TIME          SIDE  STATUS            TOOK  FROM      TO          REQUEST',
    '03:04:05.678  out   503 no_endpoint  1.3ms  shop/web  shop/world  GET world/api?…',
  ]);
  const [narrow = '', ...none] = lines.add({ ...RECORD, uri: `/${'x'.repeat(200)}` }, 90);
  assert.deepEqual([[...narrow].length, narrow.endsWith('…'), none], [90, true, []]);
  const hostile = Object.fromEntries(Object.keys(RECORD).map((key) => [key, '\x1b]52;c;x\x07\u202e']));
  const fields = { request_headers: { '\x1b[1mx': ['\x9b2J'] }, retries: ['\x1b'] };
  const shown = new TapLines(true, plain).add({ ...hostile, ...fields }, undefined).join('');
  assert.doesNotMatch(shown, /[\x00-\x1f\x7f-\x9f\u202e]/);
  for (const strange of [{}, { status: 'x', total_ms: 'y', retries: 3, request_headers: null, timestamp: 5 }]) {
    assert.equal(new TapLines(true, plain).add(strange, 80).length, 2);
  }
});

test('event streams: names, several lines of data, comments and unknown fields', async () => {
  const lines = [
    ': hello',
    'event: request',
    'data: {"a":',
    'data:1}',
    '',
    'data',
    'id: 4',
    '',
    'event: x',
    '',
    'data: rest\r',
    '\r',
  ];
  const events = await Array.fromAsync(
    readEvents(
      (async function* () {
        yield* lines;
      })(),
    ),
  );
  assert.deepEqual(events, [
    { event: 'request', data: '{"a":\n1}' },
    { event: 'message', data: '' },
    { event: 'message', data: 'rest' },
  ]);
});

test('in parallel: no more at once than are let, and results in order', async () => {
  let running = 0;
  let most = 0;
  const results = await inParallel(16, [...Array(100).keys()], async (n) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    return n * 2;
  });
  assert.equal(most, 16);
  assert.deepEqual(
    results,
    [...Array(100).keys()].map((n) => n * 2),
  );
});

test('token: made once, again before it ends, and its refusal says what to ask for', async () => {
  let asked = 0;
  let now = 0;
  const api = (request: () => unknown) => ({ request: async () => request() }) as unknown as KubernetesApi;
  const token = new ViewerToken(
    api(() => ({ status: { token: `t${++asked}` } })),
    () => now,
  );
  const shown = async () => (await token.headers())['nodemesh-authorization'];
  assert.deepEqual([await shown(), await shown()], ['Bearer t1', 'Bearer t1']);
  now = 3_100_000;
  assert.equal(await shown(), 'Bearer t2');
  const refused = (status: number) => {
    const fail = () => {
      throw new KubernetesError(status, '', 'no');
    };
    return new ViewerToken(api(fail), () => 0).headers();
  };
  await assert.rejects(refused(403), (error: unknown) => {
    assert.ok(error instanceof CommandError);
    assert.match(error.message, /you may not ask the daemons[\s\S]*serviceaccounts\/token[\s\S]*pods\/proxy/);
    return true;
  });
  await assert.rejects(refused(404), /not installed, or is older/);
});

const HOST = { host: 'localhost:8084' };
const REFUSALS: readonly [string, Record<string, string>, number | undefined][] = [
  ['GET', HOST, undefined],
  ['HEAD', { host: '127.0.0.1:8084' }, undefined],
  ['GET', { ...HOST, origin: 'http://localhost:8084', 'sec-fetch-site': 'same-origin' }, undefined],
  ['GET', { ...HOST, 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' }, undefined],
  [
    'GET',
    { ...HOST, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    undefined,
  ],
  ['GET', { ...HOST, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }, 403],
  ['GET', { ...HOST, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }, 403],
  ['GET', { ...HOST, 'sec-fetch-site': 'same-site' }, 403],
  ['GET', { ...HOST, origin: 'http://localhost:9000' }, 403],
  ['GET', { ...HOST, origin: 'null' }, 403],
  ['GET', { host: 'evil.example:8084' }, 421],
  ['GET', { host: 'localhost' }, 421],
  ['GET', {}, 421],
  ['POST', HOST, 405],
];

for (const [method, headers, status] of REFUSALS) {
  test(`dashboard: ${method} ${JSON.stringify(headers)} is ${status ?? 'passed on'}`, () => {
    assert.equal(refusalOf(method, headers, 8084)?.[0], status);
  });
}

const ENDPOINT = {
  pod: 'shop/world-1',
  node: 'node-2',
  zone: null,
  ready: true,
  load: 1,
  latencyMs: 2,
  inFlight: 0,
  out: false,
  policy: { verdict: 'allowed', by: 'none' },
} as const;
const RESOLUTION: Resolution = {
  node: 'node-1',
  at: 0,
  thread: '0 of 1',
  asked: { host: 'world', from: 'shop/web-1', method: 'GET', path: '/' },
  caller: {
    ip: '10.1.0.1',
    namespace: 'shop',
    pod: 'web-1',
    workload: 'web',
    node: 'node-1',
    known: true,
    why: 'by its address',
  },
  steps: [
    { step: 'identifier', title: 'Host world', detail: '/svc/world\nfrom the caller', ok: true },
    { step: 'policy', title: 'MeshPolicy', detail: '', ok: false },
  ],
  name: '/svc/world',
  service: { namespace: 'shop', name: 'world', port: 'http' },
  binding: null,
  endpoints: [
    { ...ENDPOINT, address: '10.1.0.2:80', gateway: '10.0.0.2:4141', weight: 0.25, dropped: null },
    { ...ENDPOINT, address: '10.1.0.3:80', gateway: null, weight: 0.75, dropped: null },
    {
      ...ENDPOINT,
      address: '10.1.0.4:80',
      gateway: null,
      weight: null,
      dropped: 'not ready\x1b[2J',
      policy: { verdict: 'denied', by: 'NetworkPolicy shop/deny' },
    },
  ],
  outcome: { ok: false, error: 'policy_denied', text: 'one would be refused' },
};

test('resolve: the way from caller to pods as a drawing', () => {
  assert.deepEqual(resolutionLines(RESOLUTION, undefined, plain), [
    'shop/web-1 (web) on node-1, as node-1 sees it: by its address',
    '│ GET http://world/',
    '├─ identifier Host world: /svc/world',
    '│    from the caller',
    '✗─ policy MeshPolicy',
    '│',
    '▼ /svc/world = shop/world:http',
    '  SHARE  ENDPOINT     POD           NODE    THROUGH        LATENCY  IN FLIGHT  POLICY                             WHY NOT',
    '  75.0%  10.1.0.3:80  shop/world-1  node-2  straight         2.0ms          0  allowed',
    '  25.0%  10.1.0.2:80  shop/world-1  node-2  10.0.0.2:4141    2.0ms          0  allowed',
    '      -  10.1.0.4:80  shop/world-1  node-2  straight         2.0ms          0  denied by NetworkPolicy shop/deny  not ready\\x1b[2J',
    '',
    '✗ policy_denied: one would be refused',
  ]);
  for (const line of resolutionLines(RESOLUTION, 60, plain).slice(7, 11)) assert.ok([...line].length <= 60, line);
});

const ENDPOINTS: EndpointsView = {
  node: 'node-1',
  at: 0,
  thread: '0 of 1',
  watches: [
    { resource: 'services', synced: true, objects: 2, resourceVersion: '5', lastEventAgeMs: 5, failure: null },
    {
      resource: 'endpointslices',
      synced: true,
      objects: 2,
      resourceVersion: '5',
      lastEventAgeMs: 5,
      failure: 'refused',
    },
  ],
  services: [
    {
      namespace: 'shop',
      name: 'world',
      ports: [
        {
          name: 'http',
          port: 80,
          endpoints: [
            { address: '10.1.0.2:80', pod: 'shop/world-1', node: 'node-2', zone: null, ready: true, dropped: null },
            { address: '10.1.0.3:80', pod: 'shop/world-2', node: 'node-2', zone: null, ready: true, dropped: null },
            { address: '10.1.0.4:80', pod: null, node: null, zone: null, ready: false, dropped: 'not ready' },
          ],
        },
      ],
      balancers: [
        {
          router: 'outgoing',
          binding: 'b',
          endpoints: [
            { address: '10.1.0.2:80', gateway: null, load: 1, latencyMs: 2, inFlight: 3, out: false, outForMs: 0 },
            { address: '10.1.0.3:80', gateway: null, load: 1, latencyMs: 2, inFlight: 0, out: true, outForMs: 1_500 },
          ],
        },
      ],
    },
    { namespace: 'shop', name: 'idle', ports: [{ name: '', port: 80, endpoints: [] }], balancers: [] },
  ],
};

test('endpoints: what is published beside what the balancer knows, and what is not heard of', () => {
  assert.deepEqual(endpointLines(ENDPOINTS, undefined, plain), [
    'SERVICE     PORT     ENDPOINT     POD           NODE    STATE      LATENCY  IN FLIGHT  WHY',
    'shop/world  http 80  10.1.0.2:80  shop/world-1  node-2  ready        2.0ms          3',
    'shop/world  http 80  10.1.0.3:80  shop/world-2  node-2  out          2.0ms          0  failed; tried again in 1.50s',
    'shop/world  http 80  10.1.0.4:80  -             -       not ready        -          -  not ready',
    'shop/idle   80       -            -             -       none             -          -  no endpoint',
    'node-1 hears of no change of endpointslices: refused',
  ]);
});
