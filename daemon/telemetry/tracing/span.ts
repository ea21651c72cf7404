import type { RouterRole } from '../daemon-metrics.ts';
import type { AttemptRecord, ExchangeRecord } from '../exchange-record.ts';
import { tell } from '../told-record.ts';
import type { SpanIds } from './span-ids.ts';
import type { Trace } from './trace.ts';

export type Attributes = Record<string, string | number>;

/** A span as it is exported, whatever the wire; times in ms since 1970. */
export interface Span {
  readonly ids: SpanIds;
  readonly tracestate: string;
  readonly name: string;
  /** Of an outgoing exchange, and of an incoming one. */
  readonly kind: 'client' | 'server';
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly events: readonly SpanEvent[];
  /** Why it failed; '' where it did not. */
  readonly error: string;
  /** Whom the span is told of: the daemon stands for the calling workload, and for the Service that is called. */
  readonly local: string;
  /** Whom the request went to, or of a server span who sent it; '' where that is not known. */
  readonly remote: string;
}

export interface SpanEvent {
  readonly name: string;
  readonly atMs: number;
  readonly attributes: Attributes;
}

/** Others are told as `_OTHER`, so that callers cannot make names without end (semantic conventions for HTTP). */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE', 'QUERY']);

/**
 * Makes the span of a finished exchange: OpenTelemetry's semantic conventions for HTTP spans, `k8s.*` for the pod that the
 * daemon stands for, and `nodemesh.*` by the access log's names. Query strings are left out: they may hold secrets.
 */
export function spanOf(record: ExchangeRecord, trace: Trace): Span {
  const told = tell(record);
  const outgoing = record.direction === 'outgoing';
  const known = METHODS.has(told.method);
  const { dst_namespace, dst_service } = told;
  const service = dst_service !== '' && dst_namespace !== '' ? `${dst_service}.${dst_namespace}` : dst_service;
  const caller = told.src_workload || told.src_pod;
  const method = known ? told.method : 'HTTP';
  const { address, port } = hostParts(told.host);
  const error = errorOf(record.direction, told.error, told.status);
  const at = (monotonic: number) => record.timestamp + (monotonic - record.startedAt);
  const near = outgoing
    ? { namespace: told.src_namespace, pod: told.src_pod }
    : { namespace: dst_namespace, pod: told.dst_pod };
  return {
    ids: trace.ids,
    tracestate: trace.tracestate,
    name: service === '' ? method : `${method} ${service}`,
    kind: outgoing ? 'client' : 'server',
    startMs: record.timestamp,
    endMs: at(record.endedAt),
    attributes: stated({
      'http.request.method': known ? told.method : '_OTHER',
      'http.request.method_original': known ? '' : told.method,
      'http.response.status_code': told.status,
      'http.request.resend_count': record.retries.length,
      'http.request.body.size': told.request_bytes,
      'http.response.body.size': told.response_bytes,
      'url.scheme': 'http',
      'url.path': told.method === 'CONNECT' ? '' : told.uri.replace(/\?…$/, ''),
      'server.address': address,
      'server.port': port,
      'client.address': outgoing || record.fromPeer !== '' ? '' : record.caller.address,
      'network.protocol.version': told.version.slice('HTTP/'.length),
      'network.peer.address': outgoing ? hostParts(told.peer || told.backend).address : record.caller.address,
      'user_agent.original': told.user_agent,
      'error.type': error,
      'peer.service': outgoing ? service : '',
      'k8s.namespace.name': near.namespace,
      'k8s.pod.name': near.pod,
      'nodemesh.direction': told.direction,
      'nodemesh.src_namespace': told.src_namespace,
      'nodemesh.src_workload': told.src_workload,
      'nodemesh.src_pod': told.src_pod,
      'nodemesh.dst_namespace': dst_namespace,
      'nodemesh.dst_service': dst_service,
      'nodemesh.dst_pod': told.dst_pod,
      'nodemesh.backend': told.backend,
      'nodemesh.peer': told.peer,
    }),
    events: record.attempts.slice(0, record.retries.length).map((attempt, i) => ({
      name: 'retry',
      atMs: at(attempt.endedAt || record.endedAt),
      attributes: retryAttributes(attempt, i + 1),
    })),
    error,
    local: (outgoing ? caller : service) || 'nodemesh',
    remote: outgoing ? service : caller,
  };
}

/** What is said of an attempt that another one followed. */
function retryAttributes({ reason, backend, pod, peer, status }: AttemptRecord, attempt: number): Attributes {
  return stated({
    'nodemesh.attempt': attempt,
    'nodemesh.reason': reason,
    'nodemesh.backend': backend,
    'nodemesh.dst_pod': pod,
    'nodemesh.peer': peer,
    'http.response.status_code': status,
  });
}

/** A mesh error's code, or the status where that is a failure: of a client span from 400 on, of a server span from 500 on. */
function errorOf(direction: RouterRole, code: string, status: number): string {
  if (code !== '') return code;
  return status >= (direction === 'outgoing' ? 400 : 500) ? String(status) : '';
}

function hostParts(host: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(host);
  return { address: match?.[1] ?? match?.[2] ?? host, port: Number(match?.[3] ?? 0) };
}

/** Without what is not known: '' and 0. */
function stated(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== '' && value !== 0));
}
