import { type FormContext, isZero, type SpanIds } from './span-ids.ts';

/** version, trace id, parent id, flags; of a later version more may follow (Trace Context §3.2). */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const SAMPLED = 1;
const RANDOM = 2;
/** Trace Context §3.3.1.1. */
const MAX_MEMBERS = 32;
/** §3.3.1.3; a tenant's key, of level 1, also fits the first. */
const KEY = /^(?:[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/;
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** Reads traceparent fields (Trace Context §3.2). Undefined for none, several, and what is not valid. */
export function parseTraceparent(
  values: readonly string[],
): (FormContext & { readonly ids: SpanIds; readonly randomId: boolean }) | undefined {
  const match = values.length === 1 ? TRACEPARENT.exec(values[0] as string) : null;
  if (match === null) return undefined;
  const [, version, traceId = '', spanId = '', flagDigits = '', rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined) || isZero(traceId) || isZero(spanId))
    return undefined;
  const flags = Number.parseInt(flagDigits, 16);
  return {
    ids: { traceId, spanId },
    sampled: (flags & SAMPLED) !== 0,
    debug: false,
    randomId: (flags & RANDOM) !== 0,
  };
}

/** Version 00 whatever came in (Trace Context §4.3), sampled. */
export function formatTraceparent({ traceId, spanId }: SpanIds, randomId: boolean): string {
  return `00-${traceId}-${spanId}-0${randomId ? SAMPLED | RANDOM : SAMPLED}`;
}

/** Joins tracestate fields into one value (Trace Context §3.3). '' for none, and for a list that is not valid, which goes no further. */
export function parseTracestate(values: readonly string[]): string {
  const members = values
    .flatMap((value) => value.split(','))
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((member) => member !== '');
  const keys = new Set<string>();
  for (const member of members) {
    const equals = member.indexOf('=');
    const key = member.slice(0, equals);
    if (equals === -1 || keys.has(key) || !KEY.test(key) || !VALUE.test(member.slice(equals + 1))) return '';
    keys.add(key);
  }
  return members.length > MAX_MEMBERS ? '' : members.join(',');
}
