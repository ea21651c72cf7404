import type { RouterRole } from './daemon-metrics.ts';
import type { BeginningExchange, ExchangeRecord } from './exchange-record.ts';
import { shownTarget } from './told-record.ts';

/** What a record must be, in all of these; what is left out does not matter. */
export interface RecordFilter {
  readonly direction?: RouterRole | undefined;
  /** Of the caller or of the destination. */
  readonly namespace?: string | undefined;
  /** Of the destination. */
  readonly service?: string | undefined;
  /** Of the caller. */
  readonly workload?: string | undefined;
  /** The caller or the one that answers. */
  readonly pod?: string | undefined;
  /** As `STATUS` has it. */
  readonly status?: string | undefined;
  readonly method?: string | undefined;
  /** Exactly, or with a `*` at its end what begins so; without the query. */
  readonly path?: string | undefined;
  readonly host?: string | undefined;
  readonly minMs?: number | undefined;
}

/** `5xx`, `503`, or `0` for none. */
export const STATUS = /^(?:0|[1-5](?:xx|\d\d))$/;
export const STATUS_FORMS = 'give a status such as 503, a class such as 5xx, or 0 for none';
export const PATH = /^\/[^?]*$/;
export const PATH_FORMS = 'give a path such as /api/users, or /api/* for all that begins so';

/** Whether an exchange that begins may turn out to be one that the filter wants. */
export function mayMatch({ direction, method }: RecordFilter, exchange: BeginningExchange, role: RouterRole): boolean {
  return (direction ?? role) === role && (method ?? exchange.request.method) === exchange.request.method;
}

/** Whether a finished record is what the filter wants. */
export function matches(filter: RecordFilter, record: ExchangeRecord): boolean {
  const { namespace, service, workload, pod, status, minMs } = filter;
  if (!mayMatch(filter, record, record.direction)) return false;
  if (namespace !== undefined && namespace !== record.srcNamespace && namespace !== record.dstNamespace) return false;
  if (service !== undefined && service !== record.dstService) return false;
  if (workload !== undefined && workload !== record.srcWorkload) return false;
  if (pod !== undefined && pod !== record.srcPod && pod !== record.attempts.at(-1)?.pod) return false;
  if (status !== undefined && !isStatus(status, record.status)) return false;
  if (minMs !== undefined && record.endedAt - record.startedAt < minMs) return false;
  return matchesTarget(filter, record);
}

function matchesTarget({ path, host }: RecordFilter, { request }: ExchangeRecord): boolean {
  if (path === undefined && host === undefined) return true;
  const shown = shownTarget(request);
  if (host !== undefined && host.toLowerCase() !== shown.host.toLowerCase()) return false;
  if (path === undefined) return true;
  const [asked = ''] = shown.path.split('?', 1);
  return path.endsWith('*') ? asked.startsWith(path.slice(0, -1)) : asked === path;
}

function isStatus(wanted: string, status: number): boolean {
  return wanted.endsWith('xx') ? Math.floor(status / 100) === Number(wanted[0]) : status === Number(wanted);
}
