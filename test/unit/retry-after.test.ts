import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryAfterMs } from '../../daemon/http/retry-after.ts';

const NOW = Date.UTC(1994, 10, 6, 8, 49, 7);

for (const [value, ms] of [
  ['0', 0],
  ['7', 7_000],
  ['301', 300_000],
  ['99999999999999999999', 300_000],
  ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
  ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
  ['Sun Nov  6 08:49:37 1994', 30_000],
  ['Sun, 06 Nov 1994 09:49:37 GMT', 300_000],
  ['Sun, 06 Nov 1994 08:49:07 GMT', 0],
  ['Sun, 06 Nov 1984 08:49:37 GMT', 0],
  ['Sun, 06 Nov 1994 25:49:37 GMT', 0],
  ['1.5', 0],
  ['-1', 0],
  ['', 0],
  ['soon', 0],
  ['November 7, 1994', 0],
  ['Sun, 06 Nov 1994 08:49:37', 0],
] as const) {
  test(`Retry-After: ${value} is ${ms} ms`, () => assert.equal(retryAfterMs(value, NOW), ms));
}
