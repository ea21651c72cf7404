import { type FormContext, isZero, type SpanIds } from './span-ids.ts';

/** finagle's Flags. */
const DEBUG = 1;
const SAMPLING_KNOWN = 2;
const SAMPLED = 4;
const BASE64 = /^[0-9A-Za-z+/]+={0,2}$/;
const NO_HIGH_PART = '0000000000000000';

/**
 * Reads linkerd's `l5d-ctx-trace`: in base64, big-endian, 8 bytes each of span, parent, trace, flags, and of a trace id of 128
 * bits its higher half (finagle's TraceId.deserialize). Undefined for what is not that.
 */
export function parseL5dTrace(value: string | undefined): FormContext | undefined {
  if (value === undefined || !BASE64.test(value)) return undefined;
  const bytes = Buffer.from(value, 'base64');
  if (bytes.length !== 32 && bytes.length !== 40) return undefined;
  const hex = (at: number) => bytes.toString('hex', at, at + 8);
  const [spanId, parentId, traceId] = [hex(0), hex(8), hex(16)];
  const high = bytes.length === 40 ? hex(32) : NO_HIGH_PART;
  if (isZero(spanId) || isZero(high + traceId)) return undefined;
  const flags = bytes[31] as number;
  const debug = (flags & DEBUG) !== 0;
  const known = (flags & SAMPLING_KNOWN) !== 0;
  return {
    // A span without a parent names itself.
    ids: { traceId: high + traceId, spanId, parentSpanId: parentId === spanId ? undefined : parentId },
    sampled: debug ? true : known ? (flags & SAMPLED) !== 0 : undefined,
    debug,
  };
}

/** The value for a span that is sampled, as finagle's TraceId.serialize: 40 bytes where the trace id takes more than 64 bits. */
export function formatL5dTrace({ traceId, spanId, parentSpanId }: SpanIds, debug: boolean): string {
  const flags = SAMPLING_KNOWN | SAMPLED | (debug ? DEBUG : 0);
  const high = traceId.slice(0, 16);
  const hex = `${spanId}${parentSpanId ?? spanId}${traceId.slice(16)}${String(flags).padStart(16, '0')}`;
  return Buffer.from(high === NO_HIGH_PART ? hex : hex + high, 'hex').toString('base64');
}
