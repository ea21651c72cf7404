import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PROXY_ERRORS, ProxyError, type ProxyErrorCode } from '../../daemon/http/proxy-error.ts';

test('docs/errors.md lists exactly the errors that there are', () => {
  const text = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  const documented = text.split('\n').filter((line) => line.startsWith('| `'));
  const real = Object.entries(PROXY_ERRORS).map(([code, { status, retryable, advice }]) => {
    const { grpcStatus } = new ProxyError(code as ProxyErrorCode, '');
    return `| \`${code}\` | ${status} | ${grpcStatus} | ${retryable ? 'yes' : 'no'} | ${advice} |`;
  });
  assert.deepEqual(documented, real);
});
