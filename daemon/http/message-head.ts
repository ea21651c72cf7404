import { FieldClass, type FieldList, type HeadFields, listMembers, withoutBlanks } from './fields.ts';
import { findHead } from './head-reader.ts';
import { MessageFacts, readFieldLines, TOKEN } from './message-facts.ts';
import { ProxyError } from './proxy-error.ts';

/** How the end of a body is known (RFC 9112 §6.3). */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' };

export const NO_BODY: Framing = { kind: 'none' };
export const CHUNKED: Framing = { kind: 'chunked' };
const UNTIL_CLOSE: Framing = { kind: 'close' };

interface MessageHead {
  /** 0 or 1: the x of HTTP/1.x. */
  readonly minorVersion: number;
  readonly fields: HeadFields;
  /** Whether the sender means to keep the connection (RFC 9112 §9.3). */
  readonly keepAlive: boolean;
  readonly framing: Framing;
}

export interface RequestHead extends MessageHead {
  readonly method: string;
  /** As received, in any of the four forms of RFC 9112 §3.2. */
  readonly target: string;
  /** The one Host field's value; undefined where HTTP/1.0 left it out. */
  readonly host: string | undefined;
  readonly expectsContinue: boolean;
  readonly acceptsTrailers: boolean;
  /** The protocol that the client asks to switch to (RFC 9110 §7.8), as written; undefined where it does not, or may not. */
  readonly upgrade: string | undefined;
  /** The field's value, as written. */
  readonly grpcTimeout: string | undefined;
  /** [name, value]… of its `l5d-timeout` and `l5d-ctx-deadline`, names lower-case; undefined where it has none. */
  readonly l5dTimes: FieldList | undefined;
  /** The same of the fields that say which trace it belongs to, and of `l5d-sample`. */
  readonly traceFields: FieldList | undefined;
}

export interface ResponseHead extends MessageHead {
  readonly status: number;
  readonly reason: string;
  /** Whether it says which protocol it switches to (RFC 9110 §7.8). */
  readonly upgrades: boolean;
  /** `Keep-Alive: timeout=…` in seconds, if the server gave one. */
  readonly keepAliveTimeoutS: number | undefined;
}

/** A head that was read, and where in the bytes that it was found in its message goes on. */
export interface FoundMessage<Head> {
  readonly head: Head;
  readonly bodyOffset: number;
}

const TARGET = /^[\x21-\x22\x24-\x5b\x5d-\x7e]+$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/;
/** Digits beyond which a length could lose precision as a double (2^53 has 16). */
export const MAX_LENGTH_DIGITS = 15;

/** Reads a request head from `start` on; undefined while it is incomplete. Throws ProxyError as `findHead` (also of `seen`) and `parseRequestHead`. */
export function readRequest(bytes: Buffer, start: number, seen = 0): FoundMessage<RequestHead> | undefined {
  const found = findHead(bytes, start, seen);
  return found && { head: parseRequestHead(found.text), bodyOffset: found.bodyOffset };
}

/** Reads a response head likewise. Throws ProxyError as `findHead` and `parseResponseHead`. */
export function readResponse(
  bytes: Buffer,
  start: number,
  requestMethod: string,
): FoundMessage<ResponseHead> | undefined {
  const found = findHead(bytes, start);
  return found && { head: parseResponseHead(found.text, requestMethod), bodyOffset: found.bodyOffset };
}

/**
 * Reads a request head strictly (RFC 9112 §2–§6): `text` is everything before the empty line, as latin1.
 * Throws ProxyError (400, 417, 501, 505) for whatever is malformed or could be read in two ways.
 */
export function parseRequestHead(text: string): RequestHead {
  const lineEnd = text.indexOf('\r\n');
  const line = lineEnd === -1 ? text : text.slice(0, lineEnd);
  const afterMethod = line.indexOf(' ');
  const afterTarget = line.indexOf(' ', afterMethod + 1);
  if (afterMethod <= 0 || afterTarget === -1) {
    throw new ProxyError('bad_request', 'the request line is not "METHOD target HTTP/1.1"');
  }
  const method = line.slice(0, afterMethod);
  const target = line.slice(afterMethod + 1, afterTarget);
  const minorVersion = parseVersion(line.slice(afterTarget + 1));
  if (!TOKEN.test(method)) throw new ProxyError('bad_request', 'the method is not a token');
  if (!TARGET.test(target))
    throw new ProxyError('bad_request', 'the request target has characters that a URI may not have');
  const facts = new MessageFacts();
  if (lineEnd !== -1) readFieldLines(text, lineEnd + 2, facts);
  if (facts.host === undefined && minorVersion === 1) {
    throw new ProxyError('bad_authority', 'an HTTP/1.1 request needs a Host field');
  }
  if (facts.expect !== undefined && facts.expect.toLowerCase() !== '100-continue') {
    throw new ProxyError('bad_expectation', `the expectation "${facts.expect}" is not known`);
  }
  // A server ignores it there (RFC 9110 §10.1.1), and the next one would see it in an HTTP/1.1 request.
  if (facts.expect !== undefined && minorVersion === 0) {
    facts.classes[facts.classes.indexOf(FieldClass.expect)] = FieldClass.hopByHop;
  }
  const framing = requestFraming(facts, minorVersion);
  const bodiless = framing === NO_BODY || (framing.kind === 'length' && framing.length === 0);
  if (method === 'CONNECT' && !bodiless) {
    throw new ProxyError('bad_request', 'a CONNECT request has no content (RFC 9110 §9.3.6)');
  }
  return {
    method,
    target,
    minorVersion,
    fields: facts.table,
    keepAlive: keepsAlive(minorVersion, facts.connectionOptions),
    framing,
    host: facts.host,
    expectsContinue: facts.expect !== undefined && minorVersion === 1,
    acceptsTrailers: facts.te !== undefined && minorVersion === 1 && listMembers(facts.te).includes('trailers'),
    upgrade: minorVersion === 1 && bodiless ? askedUpgrade(facts) : undefined,
    grpcTimeout: facts.grpcTimeout,
    l5dTimes: facts.l5dTimes,
    traceFields: facts.traceFields,
  };
}

/**
 * Reads a response head strictly. `requestMethod` decides the framing (RFC 9112 §6.3: HEAD, 1xx, 204 and 304 have no body).
 * Throws ProxyError bad_response (502) for whatever is malformed or ambiguous.
 */
export function parseResponseHead(text: string, requestMethod: string): ResponseHead {
  const lineEnd = text.indexOf('\r\n');
  const match = STATUS_LINE.exec(lineEnd === -1 ? text : text.slice(0, lineEnd));
  if (match === null) throw new ProxyError('bad_response', 'the status line is not "HTTP/1.1 <100–599> …"');
  const minorVersion = match[1] === '1' ? 1 : 0;
  const status = Number(match[2]);
  const facts = new MessageFacts();
  try {
    if (lineEnd !== -1) readFieldLines(text, lineEnd + 2, facts);
    return {
      status,
      reason: match[3] ?? '',
      minorVersion,
      fields: facts.table,
      upgrades: facts.connectionOptions.includes('upgrade') && facts.upgrade !== undefined,
      keepAlive: keepsAlive(minorVersion, facts.connectionOptions) && !endsElsewhere(facts, status, minorVersion),
      framing: responseFraming(facts, status, requestMethod),
      keepAliveTimeoutS: keepAliveTimeout(facts.keepAlive),
    };
  } catch (error) {
    throw error instanceof ProxyError ? new ProxyError('bad_response', error.message) : error;
  }
}

function parseVersion(text: string): number {
  if (text === 'HTTP/1.1') return 1;
  if (text === 'HTTP/1.0') return 0;
  if (/^HTTP\/\d\.\d$/.test(text)) throw new ProxyError('bad_version', `${text} is not spoken here`);
  throw new ProxyError('bad_request', 'the request line does not end in "HTTP/1.1"');
}

/** An upgrade to h2c is not passed on: RFC 9113 has dropped it, and the next hop may be another kind of connection. */
function askedUpgrade(facts: MessageFacts): string | undefined {
  if (facts.upgrade === undefined || !facts.connectionOptions.includes('upgrade')) return undefined;
  const protocols = listMembers(facts.upgrade);
  return protocols.length === 0 || protocols.includes('h2c') ? undefined : facts.upgrade;
}

function keepsAlive(minorVersion: number, options: readonly string[]): boolean {
  if (options.includes('close')) return false;
  return minorVersion === 1 || options.includes('keep-alive');
}

/** The seconds of a `Keep-Alive: timeout=…`; undefined where it has none. */
export function keepAliveTimeout(value: string | undefined): number | undefined {
  const match = value === undefined ? null : /(?:^|[,;\s])timeout=(\d{1,6})/i.exec(value);
  return match === null ? undefined : Number(match[1]);
}

function parseContentLength(text: string): number {
  if (!/^\d+$/.test(text) || text.length > MAX_LENGTH_DIGITS) {
    throw new ProxyError('bad_request', `Content-Length "${text.slice(0, 32)}" is not one decimal number`);
  }
  return Number(text);
}

/** Checks `Transfer-Encoding`: exactly `chunked`, once. Anything else cannot be framed by us (RFC 9112 §6.1). */
function checkTransferEncoding(value: string): void {
  const lower = value.toLowerCase();
  if (lower === 'chunked') return;
  const codings = lower.split(',').map(withoutBlanks);
  const wellFormed = codings.every((coding) => TOKEN.test(coding.split(';')[0] ?? ''));
  if (!wellFormed || codings.indexOf('chunked') !== codings.length - 1) {
    throw new ProxyError('bad_request', 'Transfer-Encoding does not end in one "chunked"');
  }
  throw new ProxyError('not_implemented', `the transfer coding "${value.slice(0, 64)}" is not known`);
}

function requestFraming(facts: MessageFacts, minorVersion: number): Framing {
  const { transferEncoding, contentLength } = facts;
  if (transferEncoding === undefined) {
    return contentLength === undefined ? NO_BODY : { kind: 'length', length: parseContentLength(contentLength) };
  }
  if (minorVersion === 0) throw new ProxyError('bad_request', 'Transfer-Encoding in an HTTP/1.0 request');
  if (contentLength !== undefined) {
    throw new ProxyError('bad_request', 'both Content-Length and Transfer-Encoding are given');
  }
  checkTransferEncoding(transferEncoding);
  return CHUNKED;
}

/**
 * Whether the sender may think that its answer ends somewhere else than it does: a 204 with content (RFC 9110 §8.6), chunks
 * from HTTP/1.0 (RFC 9112 §6.1). Its connection is not used again.
 */
function endsElsewhere(facts: MessageFacts, status: number, minorVersion: number): boolean {
  if (facts.transferEncoding !== undefined && minorVersion === 0) return true;
  if (status !== 204) return false;
  return facts.transferEncoding !== undefined || (facts.contentLength !== undefined && Number(facts.contentLength) > 0);
}

function responseFraming(facts: MessageFacts, status: number, requestMethod: string): Framing {
  const { transferEncoding, contentLength } = facts;
  if (requestMethod === 'CONNECT' && status >= 200 && status < 300) return NO_BODY; // framing fields are ignored there
  if (transferEncoding !== undefined && contentLength !== undefined) {
    throw new ProxyError('bad_response', 'both Content-Length and Transfer-Encoding are given');
  }
  const length = contentLength === undefined ? undefined : parseContentLength(contentLength);
  if (transferEncoding !== undefined) checkTransferEncoding(transferEncoding);
  if (requestMethod === 'HEAD' || status < 200 || status === 204 || status === 304) return NO_BODY;
  if (transferEncoding !== undefined) return CHUNKED;
  return length === undefined ? UNTIL_CLOSE : { kind: 'length', length };
}
