import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ViewerToken } from '../../lib/console/viewer-token.ts';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';

test('a token that cannot be renewed serves until it ends', async () => {
  let now = 0;
  let away = false;
  let asked = 0;
  const api = {
    request: async () => {
      asked += 1;
      if (away) throw new Error('away');
      return { status: { token: `token ${asked}` } };
    },
  } as unknown as KubernetesApi;
  const token = new ViewerToken(api, 'nodemesh', () => now);
  assert.equal(await token.get(), 'token 1');
  away = true;
  now = 599_000;
  assert.equal(await token.get(), 'token 1');
  assert.equal(token.failure, 'away');
  now = 609_000; // the next try
  assert.equal(await token.get(), undefined);
  away = false;
  now = 619_000;
  assert.equal(await token.get(), 'token 4');
  assert.equal(token.failure, undefined);
});
