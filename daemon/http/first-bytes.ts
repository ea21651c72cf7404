const TOKEN_BYTE = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/;
/** The longest method that is taken for one. */
const MAX_METHOD = 24;
const SPACE = 0x20;

/**
 * Whether the first bytes inside a tunnel begin an HTTP/1 request: a method and a space (RFC 9112 §3). Undefined while
 * there are too few to tell. TLS begins with 0x16; HTTP/2 with a preface that only looks like a request (RFC 9113 §3.4).
 */
export function beginsRequest(bytes: Buffer): boolean | undefined {
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    if (byte === SPACE) return i > 0 && bytes.toString('latin1', 0, i) !== 'PRI';
    if (i === MAX_METHOD || !TOKEN_BYTE.test(String.fromCharCode(byte))) return false;
  }
  return undefined;
}
