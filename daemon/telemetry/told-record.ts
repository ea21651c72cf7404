import { addressText } from '../client/connector.ts';
import type { RequestHead } from '../http/message-head.ts';
import type { RouterRole } from './daemon-metrics.ts';
import type { ExchangeRecord } from './exchange-record.ts';
import { readTraceContext } from './tracing/trace-context.ts';

/** A finished exchange as the access log, tap and `/requests` tell it: flat, what is not known is ''. Times in ms, sizes in bytes. */
export interface ToldRecord {
  /** When the request's head was complete: ISO 8601. */
  readonly timestamp: string;
  readonly direction: RouterRole;
  readonly client_addr: string;
  readonly src_namespace: string;
  readonly src_workload: string;
  readonly src_pod: string;
  readonly host: string;
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly status: number;
  readonly error: string;
  readonly request_bytes: number;
  readonly response_bytes: number;
  readonly total_ms: number;
  /** Without the time between an attempt's beginning and the end of its answer. */
  readonly processing_ms: number;
  readonly dst_namespace: string;
  readonly dst_service: string;
  readonly backend: string;
  readonly dst_pod: string;
  readonly peer: string;
  readonly node: string;
  readonly attempts: number;
  readonly retries: readonly string[];
  readonly trace_id: string;
  readonly user_agent: string;
  readonly request_headers?: Readonly<Record<string, string>>;
}

export const REDACTED = '[redacted]';

/** Headers whose values are secrets, or may be; names lower-case. */
export const SECRET_HEADERS: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
];

/** What a caller may write as long as it likes, up to here: a line as a rule stays under a pipe's PIPE_BUF of 4 KB. */
const MAX_TEXT = 512;

export interface Telling {
  /** Query strings are shown as they are; else as `?…`: they may hold secrets. */
  readonly query?: boolean | undefined;
  /** With the request's headers, but for the values of those named here (lower-case). */
  readonly headersBut?: ReadonlySet<string> | undefined;
}

/** Makes of a finished record what people are told of it. */
export function tell(record: ExchangeRecord, { query = false, headersBut }: Telling = {}): ToldRecord {
  const { request, caller, attempts } = record;
  const last = attempts.at(-1);
  const target = shownTarget(request);
  const told = {
    timestamp: new Date(record.timestamp).toISOString(),
    direction: record.direction,
    client_addr: addressText({ ip: caller.address, port: caller.port }),
    src_namespace: record.srcNamespace,
    src_workload: record.srcWorkload,
    src_pod: record.srcPod,
    host: short(target.host),
    method: request.method.slice(0, 64),
    uri: short(query ? target.path : target.path.replace(/\?.*/s, '?…')),
    version: request.method === '' ? '' : `HTTP/1.${request.minorVersion}`,
    status: record.status,
    error: record.error,
    request_bytes: record.requestBytes,
    response_bytes: record.responseBytes,
    total_ms: rounded(record.endedAt - record.startedAt),
    processing_ms: rounded(processingMs(record)),
    dst_namespace: record.dstNamespace,
    dst_service: record.dstService,
    backend: last?.backend ?? '',
    dst_pod: last?.pod ?? '',
    peer: record.fromPeer === '' ? (last?.peer ?? '') : record.fromPeer,
    node: record.node,
    attempts: attempts.length,
    retries: record.retries,
    trace_id: traceIdOf(record),
    user_agent: short(request.fields.value('user-agent') ?? ''),
  };
  return headersBut === undefined ? told : { ...told, request_headers: headers(record, headersBut) };
}

/**
 * JSON on one line that is safe to show on a terminal: what JSON leaves as it is of control characters (DEL, C1, and the line
 * ends of Unicode) is escaped as well.
 */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A request's host and path as they are shown: without what an `http://user:password@host/` gives away. */
export function shownTarget({ method, target, host = '' }: Pick<RequestHead, 'method' | 'target' | 'host'>): {
  host: string;
  path: string;
} {
  if (method === 'CONNECT') return { host: withoutUser(target), path: withoutUser(target) };
  const absolute = /^[A-Za-z][0-9A-Za-z+.-]*:\/\/([^/?]*)(.*)$/s.exec(target);
  if (absolute === null) return { host: withoutUser(host), path: target };
  const [, authority = '', rest = ''] = absolute;
  return { host: withoutUser(authority), path: rest.startsWith('/') ? rest : `/${rest}` };
}

function withoutUser(authority: string): string {
  return authority.slice(authority.lastIndexOf('@') + 1);
}

function processingMs({ startedAt, endedAt, attempts }: ExchangeRecord): number {
  const waited = attempts.reduce((sum, attempt) => sum + Math.max(0, attempt.endedAt - attempt.startedAt), 0);
  return Math.max(0, endedAt - startedAt - waited);
}

function headers({ request }: ExchangeRecord, redacted: ReadonlySet<string>): Record<string, string> {
  // No prototype: a field may be called `__proto__`.
  const shown: Record<string, string> = Object.create(null);
  const { list } = request.fields;
  for (let i = 0; i < list.length; i += 2) {
    const name = (list[i] as string).toLowerCase();
    const value = redacted.has(name) ? REDACTED : short(list[i + 1] as string);
    shown[name] = shown[name] === undefined ? value : `${shown[name]}, ${value}`;
  }
  return shown;
}

function short(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** Of the trace that it is part of here, or that its context names. */
function traceIdOf({ trace, request: { traceFields } }: ExchangeRecord): string {
  if (trace !== undefined) return trace.ids.traceId;
  return (traceFields && readTraceContext(traceFields)?.ids?.traceId) ?? '';
}

/** To a thousandth of a ms. */
function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}
