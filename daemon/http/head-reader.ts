import { ProxyError } from './proxy-error.ts';

const MAX_LINE_BYTES = 8 * 1024;
const MAX_HEAD_BYTES = 64 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n', 'latin1');
const BARE_LF = /(?:^|[^\r])\n/;

/** A complete head's text (without its empty line), and where the body begins in the bytes it was found in. */
export interface FoundHead {
  readonly text: string;
  readonly bodyOffset: number;
}

/**
 * Looks for the end of a message head in `bytes`, from `start` on. Gives undefined while it is incomplete.
 * Throws ProxyError target_too_long (414), head_too_large (431), or bad_request for lines that end in a bare LF, at once
 * and not only when the head is complete.
 */
export function findHead(bytes: Buffer, start: number): FoundHead | undefined {
  const end = bytes.indexOf(HEAD_END, start);
  if (end !== -1 && end - start <= MAX_LINE_BYTES) {
    return { text: bytes.toString('latin1', start, end), bodyOffset: end + HEAD_END.length };
  }
  const seen = bytes.toString('latin1', start, end === -1 ? Math.min(bytes.length, start + MAX_HEAD_BYTES + 1) : end);
  const firstLine = seen.indexOf('\r\n');
  if (firstLine > MAX_LINE_BYTES || (firstLine === -1 && seen.length > MAX_LINE_BYTES)) {
    throw new ProxyError('target_too_long', 'the request line is over 8 KiB');
  }
  if (seen.length > MAX_HEAD_BYTES) throw new ProxyError('head_too_large', 'the head is over 64 KiB');
  if (end !== -1) return { text: seen, bodyOffset: end + HEAD_END.length };
  if (BARE_LF.test(seen)) throw new ProxyError('bad_request', 'a line of the head ends in a bare LF');
  return undefined;
}
