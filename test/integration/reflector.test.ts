import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { configMap, ReflectorHarness } from '../support/reflector.ts';

async function memory(t: TestContext, options: Parameters<typeof MemoryKubernetes.start>[0] = {}) {
  const kubernetes = await MemoryKubernetes.start(options);
  t.after(() => kubernetes.stop());
  return kubernetes;
}

function reflect(t: TestContext, url: string, options: ConstructorParameters<typeof ReflectorHarness>[1] = {}) {
  const harness = new ReflectorHarness(url, options);
  t.after(() => harness.reflector.stop());
  harness.reflector.start();
  return harness;
}

const pathOf = (name: string) => `/api/v1/namespaces/default/configmaps/${name}`;

test('reflector: lists, then tells additions, changes and removals', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.apply(configMap('a', '1'));
  const { reflector, batches, until } = bound(reflect(t, kubernetes.url));
  assert.equal(reflector.synced, false);
  await reflector.whenSynced();
  assert.ok(reflector.synced);
  assert.deepEqual(batches, [[{ key: 'default/a', object: { name: 'a', value: '1' }, previous: undefined }]]);
  await kubernetes.apply(configMap('b', '1'));
  await until(() => batches.length === 2);
  await kubernetes.apply(configMap('a', '2'));
  await until(() => batches.length === 3);
  await kubernetes.remove(pathOf('a'));
  await until(() => batches.length === 4);
  assert.deepEqual(batches.slice(1).flat(), [
    { key: 'default/b', object: { name: 'b', value: '1' }, previous: undefined },
    { key: 'default/a', object: { name: 'a', value: '2' }, previous: { name: 'a', value: '1' } },
    { key: 'default/a', object: undefined, previous: { name: 'a', value: '2' } },
  ]);
  assert.deepEqual([...reflector.items.keys()], ['default/b']);
  assert.equal(reflector.failure, undefined);
});

test('reflector: a list of many pages is one batch', async (t) => {
  const kubernetes = await memory(t);
  for (const name of ['a', 'b', 'c', 'd', 'e']) await kubernetes.apply(configMap(name, '1'));
  const harness = reflect(t, kubernetes.url, { timing: { pageSize: 2 } });
  await harness.reflector.whenSynced();
  assert.deepEqual(
    harness.batches.map((batch) => batch.length),
    [5],
  );
  assert.equal(harness.lists.length, 3);
});

test('reflector: a page that has expired begins the list anew', async (t) => {
  const kubernetes = await memory(t);
  for (const name of ['a', 'b', 'c']) await kubernetes.apply(configMap(name, '1'));
  const harness = new ReflectorHarness(kubernetes.url, { timing: { pageSize: 2 } });
  t.after(() => harness.reflector.stop());
  harness.afterPage = () => {
    kubernetes.compact();
    harness.afterPage = () => {};
  };
  harness.reflector.start();
  await harness.reflector.whenSynced();
  assert.deepEqual(harness.known, ['a=1', 'b=1', 'c=1']);
  assert.equal(harness.reflector.failure, undefined);
  assert.ok(harness.lists[1]?.includes('continue='), 'the second page was asked for');
});

test('reflector: selectors choose what is known', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.apply(configMap('in', '1', { app: 'x' }));
  await kubernetes.apply(configMap('out', '1', { app: 'y' }));
  const harness = reflect(t, kubernetes.url, {
    resource: { path: '/api/v1/configmaps', labelSelector: 'app in (x,z)' },
  });
  await harness.reflector.whenSynced();
  assert.deepEqual(harness.known, ['in=1']);
  await kubernetes.apply(configMap('in', '1', { app: 'y' }));
  await harness.until(() => harness.known.length === 0);
});

test('reflector: a broken watch goes on from where it stood', async (t) => {
  const kubernetes = await memory(t);
  const harness = reflect(t, kubernetes.url);
  await harness.until(() => harness.watches.length === 1);
  kubernetes.closeWatches();
  await kubernetes.apply(configMap('a', '1'));
  await harness.until(() => harness.known.length === 1);
  assert.equal(harness.lists.length, 1, 'nothing was listed again');
  assert.match(harness.metrics.render(), /watch_restarts_total\{resource="configmaps",reason="failed"\} 1/);
});

test('reflector: a watch that the server ends is followed by the next, from the last bookmark', async (t) => {
  const kubernetes = await memory(t, { bookmarkMs: 10 });
  const timing = { watchMinSeconds: 1, watchMaxSeconds: 1 };
  const harness = reflect(t, kubernetes.url, { timing });
  await harness.until(() => harness.watches.length === 1);
  // Moves the server's resourceVersion without an event for this watch.
  await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'elsewhere' } });
  await harness.until(() => harness.watches.length === 2);
  const [first, second] = harness.watches.map((path) =>
    Number(new URLSearchParams(path.split('?')[1]).get('resourceVersion')),
  );
  assert.ok(first !== undefined && second !== undefined && second > first, `${first}, then ${second}`);
  assert.match(harness.metrics.render(), /watch_restarts_total\{resource="configmaps",reason="ended"\} 1/);
});

for (const toldBy of ['event', 'status'] as const) {
  test(`reflector: a watch that is too old (told by ${toldBy}) lists anew and tells the difference`, async (t) => {
    const kubernetes = await memory(t);
    for (const name of ['same', 'changed', 'removed']) await kubernetes.apply(configMap(name, '1'));
    const harness = reflect(t, kubernetes.url);
    await harness.until(() => harness.watches.length === 1);
    kubernetes.silenceWatches();
    await kubernetes.apply(configMap('changed', '2'));
    await kubernetes.remove(pathOf('removed'));
    await kubernetes.apply(configMap('added', '1'));
    kubernetes.compact(toldBy);
    kubernetes.closeWatches();
    await harness.until(() => harness.batches.length === 2);
    assert.deepEqual(harness.batches[1], [
      { key: 'default/added', object: { name: 'added', value: '1' }, previous: undefined },
      { key: 'default/changed', object: { name: 'changed', value: '2' }, previous: { name: 'changed', value: '1' } },
      { key: 'default/removed', object: undefined, previous: { name: 'removed', value: '1' } },
    ]);
    assert.equal(harness.lists.length, 2);
    assert.ok(harness.reflector.synced);
  });
}

test('reflector: a watch that fell silent is begun anew, and what happened meanwhile is told', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.apply(configMap('a', '1'));
  const harness = reflect(t, kubernetes.url, { timing: { livenessMs: 100 } });
  await harness.until(() => harness.watches.length === 1);
  kubernetes.silenceWatches();
  await kubernetes.apply(configMap('a', '2'));
  await harness.until(() => harness.known.includes('a=2'));
  assert.equal(harness.lists.length, 1, 'nothing was listed again');
  assert.match(harness.metrics.render(), /watch_restarts_total\{resource="configmaps",reason="silent"\} 1/);
});

test('reflector: two silences in a row list everything anew', async (t) => {
  const kubernetes = await memory(t);
  const harness = reflect(t, kubernetes.url, { timing: { livenessMs: 20 } });
  await harness.until(() => harness.lists.length === 2);
  assert.equal(harness.watches.length, 2);
});

test('reflector: bookmarks are signs of life', async (t) => {
  const kubernetes = await memory(t, { bookmarkMs: 20 });
  const harness = reflect(t, kubernetes.url, { timing: { livenessMs: 500, watchMinSeconds: 1, watchMaxSeconds: 1 } });
  await harness.until(() => harness.watches.length === 2);
  assert.doesNotMatch(harness.metrics.render(), /reason="silent"/);
});

test('reflector: what is known stays in force while the API server is away', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.apply(configMap('a', '1'));
  const harness = reflect(t, kubernetes.url);
  await harness.until(() => harness.watches.length === 1);
  await kubernetes.goDown();
  await harness.until(() => harness.reflector.failure?.includes('ECONNREFUSED') === true);
  assert.deepEqual(harness.known, ['a=1']);
  assert.ok(harness.reflector.synced);
  const failure = harness.reflector.failure ?? '';
  assert.ok(failure.includes(`GET ${kubernetes.url}/api/v1/configmaps?`), failure);
  await kubernetes.apply(configMap('b', '1'));
  await kubernetes.comeUp();
  await harness.until(() => harness.known.length === 2);
  assert.equal(harness.reflector.failure, undefined);
  assert.equal(harness.lists.length, 1);
});

test('reflector: an API server that is away at first is waited for, and the reason is told', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.goDown();
  const harness = reflect(t, kubernetes.url);
  await harness.until(() => harness.reflector.failure?.includes('ECONNREFUSED') === true);
  assert.equal(harness.reflector.synced, false);
  await kubernetes.comeUp();
  await harness.reflector.whenSynced();
  assert.equal(harness.reflector.failure, undefined);
});

test('reflector: stopping ends the watch, and those who wait for the first list are told', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.goDown();
  const waiting = reflect(t, kubernetes.url);
  const never = assert.rejects(waiting.reflector.whenSynced(), /stopped before/);
  await waiting.reflector.stop();
  await never;
  await kubernetes.comeUp();
  const harness = reflect(t, kubernetes.url);
  await harness.until(() => harness.watches.length === 1);
  await harness.reflector.stop();
  await kubernetes.apply(configMap('a', '1'));
  // Another watch of the same server has been told: the stopped one would have been.
  const other = reflect(t, kubernetes.url);
  await other.until(() => other.known.length === 1);
  assert.deepEqual(harness.batches, []);
});

test('reflector: metrics', async (t) => {
  const kubernetes = await memory(t);
  await kubernetes.apply(configMap('a', '1'));
  const harness = reflect(t, kubernetes.url);
  await harness.until(() => harness.watches.length === 1);
  await kubernetes.apply(configMap('b', '1'));
  await harness.until(() => harness.known.length === 2);
  const text = harness.metrics.render();
  for (const line of [
    'watch_events_total{resource="configmaps"} 1',
    'watch_synced{resource="configmaps"} 1',
    'watch_objects{resource="configmaps"} 2',
  ]) {
    assert.ok(text.split('\n').includes(line), `${line} in\n${text}`);
  }
  assert.match(text, /^watch_last_event_age_seconds\{resource="configmaps"\} [\d.e-]+$/m);
});

test('reflector: a listener that throws keeps nobody else from hearing', async (t) => {
  const kubernetes = await memory(t);
  const harness = new ReflectorHarness(kubernetes.url);
  t.after(() => harness.reflector.stop());
  harness.reflector.onChange(() => {
    throw new Error('a listener of this test');
  });
  let heard = 0;
  harness.reflector.onChange((changes) => {
    heard += changes.length;
  });
  harness.reflector.start();
  await harness.until(() => harness.watches.length === 1);
  await kubernetes.apply(configMap('a', '1'));
  await harness.until(() => heard === 1);
  await kubernetes.apply(configMap('a', '2'));
  await harness.until(() => heard === 2);
});

/** An API server that answers lists with these, or with text as it is, and its watches as the scripts say, one after another. */
async function scripted(
  t: TestContext,
  lists: readonly (object | string)[],
  watches: readonly ((response: ServerResponse) => void)[],
) {
  let listed = 0;
  let watched = 0;
  const server = createServer((request, response) => {
    const isWatch = request.url?.includes('watch=true') === true;
    if (!isWatch) {
      const list = lists[Math.min(listed, lists.length - 1)];
      response.end(typeof list === 'string' ? list : JSON.stringify(list));
      listed += 1;
      return;
    }
    const script = watches[watched] ?? (() => response.flushHeaders());
    watched += 1;
    script(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const listOf = (resourceVersion: string, ...items: object[]) => ({ metadata: { resourceVersion }, items });
const item = (name: string, value: string, resourceVersion: string) => ({
  metadata: { name, namespace: 'default', resourceVersion },
  data: { value },
});
const line = (type: string, object: object) => `${JSON.stringify({ type, object })}\n`;

test('reflector: events that come in one read are one batch, with one change an object', async (t) => {
  const events = [
    line('ADDED', item('b', '1', '11')),
    line('MODIFIED', item('b', '2', '12')),
    line('ADDED', item('short', '1', '13')),
    line('DELETED', item('short', '1', '14')),
    line('DELETED', item('a', '1', '15')),
  ];
  const url = await scripted(t, [listOf('10', item('a', '1', '5'))], [(response) => response.write(events.join(''))]);
  const harness = reflect(t, url);
  await harness.until(() => harness.batches.length === 2);
  assert.deepEqual(harness.batches[1], [
    { key: 'default/b', object: { name: 'b', value: '2' }, previous: undefined },
    { key: 'default/a', object: undefined, previous: { name: 'a', value: '1' } },
  ]);
});

test('reflector: an event that is cut anywhere, within a letter too, is read whole', async (t) => {
  const bytes = Buffer.from(line('ADDED', item('a', 'Grüße', '11')));
  const cut = bytes.indexOf(0xc3) + 1;
  const url = await scripted(
    t,
    [listOf('10')],
    [
      (response) => {
        response.write(bytes.subarray(0, cut));
        setImmediate(() => response.write(bytes.subarray(cut)));
      },
    ],
  );
  const harness = reflect(t, url);
  await harness.until(() => harness.known.length === 1);
  assert.deepEqual(harness.known, ['a=Grüße']);
});

const BAD_WATCHES: readonly (readonly [what: string, failure: RegExp, script: (response: ServerResponse) => void])[] = [
  ['a line that is no JSON', /JSON/, (response) => response.end('<html>\n')],
  ['an event without an object', /without an object/, (response) => response.end('{"type":"ADDED"}\n')],
  ['an error', /etcd is away/, (response) => response.end(line('ERROR', { code: 500, message: 'etcd is away' }))],
  ['a refusal', /403.*not allowed/, (response) => response.writeHead(403).end('not allowed')],
  ['a redirect', /302/, (response) => response.writeHead(302).end()],
  ['an end at once', /ends each watch at once/, (response) => response.end()],
  ['a break', /broke off|ECONNRESET|socket hang up/, (response) => response.destroy()],
];

for (const [what, expected, script] of BAD_WATCHES) {
  test(`reflector: a watch of ${what} is begun anew, and nothing is forgotten`, async (t) => {
    const good = (response: ServerResponse) => response.write(line('ADDED', item('b', '1', '11')));
    const url = await scripted(t, [listOf('10', item('a', '1', '5'))], [script, script, good]);
    const harness = reflect(t, url);
    const failures = new Set<string>();
    await harness.until(() => {
      if (harness.reflector.failure !== undefined) failures.add(harness.reflector.failure);
      return harness.known.length === 2;
    });
    assert.ok(
      [...failures].some((failure) => expected.test(failure)),
      [...failures].join('\n'),
    );
    assert.deepEqual(harness.known, ['a=1', 'b=1']);
    assert.equal(harness.lists.length, 1);
  });
}

test('reflector: a server whose history was replaced by an older one is listed anew', async (t) => {
  const older = (response: ServerResponse) =>
    response.write(line('BOOKMARK', { kind: 'ConfigMap', metadata: { resourceVersion: '90' } }));
  const url = await scripted(t, [listOf('1000', item('a', '2', '999')), listOf('91', item('a', '1', '80'))], [older]);
  const harness = reflect(t, url);
  await harness.until(() => harness.known.includes('a=1'));
  assert.equal(harness.lists.length, 2);
});

test('reflector: a list that breaks off changes nothing, and what is the same in the next stays the same object', async (t) => {
  const begun = JSON.stringify(listOf('20', item('a', '3', '15'), item('b', '1', '16'))).slice(0, -5);
  const expire = (response: ServerResponse) => response.writeHead(410).end();
  const lists = [
    listOf('10', item('a', '1', '5'), item('same', '1', '6'), item('z', '1', '7')),
    begun,
    listOf('30', item('a', '2', '25'), item('same', '1', '6')),
  ];
  const harness = reflect(t, await scripted(t, lists, [expire]));
  const known: string[][] = [];
  harness.afterPage = () => known.push(harness.known);
  await harness.reflector.whenSynced();
  const same = harness.reflector.items.get('default/same');
  await harness.until(() => harness.watches.length === 2);
  assert.equal(harness.lists.length, 3);
  assert.deepEqual(known.at(-1), ['a=1', 'same=1', 'z=1'], 'until a list is whole');
  assert.deepEqual(harness.known, ['a=2', 'same=1']);
  assert.equal(harness.reflector.items.get('default/same'), same);
  assert.deepEqual(
    harness.batches[1]?.map(({ key }) => key),
    ['default/a', 'default/z'],
  );
});

test('reflector: a list of very many is told in parts, before it counts as read', async (t) => {
  const items = Array.from({ length: 1_000 }, (_, i) => item(`n-${i}`, '1', '5'));
  const harness = reflect(t, await scripted(t, [listOf('10', ...items)], []));
  await harness.reflector.whenSynced();
  assert.ok(harness.batches.length > 1);
  const told = harness.batches.flat().map(({ key }) => key);
  assert.deepEqual(
    told,
    items.map(({ metadata }) => `default/${metadata.name}`),
  );
});

test('reflector: a list of anything but objects is a failure that is tried again', async (t) => {
  const url = await scripted(
    t,
    [
      [1],
      {},
      { metadata: {}, items: [] },
      { ...listOf('9'), items: [{ data: { value: '1' } }] },
      listOf('10', item('a', '1', '5')),
    ],
    [],
  );
  const harness = reflect(t, url);
  await harness.reflector.whenSynced();
  assert.deepEqual(harness.known, ['a=1']);
});

test('reflector: whatever happens to the API server, in the end what it has is known', async () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ put: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.constantFrom('1', '2', '3') }),
    },
    { weight: 2, arbitrary: fc.record({ remove: fc.constantFrom('a', 'b', 'c', 'd') }) },
    {
      weight: 3,
      arbitrary: fc.constantFrom('close', 'silence', 'compact', 'compact by status', 'bounce', 'settle', 'settle'),
    },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
      const kubernetes = await MemoryKubernetes.start({ bookmarkMs: 10 });
      const harness = new ReflectorHarness(kubernetes.url, { timing: { livenessMs: 40, pageSize: 2 } });
      harness.reflector.start();
      // What is told, taken together, must be what is known.
      const told = new Map<string, string>();
      const mistold: unknown[] = [];
      harness.reflector.onChange((changes) => {
        for (const { key, object, previous } of changes) {
          if (told.get(key) !== previous?.value) mistold.push({ key, previous, told: told.get(key) });
          if (object === undefined) told.delete(key);
          else told.set(key, object.value);
        }
      });
      for (const action of steps) await act(kubernetes, harness, action);
      await kubernetes.apply(configMap('last', 'x'));
      await settled(kubernetes, harness);
      await harness.until(() => told.size === harness.known.length);
      await harness.reflector.stop();
      await kubernetes.stop();
      assert.deepEqual(mistold, []);
    }),
    { numRuns: 15 },
  );
});

type Action = string | { readonly put: string; readonly value: string } | { readonly remove: string };

async function act(kubernetes: MemoryKubernetes, harness: ReflectorHarness, action: Action) {
  if (typeof action === 'object') {
    if ('put' in action) await kubernetes.apply(configMap(action.put, action.value));
    else if (kubernetes.get(pathOf(action.remove)) !== undefined) await kubernetes.remove(pathOf(action.remove));
    return;
  }
  if (action === 'close') kubernetes.closeWatches();
  else if (action === 'silence') kubernetes.silenceWatches();
  else if (action === 'compact') kubernetes.compact();
  else if (action === 'compact by status') kubernetes.compact('status');
  else if (action === 'settle') await settled(kubernetes, harness);
  else {
    await kubernetes.goDown();
    await kubernetes.comeUp();
  }
}

/** Settles once what is known is what the API has, and a watch has begun. */
async function settled(kubernetes: MemoryKubernetes, harness: ReflectorHarness) {
  const there = kubernetes.list('/api/v1/configmaps') as unknown as ReturnType<typeof configMap>[];
  const wanted = there.map(({ metadata, data }) => `${metadata.name}=${data.value}`).join();
  const watching = () => harness.asked.at(-1)?.includes('watch=true') === true;
  await harness.until(() => harness.reflector.synced && watching() && harness.known.join() === wanted);
}

function bound(harness: ReflectorHarness) {
  const { reflector, batches } = harness;
  return { reflector, batches, until: (condition: () => boolean) => harness.until(condition) };
}
