/// <reference lib="dom" />
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { formatRate } from '../../console/format.ts';
import type { MeshView } from '../../lib/stats/mesh-view.ts';
import { consoleUrl, HELLO_PORT, install, NAMESPACE } from '../../scripts/playground/demonstration.ts';
import { ADMIN_PORT, Playground } from '../../scripts/playground/playground.ts';
import { Steps } from '../../scripts/playground/steps.ts';
import { finished, NO_BROWSER, openPage, startBrowser, type WatchedPage } from './browser.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CALLS_PER_HELLO = 20;
const FAILING_CALLS = 12;
/** Two intervals of counting, an update, and a slow machine. */
const WAIT_MS = 20_000;

/** Answers 502: it calls a name that is nobody's. */
const FAILING = [
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'broken', namespace: NAMESPACE, labels: { app: 'broken' } },
    spec: {
      containers: [
        {
          name: 'service',
          image: 'nodemesh:dev',
          command: ['node', '/app/helloworld.js'],
          args: ['-addr=$(POD_IP):7779', '-text=broken', '-target=nobody'],
          env: [{ name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
          ports: [{ name: 'service', containerPort: 7779 }],
          readinessProbe: { httpGet: { path: '/healthz', port: 'service' }, periodSeconds: 1 },
        },
      ],
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'broken', namespace: NAMESPACE },
    spec: { clusterIP: 'None', selector: { app: 'broken' }, ports: [{ name: 'http', port: 7779 }] },
  },
];

describe('the console of a running mesh', { skip: NO_BROWSER, concurrency: false }, () => {
  const steps = new Steps(
    () => {},
    () => performance.now(),
  );
  const playground = new Playground({
    root: ROOT,
    nodePath: process.execPath,
    path: process.env.PATH ?? '',
    steps,
    random: Math.random,
    now: () => new Date(),
  });
  let browser: Browser;
  let url = '';
  let watched: WatchedPage;

  before(async () => {
    [browser] = await Promise.all([startBrowser(), playground.start().then(() => install(playground, steps))]);
    url = consoleUrl(playground) ?? '';
    watched = await openPage(browser, url);
    watched.page.setDefaultTimeout(WAIT_MS);
  });
  after(async () => {
    await browser?.close();
    await playground.stop();
  });

  const view = (name: string) => watched.page.goto(`${url}#/${name}`);

  /** What a hello pod's own program would send: from its address, through its node's proxy. */
  function callFromHello(target: string): Promise<number> {
    const [hello] = playground.pods(NAMESPACE, 'hello');
    const { podIP = '', hostIP = '' } = hello?.status ?? {};
    const { host } = new URL(target);
    return new Promise((resolve, reject) => {
      request({ host: hostIP, port: 4140, localAddress: podIP, path: target, headers: { host }, agent: false })
        .on('response', (answer) => answer.resume().on('end', () => resolve(answer.statusCode ?? 0)))
        .on('error', reject)
        .end();
    });
  }

  /** Follows the console's own stream until a Service has exactly so many requests. */
  async function counted(service: string, requests: number): Promise<void> {
    const { body } = await fetch(`${url}api/stream`, { signal: AbortSignal.timeout(WAIT_MS) });
    assert.ok(body);
    let text = '';
    for await (const part of body.pipeThrough(new TextDecoderStream())) {
      text += part;
      const events = text.split('\n\n');
      text = events.pop() ?? '';
      for (const [, data] of events.map((event) => /^data: (.*)$/m.exec(event) ?? [])) {
        if (data === undefined) continue;
        const { services, windowMs } = JSON.parse(data) as MeshView;
        const rps = services.find(({ name }) => name === service)?.rps ?? 0;
        if (Math.round((rps * windowMs) / 1_000) === requests) return;
      }
    }
  }

  it('says what to do before there is any traffic', async () => {
    await watched.page.getByText('6 pods are in the mesh, and none has sent a request').waitFor();
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('map and table show who called whom, how often, and that all is well', async () => {
    const { page } = watched;
    const hellos = playground.pods(NAMESPACE, 'hello');
    for (let i = 0; i < CALLS_PER_HELLO; i += 1) {
      const answers = await Promise.all(hellos.map((hello) => playground.call(hello, HELLO_PORT)));
      for (const { status } of answers) assert.equal(status, 200);
    }
    const sent = CALLS_PER_HELLO * hellos.length;
    await counted('world', sent);
    // The window grows by an interval of 5 s until it is a minute, and the page goes on while this looks at it.
    const windows = Array.from({ length: 12 }, (_, index) => 5 * (index + 1));
    const rate = `(?:${windows.map((seconds) => formatRate(sent / seconds).replace('.', '\\.')).join('|')})`;
    await view('services');
    const row = page.locator('tbody tr', { hasText: 'world' });
    await row
      .locator('td')
      .first()
      .getByText(new RegExp(`^${rate}$`))
      .waitFor();
    await row.getByText('100%').waitFor();
    assert.deepEqual(await watched.axe(), [], 'services');
    await view('map');
    await page.locator('.edge.is-good').waitFor();
    await page.locator('.node', { hasText: 'world' }).waitFor();
    await page.getByLabel('As a table').check();
    const edge = await page.locator('tbody tr').allInnerTexts();
    assert.equal(edge.length, 1, edge.join('\n'));
    assert.match(edge[0] ?? '', new RegExp(`hello/hello\\s+hello/world\\s+${rate}\\s`));
    assert.deepEqual(await watched.axe(), [], 'map');
    await finished(watched);
  });

  it('nodes are ready, with TLS and certificates; pods are in the mesh', async () => {
    const { page } = watched;
    await view('nodes');
    for (const { name } of playground.plan.nodes) {
      const card = page.locator('.cards li', { hasText: name });
      const text = await card.innerText();
      assert.match(text, /Daemon\s+ready/);
      assert.match(text, /TLS\s+required/);
      assert.match(text, /Certificate\s+.*\d/);
    }
    for (const { metadata } of playground.pods(NAMESPACE)) {
      const pod = await page.locator('tr', { hasText: metadata.name }).innerText();
      assert.match(pod, /● injected/);
    }
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('tap shows a request as it happens, without its query', async () => {
    const { page } = watched;
    await view(`tap?namespace=${NAMESPACE}&service=world`);
    await page.getByText('Listening').waitFor();
    assert.equal(await callFromHello('http://world/greeting/42?password=secret'), 200);
    await page.getByRole('button', { name: '/greeting/42?…' }).first().click();
    const detail = await page.getByRole('region', { name: 'One request' }).innerText();
    assert.match(detail, /world/);
    assert.doesNotMatch(await page.locator('main').innerText(), /secret/);
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('resolve draws the way of a name for a pod', async () => {
    const { page } = watched;
    await view('resolve');
    const [hello] = playground.pods(NAMESPACE, 'hello');
    await page.getByLabel('Name as the caller writes it').fill('world');
    await page.getByLabel('From').fill(`${NAMESPACE}/${hello?.metadata.name}`);
    await page.getByRole('button', { name: 'Resolve' }).click();
    await page.locator('.outcome.is-good').waitFor();
    const endpoints = await page.locator('.endpoints li').allInnerTexts();
    for (const { metadata } of playground.pods(NAMESPACE, 'world')) {
      assert.ok(
        endpoints.some((text) => text.includes(metadata.name)),
        `${metadata.name} in ${endpoints}`,
      );
    }
    assert.equal(await page.locator('.way li.is-bad').count(), 0);
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('a Service that fails is seen by number, colour and word', async () => {
    const { page } = watched;
    for (const object of FAILING) await playground.apply(object);
    await playground.ready(NAMESPACE);
    for (let i = 0; i < FAILING_CALLS; i += 1) assert.equal(await callFromHello('http://broken/'), 502);
    await view('overview');
    const look = page.getByRole('region', { name: 'Needs a look' });
    await look.getByText('broken in hello').waitFor();
    await view('map');
    await page.getByLabel('As a table').uncheck();
    await page.locator('.edge.is-bad text', { hasText: '0%' }).waitFor();
    await page.locator('.edge.is-good').first().waitFor();
    await view('services');
    const row = page.locator('tbody tr', { hasText: 'broken' });
    assert.match((await row.locator('td').nth(2).textContent()) ?? '', /^.?\s*0(?:\.0)?% failing/);
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it("a daemon's own console shows its node", async () => {
    const [node] = playground.plan.nodes;
    const own = await openPage(browser, `http://${node?.ip}:${ADMIN_PORT}/#/services`);
    own.page.setDefaultTimeout(WAIT_MS);
    await own.page.locator('.scope', { hasText: node?.name ?? '' }).waitFor();
    await own.page.locator('tbody tr', { hasText: 'world' }).waitFor();
    await own.page.goto(`http://${node?.ip}:${ADMIN_PORT}/#/nodes`);
    await own.page.locator('.cards li', { hasText: node?.name ?? '' }).waitFor();
    assert.equal(await own.page.locator('.cards li').count(), 1);
    assert.deepEqual(await own.axe(), []);
    await finished(own);
  });
});
