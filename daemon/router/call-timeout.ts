import { ProxyError } from '../http/proxy-error.ts';
import type { RoutePolicy } from './route-policy.ts';

/** The answer to a call that took too long; names the limit. */
export function timeoutError(code: 'total_timeout' | 'attempt_timeout', policy: RoutePolicy): ProxyError {
  const ms = code === 'total_timeout' ? policy.totalTimeoutMs : policy.attemptTimeoutMs;
  return new ProxyError(code, `no answer began within ${ms} ms`);
}
