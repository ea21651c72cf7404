import assert from 'node:assert/strict';
import { test } from 'node:test';
import { browserOpener } from '../../scripts/playground/open-in-browser.ts';

test('a browser is opened where there is a display and a program for it', () => {
  const there = (path: string) => path === '/usr/bin/xdg-open' || path === '/usr/bin/open';
  const env = { PATH: '/opt/bin:/usr/bin', DISPLAY: ':0' };
  assert.equal(browserOpener({ platform: 'linux', env }, there), '/usr/bin/xdg-open');
  assert.equal(
    browserOpener({ platform: 'linux', env: { PATH: '/usr/bin', WAYLAND_DISPLAY: 'w' } }, there),
    '/usr/bin/xdg-open',
  );
  assert.equal(browserOpener({ platform: 'linux', env: { PATH: '/usr/bin' } }, there), undefined);
  assert.equal(browserOpener({ platform: 'darwin', env: { PATH: '/usr/bin' } }, there), '/usr/bin/open');
  assert.equal(browserOpener({ platform: 'linux', env: { ...env, PATH: '/bin' } }, there), undefined);
});
