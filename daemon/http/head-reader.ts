import { ProxyError } from './proxy-error.ts';

const MAX_LINE_BYTES = 8 * 1024;
const MAX_HEAD_BYTES = 64 * 1024;
const CRLF = Buffer.from('\r\n', 'latin1');
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const CR = 0x0d;
const LF = 0x0a;
const REQUEST_LINE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^ ]+ HTTP\/\d\.\d$/;
const METHOD_BYTE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;
const ANSWER_BEGINS = 'HTTP/1.';

/** A complete head's text (without its empty line), and where the body begins in the bytes it was found in. */
export interface FoundHead {
  readonly text: string;
  readonly bodyOffset: number;
}

/**
 * Looks for the end of a message head in `bytes`, from `start` on. Gives undefined while it is incomplete. `seen`: how many
 * bytes from there on an earlier call has looked at in vain, so that a head that comes byte by byte costs no more than its length.
 * Throws ProxyError target_too_long (414), head_too_large (431), or bad_request for lines that end in a bare LF, at once
 * and not only when the head is complete.
 */
export function findHead(bytes: Buffer, start: number, seen = 0): FoundHead | undefined {
  const end = bytes.indexOf(HEAD_END, start + Math.max(0, seen - HEAD_END.length + 1));
  if (end === -1 || end - start > MAX_LINE_BYTES) checkLimits(bytes, start, end);
  if (end !== -1) return { text: bytes.toString('latin1', start, end), bodyOffset: end + HEAD_END.length };
  for (let lf = bytes.indexOf(LF, start + seen); lf !== -1; lf = bytes.indexOf(LF, lf + 1)) {
    if (lf === start || bytes[lf - 1] !== CR)
      throw new ProxyError('bad_request', 'a line of the head ends in a bare LF');
  }
  return undefined;
}

/** `end`: of the head; -1 while it is unknown. What may be the beginning of a line's end, or of the head's, does not count yet. */
function checkLimits(bytes: Buffer, start: number, end: number): void {
  const lineEnd = bytes.subarray(start, start + MAX_LINE_BYTES + CRLF.length).indexOf(CRLF);
  if (lineEnd === -1 && bytes.length - start >= MAX_LINE_BYTES + CRLF.length) {
    throw new ProxyError('target_too_long', 'the request line is over 8 KiB');
  }
  const length = end === -1 ? bytes.length - HEAD_END.length + 1 : end;
  if (length - start > MAX_HEAD_BYTES) throw new ProxyError('head_too_large', 'the head is over 64 KiB');
}

/**
 * Throws ProxyError bad_request where the incomplete head from `start` on can never become a request's: TLS, a line that ends in
 * no version (HTTP/0.9). Who sends such waits for something else than the rest of a head. `seen` as above.
 */
export function checkRequestBegins(bytes: Buffer, start: number, seen: number): void {
  const lineEnd = bytes.indexOf(CRLF, start);
  if (lineEnd === -1) {
    const first = String.fromCharCode(bytes[start] as number);
    if (seen > 1 || METHOD_BYTE.test(first) || (first === '\r' && bytes.length === start + 1)) return;
  } else if (lineEnd < start + seen - 1 || REQUEST_LINE.test(bytes.toString('latin1', start, lineEnd))) {
    return;
  }
  throw new ProxyError('bad_request', 'the connection does not go on with a request of HTTP/1');
}

/** Throws ProxyError bad_response where the incomplete head from `start` on can never become an answer's. */
export function checkAnswerBegins(bytes: Buffer, start: number): void {
  const begins = bytes.toString('latin1', start, start + ANSWER_BEGINS.length);
  if (!ANSWER_BEGINS.startsWith(begins)) {
    throw new ProxyError('bad_response', 'the destination does not speak HTTP/1');
  }
}
