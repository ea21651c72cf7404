/** What is asked of every proxy, in the order of the table. */
export interface Case {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  readonly mode: LoadMode;
  /** The bytes of one request; its path says how long an answer is wanted (see upstream.ts). */
  readonly request: string;
  readonly answerBytes: number;
}

/**
 * closed: each connection sends its next request when the last answer is complete.
 * close: the same, with a connection for each request.
 * paced: so many requests a second, whether or not earlier ones have been answered.
 */
export type LoadMode = { readonly kind: 'closed' | 'close' } | { readonly kind: 'paced'; readonly perSecond: number };

const SMALL = 64;
const CLOSED: LoadMode = { kind: 'closed' };

export const CASES: readonly Case[] = [
  get('get-64', 'GET, 64 B answer', SMALL, 50, CLOSED),
  get('get-16k', 'GET, 16 KB answer', 16 * 1024, 50, CLOSED),
  {
    name: 'post-4k',
    title: 'POST 4 KB, 64 B answer',
    connections: 50,
    mode: CLOSED,
    request: `${head('POST', SMALL)}Content-Length: 4096\r\n\r\n${'y'.repeat(4096)}`,
    answerBytes: SMALL,
  },
  get('stream-1m', 'GET, 1 MB answer', 1024 * 1024, 8, CLOSED),
  get('close-64', 'GET, 64 B answer, a connection for each request', SMALL, 50, { kind: 'close' }),
  get('paced-64', 'GET, 64 B answer, 1 000 requests/s', SMALL, 20, { kind: 'paced', perSecond: 1_000 }),
];

function get(name: string, title: string, answerBytes: number, connections: number, mode: LoadMode): Case {
  const close = mode.kind === 'close' ? 'Connection: close\r\n' : 'Proxy-Connection: keep-alive\r\n';
  return { name, title, connections, mode, request: `${head('GET', answerBytes)}${close}\r\n`, answerBytes };
}

/** What clients send to a forward proxy: the absolute form (RFC 9112 §3.2.2) of a name, and the usual fields. */
function head(method: string, answerBytes: number): string {
  return `${method} http://web/${answerBytes} HTTP/1.1\r\nHost: web\r\nUser-Agent: bench/1\r\nAccept: */*\r\n`;
}
