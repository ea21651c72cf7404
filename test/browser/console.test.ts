/// <reference lib="dom" />
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { pageFiles } from '../../console/page.ts';
import { RESOLUTION, records } from '../../scripts/console/answers.ts';
import { type FixtureServer, startFixtureServer } from '../../scripts/console/fixture-server.ts';
import { SCENES, type SceneName } from '../../scripts/console/scenes.ts';
import { finished, NO_BROWSER, openPage, type PageOptions, startBrowser, type WatchedPage } from './browser.ts';

const VIEWS = ['overview', 'map', 'services', 'nodes', 'tap', 'resolve'];
const AT = Date.now();

it('the whole page is smaller than 150 KB on the wire', async () => {
  const files = await pageFiles();
  assert.deepEqual([...files.keys()].sort(), ['console.css', 'console.js', 'icon.svg', 'index.html']);
  const bytes = [...files.values()].reduce((sum, { body }) => sum + gzipSync(body).length, 0);
  assert.ok(bytes < 150_000, `${bytes} bytes`);
});

describe('the console in a browser', { skip: NO_BROWSER, concurrency: false }, () => {
  let browser: Browser;
  const servers = new Set<FixtureServer>();
  before(async () => {
    browser = await startBrowser();
  });
  after(() => browser?.close());
  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    for (const server of servers) await server.close();
    servers.clear();
  });

  async function serve(scene: SceneName): Promise<FixtureServer> {
    const server = await startFixtureServer(SCENES[scene](AT));
    servers.add(server);
    return server;
  }

  /** A page that shows a scene, and what serves it. */
  async function open(
    scene: SceneName,
    hash = '',
    options: PageOptions = {},
  ): Promise<WatchedPage & { server: FixtureServer }> {
    const server = await serve(scene);
    server.resolves(RESOLUTION);
    const watched = await openPage(browser, `${server.url}${hash}`, options);
    return { ...watched, server };
  }

  /** Until the view's own content is there. */
  async function settled(page: Page, view: string): Promise<void> {
    await page.locator(`nav a[aria-current=page][href="#/${view}"]`).waitFor();
    await page.locator('.connection.is-live').waitFor();
    if (view === 'map') await page.locator('.map').first().waitFor();
  }

  for (const [name, options] of [
    ['light', { colorScheme: 'light', viewport: { width: 1360, height: 860 } }],
    ['dark', { colorScheme: 'dark', viewport: { width: 1360, height: 860 } }],
    ['on a phone', { colorScheme: 'light', viewport: { width: 360, height: 740 } }],
  ] as const) {
    it(`every view, ${name}: nothing for axe to find, nothing that moves, nothing to scroll sideways`, async () => {
      const watched = await open('failing', '', options);
      for (const view of VIEWS) {
        await watched.page.goto(`${watched.server.url}#/${view}${view === 'resolve' ? '?host=catalog.shop' : ''}`);
        await settled(watched.page, view);
        if (view === 'tap') await tapped(watched);
        if (view === 'resolve') await watched.page.locator('.endpoints li').first().waitFor();
        watched.server.show(SCENES.failing(AT + 2_000));
        assert.deepEqual(await watched.axe(), [], view);
        const width = await watched.page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(width <= options.viewport.width, `${view} is ${width} px wide`);
      }
      await watched.page.goto(`${watched.server.url}#/services/shop/checkout`);
      await watched.page.locator('.chart canvas').first().waitFor();
      assert.deepEqual(await watched.axe(), [], 'one Service');
      await finished(watched);
    });
  }

  it('shows the numbers that came, and those that come later', async () => {
    const watched = await open('shop', '#/services');
    const { page, server } = watched;
    const row = page.locator('tr', { hasText: 'gateway' });
    await row.waitFor();
    const mesh = SCENES.shop(AT);
    const gateway = mesh.services.find(({ name }) => name === 'gateway');
    assert.ok(gateway);
    assert.equal(
      await page
        .locator('.under')
        .innerText()
        .then((text) => text.split(' ')[0]),
      String(mesh.services.length),
    );
    assert.equal(await row.locator('td').first().innerText(), gateway.rps.toFixed(1));
    server.show({
      ...mesh,
      total: { ...mesh.total, rps: 456.4, successRate: 0.875, p95: 1_240 },
      services: mesh.services.map((one) => (one === gateway ? { ...one, rps: 77.7, successRate: 0.5 } : one)),
    });
    await row.getByText('77.7', { exact: true }).waitFor();
    assert.match((await row.locator('td').nth(2).textContent()) ?? '', /50\.0% failing/);
    await page.goto(`${server.url}#/overview`);
    const figures = await page.locator('.figure').allInnerTexts();
    assert.deepEqual([figures[0], figures[1], figures[3]], ['456', '87.5%', '1.24 s']);
    await finished(watched);
  });

  it('says what fails, by colour, shape and word', async () => {
    const watched = await open('failing');
    const look = watched.page.getByRole('region', { name: 'Needs a look' });
    await look.getByText('gateway in payments').waitFor();
    assert.match(await look.innerText(), /71\.2% answered well/);
    assert.match(await look.innerText(), /certificate expires soon/);
    assert.match(await look.innerText(), /no answer from 10\.0\.0\.13:9990/);
    await watched.page.goto(`${watched.server.url}#/map`);
    await watched.page.locator('.edge.is-bad text', { hasText: '71.2%' }).waitFor();
    await finished(watched);
  });

  it('says what to do while there is nothing', async () => {
    const watched = await open('empty');
    const { page, server } = watched;
    await page.getByText('No pod is in the mesh: kubectl label namespace').waitFor();
    for (const view of ['map', 'services', 'nodes']) {
      await page.goto(`${server.url}#/${view}`);
      await page.locator('main').getByText('No pod is in the mesh').first().waitFor();
    }
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('500 Services: grouped on the map, and a table that draws what is in sight', async () => {
    const watched = await open('large', '#/map');
    const { page, server } = watched;
    await page.locator('.node.kind-namespace').nth(19).waitFor();
    assert.equal(await page.locator('.node').count(), 20);
    const places = () => page.locator('.node').evaluateAll((all) => all.map((one) => one.getAttribute('transform')));
    const placed = await places();
    const mesh = SCENES.large(AT);
    server.show({ ...mesh, edges: mesh.edges.map((edge) => ({ ...edge, rps: edge.rps / 2 })) });
    await page.getByLabel('Search').fill('service-499');
    await page.locator('.node.kind-service', { hasText: 'service-499' }).waitFor();
    await page.getByLabel('Search').fill('');
    await page.locator('.node.kind-namespace').nth(19).waitFor();
    assert.deepEqual(await places(), placed, 'only numbers changed, and nodes moved');
    await page.getByLabel('Group by namespace').uncheck();
    await page.locator('.node').nth(499).waitFor();
    await page.goto(`${server.url}#/services`);
    const table = page.locator('table[aria-rowcount="501"]');
    await table.waitFor();
    const drawn = await table.locator('tbody tr').count();
    assert.ok(drawn < 80, `${drawn} rows`);
    await page.locator('.scroller').evaluate((one) => one.scrollTo(0, one.scrollHeight));
    await table.locator('tr[aria-rowindex="501"]').waitFor();
    await finished(watched);
  });

  it('names from the network are text, whatever they look like', async () => {
    const watched = await open('hostile');
    const { page, server } = watched;
    for (const view of VIEWS) {
      await page.goto(`${server.url}#/${view}`);
      await settled(page, view);
      if (view === 'tap') {
        await tapped(watched, { ...records(AT, 1)[0], uri: '<img src=x onerror="window.hurt=1">' });
        await page.locator('button.link').first().click();
      }
      assert.equal(await page.locator('main img, main script').count(), 0, view);
    }
    await page.goto(`${server.url}#/overview`);
    await page.getByText('<img src=x onerror="window.hurt=1">', { exact: true }).first().waitFor();
    assert.equal(await page.evaluate(() => 'hurt' in window), false);
    await finished(watched);
  });

  it('connection lost: says so, keeps what it has, marks it as old, and comes back', async () => {
    const watched = await open('shop', '', { requestsFail: true });
    const { page, server } = watched;
    await page.locator('.figure').first().waitFor();
    server.refuse(503, 'starting');
    await page.getByRole('alert').getByText('Connection lost at').waitFor();
    assert.match(await page.getByRole('alert').innerText(), /503: starting/);
    assert.equal(await page.locator('main.old .figure').count(), 6);
    assert.deepEqual(await watched.axe(), []);
    server.allow();
    await page.locator('.connection.is-live').waitFor();
    assert.equal(await page.locator('main.old').count(), 0);
    assert.equal(await page.getByRole('alert').innerText(), '');
    await finished(watched);
  });

  it('not allowed: says what to do', async () => {
    const server = await serve('shop');
    server.refuse(401, 'no token: see docs');
    const watched = { ...(await openPage(browser, server.url, { requestsFail: true })), server };
    const alert = watched.page.getByRole('alert');
    await alert.getByText('nodemesh dashboard').waitFor();
    assert.match(await alert.innerText(), /no token: see docs/);
    assert.deepEqual(await watched.axe(), []);
    await finished(watched);
  });

  it('by keyboard alone: views, help, sorting, the map', async () => {
    const watched = await open('shop');
    const { page } = watched;
    await settled(page, 'overview');
    for (const [index, view] of VIEWS.entries()) {
      await page.keyboard.press(String(index + 1));
      await settled(page, view);
      assert.equal(await page.evaluate(() => document.activeElement?.tagName), index === 0 ? 'BODY' : 'H1', view);
    }
    await page.keyboard.press('?');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('3');
    await page.locator('th[aria-sort=descending]', { hasText: 'rps' }).waitFor();
    await page.getByRole('button', { name: 'Service' }).press('Enter');
    await page.locator('th[aria-sort=ascending]', { hasText: 'Service' }).waitFor();
    assert.match(await page.locator('tbody th').first().innerText(), /^cart/);
    await page.keyboard.press('/');
    await page.keyboard.type('pay');
    await page.locator('table[aria-rowcount="3"]').waitFor();
    await page.locator('h1').focus();
    await page.keyboard.press('2');
    await page.locator('.node').first().waitFor();
    await page.getByRole('application').focus();
    const stage = () => page.locator('.map svg > g').getAttribute('transform');
    const before = await stage();
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('+');
    assert.notEqual(await stage(), before);
    await page.keyboard.press('0');
    assert.equal(await stage(), before);
    await page.keyboard.press('n');
    await page.keyboard.press('Enter');
    await page.waitForURL(/#\/map\?focus=/);
    await page.keyboard.press('t');
    await page.locator('html[data-theme=dark]').waitFor();
    await finished(watched);
  });

  it('tap: filters go to the server, pause stops, the list is bounded, what was dropped is counted', async () => {
    const watched = await open('shop', '#/tap?namespace=shop');
    const { page, server } = watched;
    await tapped(watched);
    assert.equal(server.taps.at(-1), '?namespace=shop');
    for (const record of records(AT, 600)) server.tap('request', record);
    server.tap('dropped', { count: 17 });
    await page.getByText('500 kept, 17 dropped').waitFor();
    assert.equal(await page.locator('.dense tbody tr').count(), 100);
    await page.locator('button.link').first().click();
    await page.getByRole('region', { name: 'One request' }).getByText('4bf92f3577b34da6a3ce929d0e0e4736').waitFor();
    assert.deepEqual(await watched.axe(), []);
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused').waitFor();
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByLabel('Status').selectOption('5xx');
    await page.getByText('Listening').waitFor();
    assert.equal(server.taps.at(-1), '?namespace=shop&status=5xx');
    await finished(watched);
  });

  it('resolve: draws the way, with why an endpoint is not used', async () => {
    const watched = await open('shop', '#/resolve');
    const { page } = watched;
    await page.getByLabel('Name as the caller writes it').fill('catalog.shop');
    await page.getByLabel('From').fill('web/storefront');
    await page.keyboard.press('Enter');
    await page.getByText(RESOLUTION.outcome.text).waitFor();
    assert.match(page.url(), /#\/resolve\?host=catalog\.shop&from=web%2Fstorefront/);
    assert.equal(await page.locator('.way li').count(), RESOLUTION.steps.length);
    const endpoints = await page.locator('.endpoints li').allInnerTexts();
    assert.match(endpoints[0] ?? '', /62\.0%/);
    assert.match(endpoints[2] ?? '', /not used: its pod is not ready/);
    await finished(watched);
  });
});

/** The tap listens, and shows one request. */
async function tapped(
  { page, server }: WatchedPage & { server: FixtureServer },
  record = records(AT, 1)[0],
): Promise<void> {
  await page.getByText('Listening').waitFor();
  server.tap('request', record ?? {});
  await page.locator('.dense tbody tr').first().waitFor();
}
