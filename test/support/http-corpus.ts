/** One or more valid requests as a caller would send them on one connection. */
export interface CorpusRequests {
  readonly name: string;
  readonly bytes: string;
}

/** What a server sends on one connection in answer to one request of `method`. */
export interface CorpusResponse {
  readonly name: string;
  readonly method: string;
  readonly bytes: string;
  /** Whether the server closes its side behind the last byte. */
  readonly closes: boolean;
}

const POST = 'POST http://web/form HTTP/1.1\r\nHost: web\r\n';

export const REQUESTS: readonly CorpusRequests[] = [
  { name: 'GET, absolute form', bytes: 'GET http://web/a?b=%20c HTTP/1.1\r\nHost: web\r\nAccept: */*\r\n\r\n' },
  { name: 'GET, origin form', bytes: 'GET /a//b;c HTTP/1.1\r\nHost: web\r\nX-Empty:\r\nX-Blank: \t \r\n\r\n' },
  { name: 'empty lines before', bytes: '\r\n\r\nGET http://web/ HTTP/1.1\r\nHost: web\r\n\r\n' },
  { name: 'field spellings', bytes: 'GET / HTTP/1.1\r\nhOsT:web\r\nX_y|~: "a", b;\tc\xe9\r\nX_y|~: d \t\r\n\r\n' },
  { name: 'HTTP/1.0 without Host', bytes: 'GET http://web/old HTTP/1.0\r\n\r\n' },
  { name: 'HTTP/1.0 keep-alive', bytes: 'GET http://web/ HTTP/1.0\r\nHost: web\r\nConnection: keep-alive\r\n\r\n' },
  { name: 'HEAD', bytes: 'HEAD http://web/ HTTP/1.1\r\nHost: web\r\n\r\n' },
  { name: 'OPTIONS *', bytes: 'OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n' },
  { name: 'DELETE with a body', bytes: 'DELETE / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc' },
  { name: 'Content-Length', bytes: `${POST}Content-Length: 11\r\n\r\nhello world` },
  { name: 'Content-Length: 0', bytes: `${POST}Content-Length: 0\r\n\r\n` },
  { name: 'Content-Length, HTTP/1.0', bytes: 'POST / HTTP/1.0\r\nHost: web\r\nContent-Length: 4\r\n\r\n\r\n\r\n' },
  { name: 'chunked', bytes: `${POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n` },
  {
    name: 'chunk extensions',
    bytes: `${POST}Transfer-Encoding: Chunked\r\n\r\n00A;a=b;c="d e";f\r\n0123456789\r\n1;x\r\n\n\r\n000;last=1\r\n\r\n`,
  },
  {
    name: 'trailers',
    bytes: `${POST}Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n\r\n3\r\n\r\n\r\r\n0\r\nX-Sum: 1\r\nX-More:\r\n\r\n`,
  },
  { name: 'no chunks, only trailers', bytes: `${POST}Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 0\r\n\r\n` },
  { name: 'Expect', bytes: `${POST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok` },
  {
    name: 'Expect in HTTP/1.0',
    bytes: 'POST / HTTP/1.0\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok',
  },
  {
    name: 'hop-by-hop fields',
    bytes:
      'GET / HTTP/1.1\r\nHost: web\r\nConnection: x-hop, te\r\nX-Hop: 1\r\nTE: gzip\r\nKeep-Alive: timeout=5\r\n\r\n',
  },
  {
    name: 'pipelined GETs',
    bytes:
      'GET http://web/1 HTTP/1.1\r\nHost: web\r\n\r\nGET http://web/2 HTTP/1.1\r\nHost: web\r\n\r\nGET http://web/3 HTTP/1.1\r\nHost: web\r\n\r\n',
  },
  {
    name: 'pipelined bodies',
    bytes: `${POST}Content-Length: 6\r\n\r\nGET / \r\n${POST}Transfer-Encoding: chunked\r\n\r\n4\r\n0\r\n\r\r\n0\r\n\r\nGET /last HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`,
  },
  {
    name: 'pipelined behind Connection: close',
    bytes: 'GET /1 HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: web\r\n\r\n',
  },
  {
    name: 'a request that looks like another inside its body',
    bytes: `${POST}Content-Length: 45\r\n\r\nGET http://web/x HTTP/1.1\r\nHost: smuggled\r\n\r\nGET http://web/after HTTP/1.1\r\nHost: web\r\n\r\n`,
  },
];

/** Requests that ask for a tunnel: what follows is not HTTP, or not yet known to be. */
export const TUNNEL_REQUESTS: readonly CorpusRequests[] = [
  { name: 'CONNECT', bytes: 'CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n\x16\x03\x01opaque' },
  {
    name: 'Upgrade',
    bytes:
      'GET /chat HTTP/1.1\r\nHost: web\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello',
  },
  {
    name: 'CONNECT with a length of 0',
    bytes: 'CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\nContent-Length: 0\r\n\r\n\x16\x03\x01opaque',
  },
  {
    name: 'Upgrade with a length of 0',
    bytes:
      'POST /exec HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n\x80\x03',
  },
];

const OK = 'HTTP/1.1 200 OK\r\n';

export const RESPONSES: readonly CorpusResponse[] = [
  { name: 'Content-Length', method: 'GET', bytes: `${OK}Content-Length: 5\r\n\r\nhello`, closes: false },
  { name: 'Content-Length: 0', method: 'GET', bytes: `${OK}Content-Length: 0\r\nETag: "a"\r\n\r\n`, closes: false },
  {
    name: 'repeated fields',
    method: 'GET',
    bytes: `${OK}Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nX-A:\r\nx-a: \xe9 \r\nContent-Length: 2\r\n\r\n\r\n`,
    closes: false,
  },
  {
    name: 'chunked',
    method: 'GET',
    bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n`,
    closes: false,
  },
  {
    name: 'chunk extensions and trailers',
    method: 'POST',
    bytes: `${OK}Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n0A;a=b;c="d"\r\n01234\r\n\r\n9\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n`,
    closes: false,
  },
  {
    name: 'until close',
    method: 'GET',
    bytes: `${OK}Content-Type: text/plain\r\n\r\nuntil\r\n\r\nclose`,
    closes: true,
  },
  { name: 'until close, empty', method: 'GET', bytes: 'HTTP/1.1 200 OK\r\n\r\n', closes: true },
  { name: 'HTTP/1.0 until close', method: 'GET', bytes: 'HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nold', closes: true },
  {
    name: 'HTTP/1.0 keep-alive',
    method: 'GET',
    bytes: 'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nold',
    closes: false,
  },
  { name: 'HEAD', method: 'HEAD', bytes: `${OK}Content-Length: 500\r\nX-A: 1\r\n\r\n`, closes: false },
  { name: 'HEAD, chunked', method: 'HEAD', bytes: `${OK}Transfer-Encoding: chunked\r\n\r\n`, closes: false },
  { name: '204', method: 'DELETE', bytes: 'HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n', closes: false },
  {
    name: '304',
    method: 'GET',
    bytes: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: "a"\r\n\r\n',
    closes: false,
  },
  {
    name: '100, then final',
    method: 'POST',
    bytes: `HTTP/1.1 100 Continue\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
    closes: false,
  },
  {
    name: '102, 103, then final',
    method: 'GET',
    bytes: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${OK}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
    closes: false,
  },
  { name: 'no reason phrase', method: 'GET', bytes: 'HTTP/1.1 404 \r\nContent-Length: 4\r\n\r\ngone', closes: false },
  {
    name: 'Connection: close',
    method: 'GET',
    bytes: `${OK}Connection: close\r\nContent-Length: 3\r\n\r\nend`,
    closes: true,
  },
  { name: 'an unknown status', method: 'GET', bytes: 'HTTP/1.1 599 Odd\r\nContent-Length: 1\r\n\r\n!', closes: false },
];

/** Good as far as it goes; what comes behind it belongs to no answer, and its connection must not be used again. */
export const STRAY_BYTES: CorpusResponse = {
  name: 'bytes behind the message',
  method: 'GET',
  bytes: `${OK}Content-Length: 2\r\n\r\nokpoison`,
  closes: false,
};
