/// <reference lib="dom" />
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** Where Debian's package puts it; CHROMIUM names another. */
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Why there can be no browser test here; false where there can. */
export const NO_BROWSER = existsSync(CHROMIUM)
  ? false
  : `no Chromium at ${CHROMIUM}: apt-get install chromium, or set CHROMIUM`;

export function startBrowser(): Promise<Browser> {
  const root = process.getuid?.() === 0;
  return chromium.launch({ executablePath: CHROMIUM, args: root ? ['--no-sandbox'] : [] });
}

export interface WatchedPage {
  readonly page: Page;
  /** Errors of scripts and of the console (broken requests aside, if they are expected), and requests to elsewhere. */
  readonly faults: string[];
  /** Sum of the layout shifts that nobody's input made (web.dev/cls). */
  shift(): Promise<number>;
  /** What axe finds: rule and element, a text each. */
  axe(): Promise<readonly string[]>;
}

export interface PageOptions extends BrowserContextOptions {
  /** Requests fail in this test, of which browsers write to the console. */
  readonly requestsFail?: boolean;
}

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** Opens `url` in a context of its own, where everything is watched that must not happen. */
export async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<WatchedPage> {
  const { requestsFail = false, ...contextOptions } = options;
  // The tests bring axe in, and colours that are under way are none of its business.
  const context = await browser.newContext({ reducedMotion: 'reduce', ...contextOptions });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    if (requestsFail && message.text().startsWith('Failed to load resource')) return;
    faults.push(message.text());
  });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) faults.push(`asked ${request.url()}`);
  });
  await page.addInitScript(() => {
    const shifts = { sum: 0 };
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        if (!entry.hadRecentInput) shifts.sum += entry.value;
      }
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(url);
  return {
    page,
    faults,
    shift: () => page.evaluate(() => (window as unknown as { shifts: { sum: number } }).shifts.sum),
    async axe() {
      // A tag would break the page's own policy; playwright evaluates beside it.
      const { readFile } = await import('node:fs/promises');
      await page.evaluate(await readFile(AXE, 'utf8'));
      return page.evaluate(async () => {
        const { axe } = window as unknown as {
          axe: { run(): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }> };
        };
        const { violations } = await axe.run();
        return violations.flatMap(({ id, nodes }) =>
          nodes.slice(0, 3).map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
        );
      });
    },
  };
}

/** What holds of each page when a test is done with it; the bound of layout shift is the one that web.dev calls good. */
export async function finished(watched: WatchedPage): Promise<void> {
  assert.deepEqual(watched.faults, []);
  const shift = await watched.shift();
  assert.ok(shift <= 0.1, `layout shift ${shift}`);
}
