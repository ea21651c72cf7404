import { classifyField, FieldClass, type FieldFilter, type FieldList, type HeadFields, staysHere } from './fields.ts';
import {
  CHUNKED,
  type FoundMessage,
  type Framing,
  keepAliveTimeout,
  MAX_LENGTH_DIGITS,
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

const MAX_BYTES = 8 * 1024;
const CR = 0x0d;
const LF = 0x0a;
const SP = 0x20;
const TAB = 0x09;
const COLON = 0x3a;
const ZERO = 0x30;
const TO_LOWER = 0x20;

const NAME_BYTES = tableOf("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
const VALUE_BYTES = tableWhere((byte) => byte === TAB || (byte >= SP && byte !== 0x7f));
const TARGET_BYTES = tableWhere((byte) => byte > SP && byte < 0x7f && byte !== 0x23 && byte !== 0x5c);
/** By the lower five bits of a name's first letter and by its length: whether a field that is read here has such a name. */
const NOTABLE = notableShapes();
const NO_VALUES: string[] = [];
const VERSION = Buffer.from('HTTP/1.1', 'latin1');
const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH'].map((name) => ({
  name,
  bytes: Buffer.from(`${name} `),
}));

/** Fields as runs of the text that travel on, and the few that mean something here. */
class FieldRuns implements HeadFields {
  /** The head without its empty line. */
  text = '';
  /** Offsets after the head's last byte, in the bytes that were read. */
  end = 0;
  via: string[] = NO_VALUES;
  host: string | undefined;
  /** -1 where there is none. */
  contentLength = -1;
  chunked = false;
  connection: 'close' | 'keep-alive' | undefined;
  expectsContinue = false;
  keepAlive: string | undefined;
  traceFields: string[] | undefined;
  /** [class, from, to]…, offsets of `text`: one of the context's classes for a run of such fields, endToEnd for any other. */
  readonly #runs: number[] = [];
  /** [name, value]… of fields that are looked for by name. */
  #noted: string[] | undefined;
  #strict: HeadFields | undefined;
  readonly #readStrictly: (text: string) => HeadFields;

  constructor(readStrictly: (text: string) => HeadFields) {
    this.#readStrictly = readStrictly;
  }

  get list(): FieldList {
    return this.#table().list;
  }

  get classes(): readonly FieldClass[] {
    return this.#table().classes;
  }

  value(lowerName: string): string | undefined {
    if (!isNoted(lowerName)) return this.#table().value(lowerName);
    const noted = this.#noted;
    if (noted === undefined) return undefined;
    for (let i = 0; i < noted.length; i += 2) {
      const name = noted[i] as string;
      if (name.length === lowerName.length && name.toLowerCase() === lowerName) return noted[i + 1];
    }
    return undefined;
  }

  forwardedLines(into: string, filter: FieldFilter, also?: FieldClass): string {
    if (also !== undefined) return this.#table().forwardedLines(into, filter, also);
    const runs = this.#runs;
    let text = into;
    for (let i = 0; i < runs.length; i += 3) {
      const runClass = runs[i] as FieldClass;
      if (runClass !== FieldClass.endToEnd && staysHere(runClass, filter)) continue;
      text += this.text.slice(runs[i + 1] as number, runs[i + 2] as number);
    }
    return text;
  }

  #table(): HeadFields {
    this.#strict ??= this.#readStrictly(this.text);
    return this.#strict;
  }

  /** Reads field lines from `start` on, of a head that begins at `base`. Gives false where the strict reading must. */
  read(bytes: Buffer, start: number, base: number): boolean {
    const limit = Math.min(bytes.length, base + MAX_BYTES);
    let at = start;
    let runClass: FieldClass = FieldClass.hopByHop;
    let runFrom = start;
    for (;;) {
      const from = at;
      if (at + 1 >= limit) return false;
      if (bytes[at] === CR) {
        if (bytes[at + 1] !== LF) return false;
        if (runClass !== FieldClass.hopByHop) this.#runs.push(runClass, runFrom - base, from - base);
        this.text = latin1(bytes, base, from);
        this.end = from + 2;
        return true;
      }
      while (at < limit && NAME_BYTES[bytes[at] as number] === 1) at += 1;
      const nameEnd = at;
      if (nameEnd === from || at + 2 >= limit || bytes[at] !== COLON || bytes[at + 1] !== SP) return false;
      at += 2;
      const valueFrom = at;
      if (isBlankByte(bytes[at] as number)) return false;
      while (at < limit && VALUE_BYTES[bytes[at] as number] === 1) at += 1;
      if (at + 1 >= limit || bytes[at] !== CR || bytes[at + 1] !== LF) return false;
      if (at > valueFrom && isBlankByte(bytes[at - 1] as number)) return false;
      const fieldClass = isNotable(bytes, from, nameEnd)
        ? this.#note(bytes, { from, nameEnd, valueFrom, valueEnd: at })
        : FieldClass.endToEnd;
      if (fieldClass === undefined) return false;
      at += 2;
      if (fieldClass === runClass) continue;
      if (runClass !== FieldClass.hopByHop) this.#runs.push(runClass, runFrom - base, from - base);
      runClass = fieldClass;
      runFrom = from;
    }
  }

  /** Takes what a field says of its message. Gives endToEnd, a class of context, or hopByHop for one that stays; undefined as `read` false. */
  #note(bytes: Buffer, line: FieldLine): FieldClass | undefined {
    const { from, nameEnd, valueFrom, valueEnd } = line;
    const name = latin1(bytes, from, nameEnd);
    const fieldClass = classifyField(name);
    switch (fieldClass) {
      case FieldClass.endToEnd:
      case FieldClass.protected:
      case FieldClass.maxForwards:
        return FieldClass.endToEnd;
      case FieldClass.hopByHop:
        return FieldClass.hopByHop;
      case FieldClass.host:
        if (this.host !== undefined) return undefined;
        this.host = latin1(bytes, valueFrom, valueEnd);
        return FieldClass.hopByHop;
      case FieldClass.contentLength:
        return this.#noteLength(bytes, valueFrom, valueEnd) ? FieldClass.hopByHop : undefined;
      case FieldClass.transferEncoding:
        if (this.chunked || latin1(bytes, valueFrom, valueEnd) !== 'chunked') return undefined;
        this.chunked = true;
        return FieldClass.hopByHop;
      case FieldClass.connection: {
        const option = latin1(bytes, valueFrom, valueEnd).toLowerCase();
        if (this.connection !== undefined || (option !== 'close' && option !== 'keep-alive')) return undefined;
        this.connection = option;
        return FieldClass.hopByHop;
      }
      case FieldClass.expect:
        if (this.expectsContinue || latin1(bytes, valueFrom, valueEnd).toLowerCase() !== '100-continue')
          return undefined;
        this.expectsContinue = true;
        return FieldClass.endToEnd;
      case FieldClass.keepAlive:
        this.keepAlive = latin1(bytes, valueFrom, valueEnd);
        return FieldClass.hopByHop;
      case FieldClass.via:
        if (this.via === NO_VALUES) this.via = [];
        this.via.push(latin1(bytes, valueFrom, valueEnd));
        return FieldClass.endToEnd;
      case FieldClass.l5d:
        return FieldClass.l5d;
      case FieldClass.trace:
      case FieldClass.l5dTrace:
      case FieldClass.l5dSample:
        this.traceFields ??= [];
        this.traceFields.push(name.toLowerCase(), latin1(bytes, valueFrom, valueEnd));
        return fieldClass;
      case FieldClass.mesh:
      case FieldClass.proxyAuthorization:
        this.#noted ??= [];
        this.#noted.push(name, latin1(bytes, valueFrom, valueEnd));
        return FieldClass.hopByHop;
      default:
        return undefined;
    }
  }

  #noteLength(bytes: Buffer, from: number, to: number): boolean {
    if (this.contentLength !== -1 || to === from || to - from > MAX_LENGTH_DIGITS) return false;
    let length = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) return false;
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return true;
  }
}

interface FieldLine {
  readonly from: number;
  readonly nameEnd: number;
  readonly valueFrom: number;
  readonly valueEnd: number;
}

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

/** What Buffer's toString does for 'latin1', without its search for the encoding. */
function latin1(bytes: Buffer, from: number, to: number): string {
  return (bytes as Buffer & { latin1Slice(from: number, to: number): string }).latin1Slice(from, to);
}

function isLineEnd(bytes: Buffer, at: number): boolean {
  return bytes[at] === CR && bytes[at + 1] === LF;
}

function isBlankByte(byte: number): boolean {
  return byte === SP || byte === TAB;
}

/** Whether `value` finds a field of that name without the strict reading. */
function isNoted(lowerName: string): boolean {
  return lowerName === 'proxy-authorization' || lowerName.startsWith('mesh-');
}

function isNotable(bytes: Buffer, from: number, nameEnd: number): boolean {
  const length = nameEnd - from;
  const first = (bytes[from] as number) | TO_LOWER;
  if (length < 32 && NOTABLE[(first & 31) * 32 + length] === 1) return true;
  if (length < 4) return false;
  // mesh-, mesh_client, l5d-, x-b3-
  if (first === 0x6d) return bytes[from + 4] === 0x2d || bytes[from + 4] === 0x5f;
  if (first === 0x78) return bytes[from + 3] === 0x33;
  return first === 0x6c && bytes[from + 3] === 0x2d;
}

function notableShapes(): Uint8Array {
  const names = [
    ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'http2-settings', 'host'],
    ['proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization', 'content-length', 'expect', 'via'],
    ['grpc-timeout', 'traceparent', 'tracestate', 'b3'],
  ].flat();
  const shapes = new Uint8Array(32 * 32);
  for (const name of names) shapes[(name.charCodeAt(0) & 31) * 32 + name.length] = 1;
  return shapes;
}

function tableOf(characters: string): Uint8Array {
  return tableWhere((byte) => characters.includes(String.fromCharCode(byte)));
}

function tableWhere(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
