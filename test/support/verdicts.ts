/**
 * What a proxy must refuse, row by row: RFC 9112's rules on messages that are malformed or can be read in two ways. All rows
 * go to `web.shop`; texts are latin1.
 */
export interface RefusedRequest {
  readonly what: string;
  readonly bytes: string;
  readonly status: number;
  /** The fault lies behind the head, so that the application may have seen the beginning, and must not see an end. */
  readonly inBody: boolean;
}

const HOST = 'Host: web.shop\r\n';
const POST = `POST / HTTP/1.1\r\n${HOST}`;

function row(what: string, bytes: string, status = 400): RefusedRequest {
  return { what, bytes, status, inBody: false };
}

/** A request whose fields hold this. */
function fields(what: string, lines: string, status = 400): RefusedRequest {
  return row(what, `${POST}${lines}\r\n\r\n0\r\n\r\n`, status);
}

/** A request whose only Host is this. */
function host(what: string, value: string): RefusedRequest {
  return row(what, `GET / HTTP/1.1\r\nHost: ${value}\r\n\r\n`);
}

/** A request line's target. */
function target(what: string, text: string, method = 'GET'): RefusedRequest {
  return row(what, `${method} ${text} HTTP/1.1\r\n${HOST}\r\n`);
}

/** A request line. */
function line(what: string, text: string, status = 400): RefusedRequest {
  return row(what, `${text}\r\n${HOST}\r\n`, status);
}

/** A chunked body. */
function chunks(what: string, body: string): RefusedRequest {
  return { what, bytes: `${POST}Transfer-Encoding: chunked\r\n\r\n${body}`, status: 400, inBody: true };
}

const CHUNKED = 'Transfer-Encoding: chunked';

export const REFUSED_REQUESTS: readonly RefusedRequest[] = [
  fields('Content-Length and Transfer-Encoding', `Content-Length: 5\r\n${CHUNKED}`),
  fields('Transfer-Encoding and Content-Length', `${CHUNKED}\r\nContent-Length: 5`),
  fields('two Content-Lengths that differ', 'Content-Length: 5\r\nContent-Length: 6'),
  fields('two equal Content-Lengths', 'Content-Length: 5\r\nContent-Length: 5'),
  fields('a list of Content-Lengths', 'Content-Length: 5, 5'),
  fields('a Content-Length with a sign', 'Content-Length: +5'),
  fields('a negative Content-Length', 'Content-Length: -5'),
  fields('a hexadecimal Content-Length', 'Content-Length: 0x5'),
  fields('an empty Content-Length', 'Content-Length: '),
  fields('a Content-Length over 2^53', 'Content-Length: 99999999999999999999'),
  fields('a Content-Length with a blank inside', 'Content-Length: 5 5'),
  fields('Transfer-Encoding: gzip', 'Transfer-Encoding: gzip'),
  fields('Transfer-Encoding: identity', 'Transfer-Encoding: identity'),
  fields('Transfer-Encoding: xchunked', 'Transfer-Encoding: xchunked'),
  fields('Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: gzip, chunked', 501),
  fields('Transfer-Encoding: gzip, then chunked', `Transfer-Encoding: gzip\r\n${CHUNKED}`, 501),
  fields('Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: chunked, chunked'),
  fields('Transfer-Encoding: chunked twice', `${CHUNKED}\r\n${CHUNKED}`),
  fields('Transfer-Encoding: chunked, gzip', 'Transfer-Encoding: chunked, gzip'),
  fields('Transfer-Encoding: , chunked', 'Transfer-Encoding: , chunked'),
  fields('an empty Transfer-Encoding', 'Transfer-Encoding:'),
  fields('Transfer-Encoding with a vertical tab', 'Transfer-Encoding: \x0bchunked'),
  fields('Transfer-Encoding with a tab behind', `${CHUNKED}\t`),
  fields('Transfer-Encoding with a quoted coding', 'Transfer-Encoding: "chunked"'),
  row('Transfer-Encoding in HTTP/1.0', `POST / HTTP/1.0\r\n${HOST}${CHUNKED}\r\n\r\n0\r\n\r\n`),
  chunks('a chunk size 0x5', '0x5\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk size +5', '+5\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk size -5', '-5\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk size with a blank before', ' 5\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk size with a blank behind', '5 \r\nhello\r\n0\r\n\r\n'),
  chunks('an empty chunk size', '\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk size line that ends in a bare LF', '5\nhello\r\n0\r\n\r\n'),
  chunks('a chunk that ends in a bare LF', '5\r\nhello\n0\r\n\r\n'),
  chunks('a chunk size that overflows', 'fffffffffffffffff\r\n'),
  chunks('a chunk longer than its size', '5\r\nhello!\r\n0\r\n\r\n'),
  chunks('a chunk shorter than its size', '5\r\nhell\r\n0\r\n\r\n'),
  chunks('a bare CR in a chunk extension', '5;a=\rb\r\nhello\r\n0\r\n\r\n'),
  chunks('a bare LF in a chunk extension', '5;a=\nb\r\nhello\r\n0\r\n\r\n'),
  chunks('an unclosed quote in a chunk extension', '5;a="b\r\nhello\r\n0\r\n\r\n'),
  chunks('a chunk extension over 4 KiB', `5;${'a'.repeat(5_000)}\r\nhello\r\n0\r\n\r\n`),
  chunks('chunk extensions over 16 KiB together', `1;${'a'.repeat(4_000)}\r\n.\r\n`.repeat(5)),
  chunks('Content-Length in trailers', '0\r\nContent-Length: 3\r\n\r\n'),
  chunks('Transfer-Encoding in trailers', `0\r\n${CHUNKED}\r\n\r\n`),
  chunks('Host in trailers', '0\r\nHost: other\r\n\r\n'),
  chunks('a folded trailer', '0\r\nX-A: a\r\n b\r\n\r\n'),
  chunks('trailers that end in a bare LF', '0\r\nX-A: a\n\r\n'),
  chunks('a blank before a colon in trailers', '0\r\nX-A : a\r\n\r\n'),
  chunks('trailers over 64 KiB', `0\r\n${`X-A: ${'a'.repeat(1_000)}\r\n`.repeat(70)}\r\n`),
  fields('a folded field', 'X-A: a\r\n b'),
  row('a fold before the first field', `GET / HTTP/1.1\r\n ${HOST}\r\n`),
  fields('a blank before the colon', 'X-A : a'),
  fields('a tab before the colon', 'X-A\t: a'),
  row('a line that ends in a bare LF', `GET / HTTP/1.1\r\nHost: web.shop\nX-A: a\r\n\r\n`),
  row('a head that ends in bare LFs', `GET / HTTP/1.1\nHost: web.shop\n\n`),
  fields('a bare CR in a value', 'X-A: a\rb'),
  fields('a NUL in a value', 'X-A: a\0b'),
  fields('a DEL in a value', 'X-A: a\x7fb'),
  fields('a NUL in a name', 'X\0A: b'),
  fields('an 8-bit name', 'X\xe9: b'),
  fields('a name in parentheses', '(X): b'),
  fields('an empty name', ': a'),
  fields('a field without a colon', 'X-A'),
  row('no Host in HTTP/1.1', 'GET / HTTP/1.1\r\n\r\n'),
  row('no Host in HTTP/1.0, and none in the target', 'GET / HTTP/1.0\r\n\r\n'),
  row('two Hosts', `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`),
  row('two Hosts beside an absolute target', `GET http://web.shop/ HTTP/1.1\r\n${HOST}Host: other\r\n\r\n`),
  row('a bad Host beside an absolute target', 'GET http://web.shop/ HTTP/1.1\r\nHost: a b\r\n\r\n'),
  host('an empty Host', ''),
  host('a list of Hosts', 'web.shop, other'),
  host('userinfo in Host', 'user@web.shop'),
  host('a port over 65535', 'web.shop:99999'),
  host('port 0', 'web.shop:0'),
  host('an empty port', 'web.shop:'),
  host('a port with a sign', 'web.shop:+80'),
  host('a port that is no number', 'web.shop:http'),
  host('a blank in Host', 'web. shop'),
  host('a path in Host', 'web.shop/a'),
  host('an unclosed bracket in Host', '[::1'),
  host('IPv6 without brackets in Host', '::1'),
  host('no address in brackets in Host', '[web.shop]'),
  host('an escape in Host', 'web%2eshop'),
  host('an empty label in Host', 'web..shop'),
  target('an https:// target', 'https://web.shop/'),
  target('an ftp:// target', 'ftp://web.shop/'),
  target('a target without a scheme', 'web.shop/'),
  target('a target without an authority', 'http:///a'),
  target('a target with one slash', 'http:/web.shop/'),
  target('userinfo in the target', 'http://user@web.shop/'),
  target('port 0 in the target', 'http://web.shop:0/'),
  target('GET *', '*'),
  target('a fragment', 'http://web.shop/#a'),
  target('a raw 8-bit target', '/\xe9'),
  target('a backslash in the target', '/a\\b'),
  target('a tab in the target', '/a\tb'),
  target('a blank in the target', '/a b'),
  target('a NUL in the target', '/a\0b'),
  target('CONNECT without a port', 'web.shop', 'CONNECT'),
  target('CONNECT with port 0', 'web.shop:0', 'CONNECT'),
  target('CONNECT with a path', 'web.shop:80/', 'CONNECT'),
  target('CONNECT with userinfo', 'user@web.shop:80', 'CONNECT'),
  target('CONNECT with a scheme', 'http://web.shop:80', 'CONNECT'),
  row('CONNECT with a bad Host', 'CONNECT web.shop:80 HTTP/1.1\r\nHost: a b\r\n\r\n'),
  row('CONNECT with content', `CONNECT web.shop:80 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`),
  line('two spaces behind the method', 'GET  / HTTP/1.1'),
  line('two spaces behind the target', 'GET /  HTTP/1.1'),
  line('a tab behind the method', 'GET\t/ HTTP/1.1'),
  line('a space before the method', ' GET / HTTP/1.1'),
  line('a space behind the version', 'GET / HTTP/1.1 '),
  line('a method that is no token', 'G(T / HTTP/1.1'),
  line('a bare CR in the request line', 'GET /\r HTTP/1.1'),
  line('HTTP/0.9', 'GET /'),
  row('a line of HTTP/0.9 and nothing behind it', 'GET /\r\n'),
  row('a line that is no request, and nothing behind it', 'HELO mail.example\r\n'),
  row('a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x5a\x11'),
  line('HTTP/2.0', 'GET / HTTP/2.0', 505),
  line('HTTP/1.2', 'GET / HTTP/1.2', 505),
  line('HTTP/1.10', 'GET / HTTP/1.10'),
  line('http/1.1', 'GET / http/1.1'),
  line("HTTP/2's preface", 'PRI * HTTP/2.0', 505),
  fields('an unknown expectation', 'Expect: magic', 417),
  fields('an unknown expectation beside the known one', 'Expect: magic\r\nExpect: 100-continue', 417),
  fields('an expectation twice', 'Expect: 100-continue\r\nExpect: 100-continue', 417),
  fields('an empty expectation', 'Expect:', 417),
  fields('over a hundred members of Connection', `Connection: ${'a,'.repeat(101)}`, 431),
  fields('over a hundred members of Connections', 'Connection: a\r\n'.repeat(101).trimEnd(), 431),
  row('a request line over 8 KiB', `GET /${'a'.repeat(9_000)} HTTP/1.1\r\n${HOST}\r\n`, 414),
  row('a head over 64 KiB', `${POST}${`X-A: ${'a'.repeat(1_000)}\r\n`.repeat(70)}\r\n`, 431),
];

/** Answers of an application that can be read in two ways, or not at all: the caller gets 502 and none of their bytes. */
export const REFUSED_RESPONSES: readonly (readonly [what: string, bytes: string])[] = [
  [
    'Content-Length and Transfer-Encoding',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['two Content-Lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc'],
  ['two equal Content-Lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab'],
  ['a Content-Length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab'],
  ['a folded field', 'HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n'],
  ['a blank before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
  ['a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n'],
  ['a bare CR', 'HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n'],
  ['a NUL', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'],
  ['Transfer-Encoding: gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n'],
  ['Transfer-Encoding: gzip, chunked', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked, gzip', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n'],
  ['an empty Transfer-Encoding of a 204', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding:\r\n\r\n'],
  ['status 099', 'HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n'],
  ['status 600', 'HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n'],
  ['status 999', 'HTTP/1.1 999 Higher\r\nContent-Length: 0\r\n\r\n'],
  ['status 20', 'HTTP/1.1 20 Short\r\nContent-Length: 0\r\n\r\n'],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a control character in the reason phrase', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
  ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ['content behind 100', 'HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello\r\n\r\n'],
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
  ['no HTTP, and no end of a head to come', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['no HTTP, and no end of a line to come', 'HELLO'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['an empty line before', '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
  ['a list of Content-Lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab'],
  ['an 8-bit name', 'HTTP/1.1 200 OK\r\nX\xe9: a\r\nContent-Length: 0\r\n\r\n'],
  ['a field without a colon', 'HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 0\r\n\r\n'],
  ['over a hundred members of Connection', `HTTP/1.1 200 OK\r\nConnection: ${'a,'.repeat(101)}\r\n\r\n`],
  ['a head over 64 KiB', `HTTP/1.1 200 OK\r\n${`X-A: ${'a'.repeat(1_000)}\r\n`.repeat(70)}\r\n`],
];
