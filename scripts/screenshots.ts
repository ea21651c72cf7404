/**
 * `npm run screenshots`: the pictures of the console in docs/console, of meshes that need no cluster. It takes Debian's Chromium,
 * or the one that CHROMIUM names.
 */
import { mkdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { RESOLUTION, records } from './console/answers.ts';
import { startFixtureServer } from './console/fixture-server.ts';
import { SCENES } from './console/scenes.ts';

const OUT = fileURLToPath(new URL('../docs/console/', import.meta.url));
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 740 };

/** What is seen, and what has to be there before the picture is taken. */
const PICTURES = [
  { name: 'overview', scene: 'failing', view: 'overview', theme: 'light', viewport: DESK, ready: '.figure' },
  { name: 'map', scene: 'failing', view: 'map', theme: 'light', viewport: DESK, ready: '.node' },
  { name: 'map-dark', scene: 'failing', view: 'map', theme: 'dark', viewport: DESK, ready: '.node' },
  { name: 'map-500', scene: 'large', view: 'map', theme: 'dark', viewport: DESK, ready: '.node' },
  { name: 'services', scene: 'failing', view: 'services', theme: 'dark', viewport: DESK, ready: '.spark' },
  {
    name: 'service',
    scene: 'failing',
    view: 'services/shop/checkout',
    theme: 'light',
    viewport: DESK,
    ready: 'canvas',
  },
  { name: 'tap', scene: 'shop', view: 'tap', theme: 'light', viewport: DESK, ready: '.connection.is-live' },
  {
    name: 'resolve',
    scene: 'shop',
    view: 'resolve?host=catalog.shop&from=web',
    theme: 'light',
    viewport: DESK,
    ready: '.way li',
  },
  { name: 'phone', scene: 'failing', view: 'overview', theme: 'dark', viewport: PHONE, ready: '.figure' },
] as const;

await mkdir(OUT, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
});
for (const { name, scene, view, theme, viewport, ready } of PICTURES) {
  const server = await startFixtureServer(SCENES[scene](Date.now()));
  server.resolves(RESOLUTION);
  const page = await browser.newPage({ viewport, colorScheme: theme, reducedMotion: 'reduce' });
  await page.goto(`${server.url}#/${view}`);
  await page.locator(ready).first().waitFor();
  if (view === 'tap') {
    await page.getByText('Listening').waitFor();
    for (const record of records(Date.now(), 40)) server.tap('request', record);
    await page.getByText('40 kept').waitFor();
  }
  const path = `${OUT}${name}.png`;
  await page.screenshot({ path });
  console.log(`docs/console/${name}.png  ${Math.round((await stat(path)).size / 1024)} KiB`);
  await page.close();
  await server.close();
}
await browser.close();
