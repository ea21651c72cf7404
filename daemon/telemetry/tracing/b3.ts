import { type FormContext, isZero, type SpanIds } from './span-ids.ts';

/** Trace id, span id, sampling state, parent's span id; of the last two none, the first or both (openzipkin/b3-propagation). */
const SINGLE = /^([0-9a-f]{32}|[0-9a-f]{16})-([0-9a-f]{16})(?:-([01d])(?:-([0-9a-f]{16}))?)?$/;
const TRACE_ID = /^(?:[0-9a-f]{32}|[0-9a-f]{16})$/;
const SPAN_ID = /^[0-9a-f]{16}$/;
/** The older spellings are to be taken too. */
const SAMPLED: Readonly<Record<string, boolean>> = { '1': true, '0': false, true: true, false: false };

/** Reads `b3` fields, of ids in either case. Undefined for none, several, and what is not valid. */
export function parseB3(values: readonly string[]): FormContext | undefined {
  const value = values.length === 1 ? (values[0] as string).toLowerCase() : '';
  if (value === '0' || value === '1' || value === 'd') {
    return { ids: undefined, sampled: value !== '0', debug: value === 'd' };
  }
  const match = SINGLE.exec(value);
  if (match === null) return undefined;
  const [, traceId = '', spanId = '', state, parentSpanId] = match;
  if (isZero(traceId) || isZero(spanId)) return undefined;
  return {
    ids: { traceId: traceId.padStart(32, '0'), spanId, parentSpanId },
    sampled: state === undefined ? undefined : state !== '0',
    debug: state === 'd',
  };
}

/** Reads `X-B3-*`; `value` gives a field's value by its name in lower case. Undefined as `parseB3`. */
export function parseB3Fields(value: (name: string) => string | undefined): FormContext | undefined {
  const debug = value('x-b3-flags') === '1';
  const said = value('x-b3-sampled');
  const sampled = debug ? true : said === undefined ? undefined : SAMPLED[said.toLowerCase()];
  const ids = idsOf(value);
  return ids === undefined && sampled === undefined ? undefined : { ids, sampled, debug };
}

function idsOf(value: (name: string) => string | undefined): SpanIds | undefined {
  const traceId = value('x-b3-traceid')?.toLowerCase() ?? '';
  const spanId = value('x-b3-spanid')?.toLowerCase() ?? '';
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId) || isZero(traceId) || isZero(spanId)) return undefined;
  const parent = value('x-b3-parentspanid')?.toLowerCase();
  const parentSpanId = parent !== undefined && SPAN_ID.test(parent) ? parent : undefined;
  return { traceId: traceId.padStart(32, '0'), spanId, parentSpanId };
}

/** The value of `b3` for a span that is sampled. */
export function formatB3(ids: SpanIds, debug: boolean): string {
  const parent = ids.parentSpanId === undefined ? '' : `-${ids.parentSpanId}`;
  return `${shortTraceId(ids)}-${ids.spanId}-${debug ? 'd' : '1'}${parent}`;
}

/** The lines `X-B3-*` for a span that is sampled. Debug implies that it is, and is said alone. */
export function formatB3Fields(ids: SpanIds, debug: boolean): string {
  const parent = ids.parentSpanId === undefined ? '' : `X-B3-ParentSpanId: ${ids.parentSpanId}\r\n`;
  const state = debug ? 'X-B3-Flags: 1\r\n' : 'X-B3-Sampled: 1\r\n';
  return `X-B3-TraceId: ${shortTraceId(ids)}\r\nX-B3-SpanId: ${ids.spanId}\r\n${parent}${state}`;
}

/** As it came in: whoever has ids of 64 bits does not know longer ones. */
function shortTraceId({ traceId }: SpanIds): string {
  return traceId.startsWith('0000000000000000') ? traceId.slice(16) : traceId;
}
