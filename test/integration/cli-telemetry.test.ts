import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { type TestContext, test } from 'node:test';
import type { Host, Terminal } from '../../cli/host.ts';
import { type AdminRoute, formatEvent } from '../../lib/admin-server.ts';
import { AdminMesh, counts, edge, gives, nodeStats, pod } from '../support/admin-mesh.ts';

const TWO_NODES = {
  'node-1': [gives('/stats', nodeStats('node-1', [edge('shop/web', 'shop/world', counts(60, 6))]))],
  'node-2': [
    gives(
      '/stats',
      nodeStats('node-2', [edge('shop/web', 'pay/bank', counts(600))], [pod('shop/world-1', 'world', counts(60))]),
    ),
  ],
};

async function meshOf(t: TestContext, nodes: Readonly<Record<string, readonly AdminRoute[] | undefined>>) {
  const mesh = await AdminMesh.start(t);
  for (const [node, routes] of Object.entries(nodes)) await mesh.pod('daemon', node, routes);
  return mesh;
}

test('stat: the nodes together, with a token that the daemons believe', async (t) => {
  const mesh = await meshOf(t, TWO_NODES);
  assert.deepEqual(await mesh.nodemesh(['stat']), {
    status: 0,
    err: '',
    out: [
      'NAMESPACE  SERVICE  SUCCESS   RPS    P50    P95    P99  RETRIES',
      'pay        bank     100.00%  10.0  5.0ms  9.5ms  9.9ms        0',
      'shop       world     90.00%  1.00  5.0ms  9.5ms  9.9ms        0',
      '',
    ].join('\n'),
  });
  const { out } = await mesh.nodemesh(['stat', 'pods', '-o', 'json']);
  const { rows, unreachable, window_ms } = JSON.parse(out);
  assert.deepEqual(
    [rows.length, rows[0].name, rows[0].node, unreachable, window_ms],
    [1, 'world-1', 'node-2', [], 60_000],
  );
});

test('stat: nodes that do not answer are named, and the others told', async (t) => {
  const mesh = await meshOf(t, {
    ...TWO_NODES,
    'node-3': undefined,
    'node-4': [gives('/other', {})],
    'node-5': [gives('/stats', {})],
  });
  const { status, out, err } = await mesh.nodemesh(['stat']);
  assert.equal(status, 2);
  assert.match(out, /^pay +bank/m);
  assert.match(err, /^node-3: pod nodemesh\/daemon-node-3 on node node-3 is not ready: .*ECONNREFUSED/m);
  assert.match(err, /^node-4: .* knows no \/stats: it is older than this command/m);
  assert.match(err, /^node-5: its \/stats are of another version/m);
  const json = await mesh.nodemesh(['stat', '-o', 'json']);
  assert.deepEqual([json.status, json.err, JSON.parse(json.out).unreachable.length], [2, '', 3]);
});

test('stat: refusals of the API server and of daemons say what to ask for', async (t) => {
  const mesh = await meshOf(t, TWO_NODES);
  mesh.kubernetes.denied.add('get pods/proxy');
  const denied = await mesh.nodemesh(['stat']);
  assert.equal(denied.status, 1);
  assert.match(denied.out, /^no daemon answered$/m);
  assert.match(denied.err, /^node-1: you may not reach pods .*ask for the rule \{.*pods\/proxy.*get\]\}/m);
  mesh.kubernetes.denied.clear();
  await mesh.kubernetes.remove('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/nodemesh-viewer');
  assert.match((await mesh.nodemesh(['stat'])).err, /^node-1: .* answered \/stats with 403: .*nodemesh-viewer/m);
  await mesh.kubernetes.remove('/api/v1/namespaces/nodemesh/serviceaccounts/nodemesh-viewer');
  assert.match((await mesh.nodemesh(['stat'])).err, /^there is no ServiceAccount nodemesh\/nodemesh-viewer/);
});

test('stat: without daemons, and calls that it does not take', async (t) => {
  const mesh = await AdminMesh.start(t);
  assert.match((await mesh.nodemesh(['stat'])).err, /^no daemon runs in namespace nodemesh/);
  const wrong = [
    ['stat', 'routes'],
    ['stat', '--window', '1h'],
    ['stat', '-A', '-n', 'x'],
    ['stat', 'pods', '--to', 'x'],
    ['tap', 'x'],
    ['tap', 'svc/a', '--to', 'b'],
    ['resolve'],
    ['resolve', 'a', '--from', 'web'],
    ['endpoints', 'a/b/c'],
    ['dashboard', '--port', 'x'],
  ];
  for (const argv of wrong) {
    const { status, err } = await mesh.nodemesh(argv);
    assert.equal(status, 1, argv.join(' '));
    assert.match(err, new RegExp(`^nodemesh: .*\\nnodemesh help ${argv[0]} shows`), argv.join(' '));
  }
});

/** A terminal on which a key is pressed once so many frames were shown. */
function screen(
  frames: number,
  key: () => void,
): { terminal: Terminal; pressed: { take?: (key: string) => void }; pause: Host['pause'] } {
  const pressed: { take?: (key: string) => void } = {};
  let shown = 0;
  return {
    pressed,
    terminal: {
      columns: 60,
      rows: 8,
      keys: (take) => {
        pressed.take = take;
        return () => {
          delete pressed.take;
        };
      },
    },
    pause: async () => {
      shown += 1;
      if (shown === frames) key();
      await new Promise(setImmediate);
    },
  };
}

test('top: repaints the terminal’s other screen, no more than fits, until q; then all is as it was', async (t) => {
  const services = Array.from({ length: 500 }, (_, i) => edge('shop/web', `shop/s${i}`, counts(i)));
  const mesh = await meshOf(t, { 'node-1': [gives('/stats', nodeStats('node-1', services))] });
  const { terminal, pressed, pause } = screen(3, () => pressed.take?.('q'));
  const { status, out, err } = await mesh.nodemesh(['top'], { terminal, pause, env: { NO_COLOR: '1' } });
  assert.deepEqual([status, err], [0, '']);
  assert.ok(out.startsWith('\x1b[?1049h\x1b[?25l'));
  assert.ok(out.endsWith('\x1b[?25h\x1b[?1049l'));
  assert.equal(pressed.take, undefined);
  const frames = out.split('\x1b[H').slice(1);
  assert.equal(frames.length, 3);
  const lines = (frames[0] ?? '').replaceAll('\x1b[K', '').split('\x1b[J')[0]?.trimEnd().split('\r\n') ?? [];
  assert.ok(lines.length < terminal.rows && lines.every((line) => [...line].length <= 60), lines.join('\n'));
  assert.match(lines[3] ?? '', /^shop +s499 /);
  assert.match(lines.at(-1) ?? '', /^and 49\d more/);
});

test('top: elsewhere one table after another without escapes, until it is stopped', async (t) => {
  const mesh = await meshOf(t, TWO_NODES);
  const stop = new AbortController();
  const { pause } = screen(2, () => stop.abort());
  const { status, out } = await mesh.nodemesh(['top'], { pause, stop: stop.signal });
  assert.equal(status, 0);
  assert.equal(out.match(/^NAMESPACE/gm)?.length, 2);
  assert.ok(out.indexOf('bank') < out.indexOf('world'));
  assert.doesNotMatch(out, /\x1b/);
});

/** A tap that tells these, and what it was asked. */
function tapOf(asked: URLSearchParams[], events: readonly string[], end = false): AdminRoute {
  return {
    path: '/tap',
    access: 'tap',
    handle: ({ query }, reply) => {
      asked.push(query);
      if (end) {
        const response = reply.raw();
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(events.join(''));
        return;
      }
      const write = reply.events();
      for (const event of events) write(event);
    },
  };
}

const RECORD = {
  timestamp: '2026-01-02T03:04:05.678Z',
  direction: 'outgoing',
  src_namespace: 'shop',
  src_workload: 'web',
};
const request = (record: object) => formatEvent('request', JSON.stringify({ ...RECORD, ...record }));

test('tap: requests of all nodes as they come, what was dropped, and nothing that commands a terminal', async (t) => {
  const asked: URLSearchParams[] = [];
  const dropped = formatEvent('dropped', '{"count":7}');
  const mesh = await meshOf(t, {
    'node-1': [tapOf(asked, [': hello\n\n', request({ uri: '/one\x1b[2J', status: 200 }), dropped])],
    'node-2': [tapOf(asked, ['event: request\ndata: {"cut\n\n', request({ uri: '/two', status: 503 }), dropped])],
    'node-3': undefined,
  });
  const stop = new AbortController();
  const told = { err: '', out: '' };
  const enough = () => {
    if (told.out.includes('/one') && told.out.includes('/two') && told.err.includes('node-3'))
      setImmediate(() => stop.abort());
  };
  const { status, out, err } = await mesh.nodemesh(
    ['tap', 'deploy/web', '-n', 'shop', '--to', 'world', '--status', '5xx', '--max', '9', '--headers'],
    {
      stop: stop.signal,
      written: (text) => {
        told.out = text;
        enough();
      },
      complained: (text) => {
        told.err = text;
        enough();
      },
    },
  );
  assert.equal(status, 2);
  assert.match(out, /^03:04:05\.678 +out +200 .*shop\/web .*\/one\\x1b\[2J$/m);
  assert.match(err, /^node-3: .* is not ready/m);
  assert.match(err, /^(?:7|14) requests more went by than were told/m);
  assert.equal(
    `${asked[0]}`,
    'namespace=shop&service=world&workload=web&direction=outgoing&status=5xx&max=9&headers=true',
  );
});

test('tap -o json: a record a line; a stream that breaks off is taken up again', async (t) => {
  const asked: URLSearchParams[] = [];
  const mesh = await meshOf(t, { 'node-1': [tapOf(asked, [request({ uri: '/\x9b' })], true)] });
  const stop = new AbortController();
  const { status, out, err } = await mesh.nodemesh(['tap', '-o', 'json'], {
    stop: stop.signal,
    written: (text) => {
      if (text.split('\n').length > 3) stop.abort();
    },
  });
  const lines = out.trim().split('\n');
  assert.deepEqual([status, lines.length], [0, 3]);
  assert.deepEqual(JSON.parse(lines[0] ?? ''), { ...RECORD, uri: '/\x9b' });
  assert.match(out, /^[\n\x20-\x7e]*$/);
  assert.match(err, /^node-1: the stream of .* broke off: it ended; it is asked again$/m);
});

test('resolve: asks the daemon of the pod’s own node; endpoints: the one that is wished', async (t) => {
  const asked: string[] = [];
  const answers = (node: string): AdminRoute[] => [
    {
      path: '/resolve',
      access: 'diagnostics',
      handle: ({ query }, reply) => {
        asked.push(`${node} ${query}`);
        const caller = {
          ip: '10.1.0.1',
          namespace: 'shop',
          pod: 'web-1',
          workload: null,
          node,
          known: true,
          why: 'so',
        };
        const outcome = { ok: false, error: 'no_endpoint', text: 'nobody is there' };
        reply.json({
          node,
          caller,
          asked: { host: 'world', method: 'GET', path: '/' },
          steps: [],
          endpoints: [],
          name: null,
          service: null,
          outcome,
        });
      },
    },
    {
      path: '/endpoints',
      access: 'diagnostics',
      handle: ({ query }, reply) => {
        asked.push(`${node} ${query}`);
        reply.json({
          node,
          watches: [],
          services:
            query.get('service') === 'shop/none'
              ? []
              : [
                  {
                    namespace: 'shop',
                    name: 'world',
                    ports: [{ name: 'http', port: 80, endpoints: [] }],
                    balancers: [],
                  },
                ],
        });
      },
    },
  ];
  const mesh = await meshOf(t, { 'node-1': answers('node-1'), 'node-2': answers('node-2') });
  await mesh.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-1', namespace: 'shop' },
    spec: { nodeName: 'node-2', containers: [] },
  });
  const resolved = await mesh.nodemesh(['resolve', 'world', '--from', 'shop/web-1', '--method', 'POST']);
  assert.equal(resolved.status, 2);
  assert.match(
    resolved.out,
    /^shop\/web-1 on node-2, as node-2 sees it: so\n[\s\S]*\n✗ no_endpoint: nobody is there\n$/,
  );
  assert.match((await mesh.nodemesh(['resolve', 'world'])).out, /as node-1 sees it/);
  assert.match((await mesh.nodemesh(['resolve', 'world', '--from', 'shop/gone'])).err, /^there is no pod shop\/gone$/m);
  const endpoints = await mesh.nodemesh(['endpoints', 'shop/world', '--node', 'node-2']);
  assert.match(endpoints.out, /^shop\/world +http 80 +- .* none .* no endpoint$/m);
  assert.match(
    (await mesh.nodemesh(['endpoints', 'none', '-n', 'shop'])).err,
    /^node node-1 knows no Service shop\/none/,
  );
  assert.match((await mesh.nodemesh(['endpoints', '--node', 'node-9'])).err, /^there is no daemon on node node-9/);
  assert.deepEqual(asked, [
    'node-2 host=world&from=shop%2Fweb-1&method=POST',
    'node-1 host=world',
    'node-2 service=shop%2Fworld',
    'node-1 service=shop%2Fnone',
  ]);
});

async function getOf(url: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  const [response] = (await once(get(url, { headers, agent: false }), 'response')) as [IncomingMessage];
  return response;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = await response.toArray();
  return Buffer.concat(chunks).toString();
}

test('dashboard: passes the console on with a token, events as they come, and to nobody else’s pages', async (t) => {
  const mesh = await AdminMesh.start(t);
  let tell: (text: string) => boolean = () => false;
  const seen: (string | string[] | undefined)[] = [];
  const server = await mesh.pod('webhook', 'node-1', [
    { path: '/', access: 'page', handle: (_request, reply) => reply.send('<p>console</p>', 'text/html') },
    {
      path: '/api/mesh',
      access: 'diagnostics',
      handle: ({ query, headers }, reply) => {
        seen.push(headers.cookie, headers['x-other']);
        reply.json({ window: query.get('window') });
      },
    },
    { path: '/api/no', access: 'diagnostics', handle: (_request, reply) => reply.json({ why: 'not so' }, 400) },
    {
      path: '/api/stream',
      access: 'diagnostics',
      handle: (_request, reply) => {
        tell = reply.events();
      },
    },
  ]);
  const stop = new AbortController();
  let url = '';
  const shown = Promise.withResolvers<void>();
  const ended = mesh.nodemesh(['dashboard', '--no-open'], {
    stop: stop.signal,
    written: (out) => {
      url = out.trim().replace(/\/$/, '');
      shown.resolve();
    },
  });
  await Promise.race([shown.promise, ended.then(({ err }) => assert.fail(err))]);
  assert.match(url, /^http:\/\/localhost:\d+$/);
  url = url.replace('localhost', '127.0.0.1');

  const page = await getOf(`${url}/`);
  assert.equal(page.statusCode, 200);
  assert.match(String(page.headers['content-security-policy']), /script-src 'self'/);
  assert.equal(await textOf(page), '<p>console</p>');
  const mesh60 = await getOf(`${url}/api/v1/namespaces/nodemesh/pods/x:8080/proxy/api/mesh?window=60`, {
    cookie: 'secret=1',
    'x-other': 'x',
  });
  assert.deepEqual(JSON.parse(await textOf(mesh60)), { window: '60' });
  assert.deepEqual(seen, [undefined, undefined]);
  const no = await getOf(`${url}/api/no`);
  assert.deepEqual([no.statusCode, JSON.parse(await textOf(no))], [400, { why: 'not so' }]);

  const stream = await getOf(`${url}/api/stream`);
  assert.equal(stream.headers['content-type'], 'text/event-stream');
  for (const data of ['one', 'two']) {
    tell(formatEvent('mesh', data));
    assert.equal(String((await once(stream, 'data'))[0]), formatEvent('mesh', data));
  }
  stream.destroy();

  const rebound = await getOf(`${url}/api/mesh`, { host: 'evil.example' });
  assert.equal(rebound.statusCode, 421);
  rebound.resume();
  await server?.close();
  const gone = await getOf(`${url}/`);
  assert.equal(gone.statusCode, 502);
  assert.match(await textOf(gone), /^nodemesh dashboard: .*webhook-node-1/);
  stop.abort();
  assert.equal((await ended).status, 0);
});
