import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { browserOpener, openInBrowser } from '../../scripts/playground/open-in-browser.ts';

const there = (path: string) => path === '/usr/bin/xdg-open' || path === '/usr/bin/open';
const env = { PATH: '/opt/bin:/usr/bin', DISPLAY: ':0' };

test('a browser is opened where there is a display and a program for it', () => {
  assert.equal(browserOpener({ platform: 'linux', env }, there), '/usr/bin/xdg-open');
  assert.equal(
    browserOpener({ platform: 'linux', env: { PATH: '/usr/bin', WAYLAND_DISPLAY: 'w' } }, there),
    '/usr/bin/xdg-open',
  );
  assert.equal(browserOpener({ platform: 'linux', env: { PATH: '/usr/bin' } }, there), undefined);
  assert.equal(browserOpener({ platform: 'darwin', env: { PATH: '/usr/bin' } }, there), '/usr/bin/open');
  assert.equal(browserOpener({ platform: 'linux', env: { ...env, PATH: '/bin' } }, there), undefined);
});

test('none is opened in CI, or where the user wants none', () => {
  for (const wish of [{ CI: 'true' }, { NO_BROWSER: '1' }, { BROWSER: 'none' }]) {
    assert.equal(browserOpener({ platform: 'linux', env: { ...env, ...wish } }, there), undefined);
  }
  assert.equal(browserOpener({ platform: 'linux', env: { ...env, BROWSER: 'firefox' } }, there), '/usr/bin/xdg-open');
});

test('the opener gets the URL, on a terminal only', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nodemesh-test-'));
  const server = createServer((_request, response) => response.end()).listen(0, '127.0.0.1');
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await once(server, 'listening');
  // It stands for the browser: asks for what it is given.
  const script = `#!${process.execPath}\nrequire('node:http').get(process.argv[2]).on('response', (a) => a.resume());\n`;
  writeFileSync(join(folder, 'xdg-open'), script);
  chmodSync(join(folder, 'xdg-open'), 0o755);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const surroundings = { platform: 'linux', env: { PATH: folder, DISPLAY: ':0' } };
  const asked = once(server, 'request');
  openInBrowser(`${url}/piped`, surroundings, false);
  openInBrowser(`${url}/terminal`, surroundings, true);
  const [request] = await asked;
  assert.equal(request.url, '/terminal');
});
