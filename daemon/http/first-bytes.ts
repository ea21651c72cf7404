const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,24}(?: |$)/;
/** A request line as far as it has come: method, target, and a version that may still be incomplete. */
const REQUEST_LINE = /^[^ ]+(?: (?:[\x21-\xff]*|[\x21-\xff]+ (?:|H|HT|HTT|HTTP|HTTP\/[\d.]*\r?)))?$/;
/** Longer lines are refused as requests. */
const MAX_LINE = 8 * 1024;

/**
 * Whether the first bytes inside a tunnel begin an HTTP/1 request: a line `METHOD target HTTP/…` (RFC 9112 §3). Undefined while
 * there are too few to tell: other protocols begin with a word and a space as well (SSH, memcached, IRC), so that the word
 * alone says nothing. TLS begins with 0x16; HTTP/2 with a preface that only looks like a request (RFC 9113 §3.4).
 */
export function beginsRequest(bytes: Buffer): boolean | undefined {
  const lineEnd = bytes.indexOf('\r\n');
  const line = bytes.toString('latin1', 0, lineEnd === -1 ? Math.min(bytes.length, MAX_LINE) : lineEnd);
  if (line === '' && lineEnd === -1) return undefined;
  if (!METHOD.test(line) || line.startsWith('PRI ') || !REQUEST_LINE.test(line)) return false;
  if (line.length === MAX_LINE) return true;
  return lineEnd === -1 ? undefined : / HTTP\/[\d.]+$/.test(line);
}
