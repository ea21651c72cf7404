/** Gives numbers in [0, 1), the same ones for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** Bytes that mean something to some parser of HTTP, or should mean nothing and do to some. */
const BYTES = '\0\t\n\v\f\r "#%&\'()*+,-./059:;<=>?@AFZ[\\]_`afx{|}~\x7f\x80\x85\xa0\xff';

/** Whole lines of heads and bodies, put in where a line begins. */
const LINES = [
  'Content-Length: 0\r\n',
  'Content-Length: 3\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: +5\r\n',
  'Content-Length: 5, 5\r\n',
  'Content-Length: 0x5\r\n',
  'Content-Length: 00000000005\r\n',
  'Content-Length: 18446744073709551621\r\n',
  'Content-Length:\r\n',
  'Content-Length : 5\r\n',
  'Content-Length\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: CHUNKED\r\n',
  'Transfer-Encoding: chunked, chunked\r\n',
  'Transfer-Encoding: gzip, chunked\r\n',
  'Transfer-Encoding: chunked, gzip\r\n',
  'Transfer-Encoding: identity\r\n',
  'Transfer-Encoding: , chunked\r\n',
  'Transfer-Encoding: chunked;q=1\r\n',
  'Transfer-Encoding: \x0bchunked\r\n',
  'Transfer-Encoding:\r\n',
  'Transfer-Encoding:\r\n chunked\r\n',
  'Connection: close\r\n',
  'Connection: keep-alive\r\n',
  'Connection: keep-alive, close\r\n',
  'Connection: upgrade\r\nUpgrade: x\r\n',
  'Connection: upgrade, close\r\n',
  'Connection: keep-alive,  upgrade\r\nUpgrade: x\r\n',
  'Connection: a,\tkeep-alive ,b\r\n',
  'Connection: a  ,  close\r\n',
  'Connection: close;a\r\n',
  'Connection: "a, close"\r\n',
  'Connection:\r\n',
  'Upgrade: a, b\r\n',
  'Connection: Content-Length, Transfer-Encoding, Host\r\n',
  'Proxy-Connection: close\r\n',
  'Upgrade: h2c\r\n',
  'Upgrade: x\r\n',
  'Host: other\r\n',
  'Host:\r\n',
  'Host: a, b\r\n',
  'Expect: 100-continue\r\n',
  'Expect: magic\r\n',
  'X-A: b\r\n c\r\n',
  ' folded\r\n',
  'X-A: b\n',
  'X-A: b\r',
  'X-A: b\rc\r\n',
  ': b\r\n',
  'X A: b\r\n',
  '\r\n',
  '\n',
  '0\r\n\r\n',
  '0\r\nX-T: 1\r\n\r\n',
  '0\r\nContent-Length: 5\r\n\r\n',
  '0\r\nTransfer-Encoding: chunked\r\n\r\n',
  '0;a=b\r\n\r\n',
  '5\r\nhello\r\n',
  '5;a=b\r\nhello\r\n',
  '5;a="b\\"c";d\r\nhello\r\n',
  '5 ;a\r\nhello\r\n',
  '5\nhello\n',
  '05\r\nhello\r\n',
  '0x5\r\nhello\r\n',
  '+5\r\nhello\r\n',
  '-1\r\n',
  'fffffffffffffffff\r\n',
  '10000000000000005\r\nhello\r\n',
  'GET /x HTTP/1.1\r\nHost: smuggled\r\n\r\n',
  'POST /x HTTP/1.1\r\nHost: smuggled\r\nContent-Length: 5\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\n',
];

/** Pieces put in anywhere. */
const PIECES = [
  ...['\r\n', '\n\r', '\r\r\n', '\r\n ', '\r\n\t', '\r\n\r\n', '  ', ' \t', ';', ';a', ';a=b', ';a="b"', ';a="\r\n"'],
  ...['HTTP/1.1', 'HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1', 'HTTP/1.10', ' HTTP/1.1\r\nX: y'],
  ...[
    'chunked',
    ', chunked',
    'close',
    ', close',
    'keep-alive',
    'http://web',
    'https://',
    '*',
    '#',
    '?',
    '%00',
    '@',
    ':',
  ],
];

/**
 * One to four changes of one message, as a careless or hostile sender would make them. `others`: where pieces of other
 * messages come from. Texts are latin1. Pure but for `random`.
 */
export function mutate(text: string, others: readonly string[], random: () => number): string {
  let mutated = text;
  const changes = 1 + Math.floor(random() ** 2 * 4);
  for (let i = 0; i < changes; i += 1) mutated = change(mutated, others, random);
  return mutated;
}

function change(text: string, others: readonly string[], random: () => number): string {
  const below = (limit: number) => Math.floor(random() * limit);
  const one = <T>(of: readonly T[]): T => of[below(of.length)] as T;
  const at = below(text.length + 1);
  const insert = (piece: string, where: number) => text.slice(0, where) + piece + text.slice(where);
  switch (below(12)) {
    case 0:
    case 1:
    case 2:
      return insert(one(LINES), lineStart(text, at));
    case 3:
      return insert(one(PIECES), at);
    case 4:
      return insert(BYTES.charAt(below(BYTES.length)), at);
    case 5:
      return text.slice(0, at) + BYTES.charAt(below(BYTES.length)) + text.slice(at + 1);
    case 6:
      return text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1);
    case 7:
      return text.slice(0, at) + text.slice(at + 1 + below(4));
    case 8: {
      const [start, end] = lineAround(text, at);
      return text.slice(0, start) + text.slice(end);
    }
    case 9: {
      const [start, end] = lineAround(text, at);
      return insert(text.slice(start, end), lineStart(text, below(text.length + 1)));
    }
    case 10: {
      const other = one(others);
      return text.slice(0, lineStart(text, at)) + other.slice(lineStart(other, below(other.length + 1)));
    }
    default:
      return below(4) === 0 ? text.slice(0, at) : changeNumber(text, at, random);
  }
}

function lineStart(text: string, at: number): number {
  return at === 0 ? 0 : text.lastIndexOf('\n', at - 1) + 1;
}

function lineAround(text: string, at: number): [number, number] {
  const end = text.indexOf('\n', at);
  return [lineStart(text, at), end === -1 ? text.length : end + 1];
}

/** Puts another digit in the place of the next one. */
function changeNumber(text: string, at: number, random: () => number): string {
  const found = text.slice(at).search(/[0-9a-fA-F]/);
  if (found === -1) return text;
  const digit = Math.floor(random() * 16).toString(16);
  return text.slice(0, at + found) + digit + text.slice(at + found + 1);
}

/** Takes away from a text whatever it can lose and still fail. `fails` tells; the text given does. */
export async function shrink(text: string, fails: (text: string) => Promise<boolean>): Promise<string> {
  let smallest = text;
  for (let size = text.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < smallest.length; ) {
      const shorter = smallest.slice(0, at) + smallest.slice(at + size);
      if (await fails(shorter)) smallest = shorter;
      else at += size;
    }
  }
  return smallest;
}

/** Cuts bytes into up to four pieces. */
export function cutAnywhere(bytes: Buffer, random: () => number): Buffer[] {
  const ends = Array.from({ length: 3 }, () => Math.floor(random() * (bytes.length + 1))).sort((a, b) => a - b);
  return [0, ...ends]
    .map((start, i) => bytes.subarray(start, ends[i] ?? bytes.length))
    .filter((piece) => piece.length > 0);
}
