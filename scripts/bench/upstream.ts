/**
 * The application of the benchmark: answers `/<n>` with n bytes, as cheaply as Node can, and drops what is posted. What is
 * larger than LARGE it gives as fast as it is taken, and takes slowly; `/chunked/<n>` it gives chunked. A chunked body it takes
 * slowly, too. `/held/<n>` is answered a while later, `/queued/<n>` after all that came
 * before, one at a time.
 */
import { createServer, type Socket } from 'node:net';
import { readSlowly } from './slow-reader.ts';

const HEAD_END = Buffer.from('\r\n\r\n');
const WANTED = /\/(?:(chunked|held|queued)\/)?(\d{1,10}) HTTP\/1/;
const CHUNKED = /\r\ntransfer-encoding: chunked/i;
const LAST_CHUNK = '0\r\n\r\n';
const HOLD_MS = 2_000;
const QUEUED_MS = 2;
const LARGE = 16 * 1024 * 1024;
const PIECE = Buffer.alloc(64 * 1024, 'x');
const CLOSES = /\r\nconnection: close/i;
const POSTED = /\r\ncontent-length: *(\d+)/i;

let queueEndsAt = 0;
const answers = new Map<string, Buffer>();

function answer(socket: Socket, bytes: string, how: string | undefined): void {
  if (how === 'held') {
    setTimeout(() => answer(socket, bytes, undefined), HOLD_MS);
    return;
  }
  if (how === 'queued') {
    const now = performance.now();
    queueEndsAt = Math.max(now, queueEndsAt) + QUEUED_MS;
    setTimeout(() => answer(socket, bytes, undefined), queueEndsAt - now);
    return;
  }
  if (how === 'chunked') {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    pour(socket, Number(bytes), true);
    return;
  }
  const head = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${bytes}\r\n\r\n`;
  let known = answers.get(bytes);
  if (known === undefined && Number(bytes) > LARGE) {
    socket.write(head);
    pour(socket, Number(bytes), false);
    return;
  }
  if (known === undefined) {
    known = Buffer.from(head + 'x'.repeat(Number(bytes)));
    answers.set(bytes, known);
  }
  socket.write(known);
}

function pour(socket: Socket, bytes: number, chunked: boolean): void {
  let missing = bytes;
  let more = true;
  while (more && missing > 0) {
    const piece = PIECE.subarray(0, missing);
    missing -= piece.length;
    if (chunked) socket.write(`${piece.length.toString(16)}\r\n`);
    more = socket.write(piece);
    if (chunked) socket.write('\r\n');
  }
  if (missing > 0) socket.once('drain', () => pour(socket, missing, chunked));
  else if (chunked) socket.write(LAST_CHUNK);
}

function serve(socket: Socket): void {
  let unread: Buffer | undefined;
  let wanted = '0';
  let how: string | undefined;
  let tail: string | undefined;
  let posted = 0;
  let closes = false;
  let slowDown: ((bytes: number) => void) | undefined;
  socket.on('data', (bytes: Buffer) => {
    const all = unread === undefined ? bytes : Buffer.concat([unread, bytes]);
    unread = undefined;
    let at = 0;
    while (at < all.length) {
      if (posted === 0) {
        const end = all.indexOf(HEAD_END, at);
        if (end === -1) {
          unread = all.subarray(at);
          return;
        }
        const head = all.toString('latin1', at, end);
        [, how, wanted = '0'] = WANTED.exec(head) ?? [];
        closes = CLOSES.test(head);
        posted = head.startsWith('POST') ? Number(POSTED.exec(head)?.[1] ?? 0) : 0;
        if (CHUNKED.test(head)) {
          posted = Number.POSITIVE_INFINITY; // until its last chunk
          tail = '';
        }
        if (posted > LARGE) slowDown = readSlowly(socket);
        at = end + HEAD_END.length;
      }
      const taken = Math.min(posted, all.length - at);
      if (tail !== undefined) {
        tail = (tail + all.toString('latin1', Math.max(at, all.length - LAST_CHUNK.length))).slice(-LAST_CHUNK.length);
        if (tail === LAST_CHUNK) posted = taken;
      }
      posted -= taken;
      at += taken;
      slowDown?.(taken);
      if (posted > 0) continue;
      tail = undefined;
      answer(socket, wanted, how);
      if (closes) socket.end();
    }
  });
  socket.on('error', () => socket.destroy());
}

createServer({ noDelay: true }, serve).listen({
  port: Number(process.argv[2]),
  host: '127.0.0.1',
  backlog: 4_096,
});
