import type { ResponseHead } from './message-head.ts';
import { PROXY_ERRORS, type ProxyError, type ProxyErrorCode } from './proxy-error.ts';

/** The fields by which one daemon tells another what went wrong, and that no application saw the request. */
export function meshErrorLines(error: ProxyError): string {
  return `mesh-error: ${error.code}\r\n${error.retryable ? 'mesh-retryable: true\r\n' : ''}`;
}

/** What a daemon says of a request that it could not serve. */
export interface MeshError {
  readonly code: ProxyErrorCode;
  /** No application saw the request. */
  readonly untouched: boolean;
}

/** What a peer's answer says by them; undefined where it is its application's, or of a code that is not known here. */
export function meshErrorOf(head: ResponseHead): MeshError | undefined {
  const code = head.fields.value('mesh-error');
  if (code === undefined || !Object.hasOwn(PROXY_ERRORS, code)) return undefined;
  return { code: code as ProxyErrorCode, untouched: head.fields.value('mesh-retryable') === 'true' };
}
