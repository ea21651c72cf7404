import type { ResponseHead } from './message-head.ts';
import { PROXY_ERRORS, type ProxyError, type ProxyErrorCode } from './proxy-error.ts';

const GONE = 'mesh-error: endpoint_gone\r\nmesh-retryable: true\r\n';
const MILLISECONDS = /^\d{1,7}$/;

/** The fields by which one daemon tells another what went wrong, and that no application saw the request. */
export function meshErrorLines(error: ProxyError): string {
  // Who does not know `mesh-out` or `mesh-busy` goes elsewhere too.
  if (error.outMs !== undefined) return `${GONE}mesh-out: ${Math.ceil(error.outMs)}\r\n`;
  if (error.code === 'endpoint_busy') return `${GONE}mesh-busy: true\r\n`;
  return `mesh-error: ${error.code}\r\n${error.retryable ? 'mesh-retryable: true\r\n' : ''}`;
}

/** What a daemon says of a request that it could not serve. */
export interface MeshError {
  readonly code: ProxyErrorCode;
  /** No application saw the request. */
  readonly untouched: boolean;
  /** Of `endpoint_out`: when that daemon next lets a request through to the pod, ms from now. */
  readonly outMs: number | undefined;
}

/** What a peer's answer says by them; undefined where it is its application's, or of a code that is not known here. */
export function meshErrorOf(head: ResponseHead): MeshError | undefined {
  const code = head.fields.value('mesh-error');
  if (code === undefined || !Object.hasOwn(PROXY_ERRORS, code)) return undefined;
  const untouched = head.fields.value('mesh-retryable') === 'true';
  const out = head.fields.value('mesh-out');
  if (out !== undefined && untouched && MILLISECONDS.test(out)) {
    return { code: 'endpoint_out', untouched, outMs: Number(out) };
  }
  if (untouched && head.fields.value('mesh-busy') === 'true')
    return { code: 'endpoint_busy', untouched, outMs: undefined };
  return { code: code as ProxyErrorCode, untouched, outMs: undefined };
}
