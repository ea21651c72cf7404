import { FieldRuns, MAX_BYTES } from './field-runs.ts';
import type { HeadFields } from './fields.ts';
import { isLineEnd, SP, tableWhere, VALUE_BYTES, ZERO } from './head-bytes.ts';
import {
  CHUNKED,
  type FoundMessage,
  type Framing,
  keepAliveTimeout,
  NO_BODY,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from './message-head.ts';

/**
 * The quick reading: in one pass over the bytes, heads that leave no doubt — complete, of at most 8 KB, each line as every
 * client and server in its right mind writes it. What it takes it takes as the strict reading does (message-head.ts); of
 * anything else it says nothing, and the strict reading decides. Fields that travel on are not taken apart: neighbours
 * among them leave as one piece of the text that they came in.
 */

const TARGET_BYTES = tableWhere((byte) => byte > SP && byte < 0x7f && byte !== 0x23 && byte !== 0x5c);
const VERSION = Buffer.from('HTTP/1.1', 'latin1');
const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH'].map((name) => ({
  name,
  bytes: Buffer.from(`${name} `),
}));

/** Reads a request head that begins at `start`. Gives undefined where it is not complete or not plain: then read it strictly. */
export function readQuickRequest(bytes: Buffer, start: number): FoundMessage<RequestHead> | undefined {
  const method = methodAt(bytes, start);
  if (method === undefined) return undefined;
  const targetFrom = start + method.length + 1;
  const limit = Math.min(bytes.length, start + MAX_BYTES);
  let at = targetFrom;
  while (at < limit && TARGET_BYTES[bytes[at] as number] === 1) at += 1;
  const targetEnd = at;
  if (targetEnd === targetFrom || at + 11 > limit || bytes[at] !== SP || !isLineEnd(bytes, at + 9)) return undefined;
  if (!startsWith(bytes, at + 1, VERSION)) return undefined;
  const fields = new FieldRuns(strictRequestFields);
  if (!fields.read(bytes, at + 11, start) || fields.host === undefined) return undefined;
  if (fields.chunked && fields.contentLength !== -1) return undefined;
  const head: RequestHead = {
    method,
    target: fields.text.slice(targetFrom - start, targetEnd - start),
    minorVersion: 1,
    fields,
    keepAlive: fields.connection !== 'close',
    framing: framingOf(fields) ?? NO_BODY,
    host: fields.host,
    expectsContinue: fields.expectsContinue,
    acceptsTrailers: false,
    upgrade: undefined,
    grpcTimeout: undefined,
    l5dTimes: undefined,
    traceFields: fields.traceFields,
  };
  return { head, bodyOffset: fields.end };
}

/** Reads a response head that begins at `start`, to a request of that method. Gives undefined as `readQuickRequest`. */
export function readQuickResponse(
  bytes: Buffer,
  start: number,
  requestMethod: string,
): FoundMessage<ResponseHead> | undefined {
  if (requestMethod === 'HEAD' || requestMethod === 'CONNECT') return undefined;
  const limit = Math.min(bytes.length, start + MAX_BYTES);
  if (start + 15 > limit || !startsWith(bytes, start, VERSION) || bytes[start + 8] !== SP || bytes[start + 12] !== SP) {
    return undefined;
  }
  const status = statusAt(bytes, start + 9);
  if (status === undefined || status === 204 || status === 304) return undefined;
  let at = start + 13;
  while (at < limit && VALUE_BYTES[bytes[at] as number] === 1) at += 1;
  if (at + 2 > limit || !isLineEnd(bytes, at)) return undefined;
  const fields = new FieldRuns(strictResponseFields);
  if (!fields.read(bytes, at + 2, start)) return undefined;
  if (fields.chunked && fields.contentLength !== -1) return undefined;
  const framing = framingOf(fields);
  if (framing === undefined) return undefined;
  const head: ResponseHead = {
    status,
    reason: fields.text.slice(13, at - start),
    upgrades: false,
    minorVersion: 1,
    fields,
    keepAlive: fields.connection !== 'close',
    framing,
    keepAliveTimeoutS: fields.keepAlive === undefined ? undefined : keepAliveTimeout(fields.keepAlive),
  };
  return { head, bodyOffset: fields.end };
}

function framingOf({ chunked, contentLength }: FieldRuns): Framing | undefined {
  if (chunked) return CHUNKED;
  return contentLength === -1 ? undefined : { kind: 'length', length: contentLength };
}

function strictRequestFields(text: string): HeadFields {
  return parseRequestHead(text.slice(0, -2)).fields;
}

function strictResponseFields(text: string): HeadFields {
  return parseResponseHead(text.slice(0, -2), 'GET').fields;
}

function methodAt(bytes: Buffer, start: number): string | undefined {
  for (const { name, bytes: expected } of METHODS) {
    if (bytes[start] === expected[0] && startsWith(bytes, start, expected)) return name;
  }
  return undefined;
}

/** 200 to 599. */
function statusAt(bytes: Buffer, at: number): number | undefined {
  const hundreds = (bytes[at] as number) - ZERO;
  const tens = (bytes[at + 1] as number) - ZERO;
  const ones = (bytes[at + 2] as number) - ZERO;
  if (hundreds < 2 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return undefined;
  return hundreds * 100 + tens * 10 + ones;
}

function startsWith(bytes: Buffer, at: number, expected: Buffer): boolean {
  if (at + expected.length > bytes.length) return false;
  for (let i = 0; i < expected.length; i += 1) if (bytes[at + i] !== expected[i]) return false;
  return true;
}
