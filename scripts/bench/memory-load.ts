import { once } from 'node:events';
import { connect } from 'node:net';
import { readSlowly } from './slow-reader.ts';

/** How the length of a body is told. */
export type Framing = 'length' | 'chunked';

const PIECE = Buffer.alloc(64 * 1024, 'y');
const AT_ONCE = 50;

/** Opens so many connections, each used for one small request and then left alone until this process ends. */
export async function openIdle(port: number, count: number): Promise<void> {
  let open = 0;
  const openOne = async () => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.write('GET http://web/64 HTTP/1.1\r\nHost: web\r\n\r\n');
    await once(socket, 'data');
    socket.on('error', () => {}); // whoever counts them sees that it is gone
    open += 1;
  };
  while (open < count) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - open) }, openOne));
  }
}

/** Has so many requests wait for their answers at a time, each on a connection of its own; settles when all are answered. */
export async function hold(port: number, count: number): Promise<void> {
  const holdOne = async () => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.write('GET http://web/held/65536 HTTP/1.1\r\nHost: web\r\n\r\n');
    await once(socket, 'data');
  };
  await Promise.all(Array.from({ length: count }, holdOne));
}

/** Takes an answer of so many bytes, slowly. Rejects where fewer come. */
export async function download(port: number, bytes: number, framing: Framing): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  const slowDown = readSlowly(socket);
  let received = 0;
  socket.on('data', (piece: Buffer) => {
    received += piece.length;
    slowDown(piece.length);
    if (framing === 'length' && received > bytes) socket.end(); // the head is the rest
  });
  const path = framing === 'chunked' ? `chunked/${bytes}` : bytes;
  socket.write(`GET http://web/${path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  if (received <= bytes) throw new Error(`only ${received} of ${bytes} bytes came down`);
}

/** Sends so many bytes as fast as they are taken. Rejects where they are not taken. */
export async function upload(port: number, bytes: number, framing: Framing): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  const answered = once(socket, 'data');
  const chunked = framing === 'chunked';
  const field = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${bytes}`;
  socket.write(`POST http://web/64 HTTP/1.1\r\nHost: web\r\n${field}\r\n\r\n`);
  for (let missing = bytes; missing > 0; missing -= PIECE.length) {
    const piece = PIECE.subarray(0, missing);
    if (chunked) socket.write(`${piece.length.toString(16)}\r\n`);
    let more = socket.write(piece);
    if (chunked) more = socket.write('\r\n');
    if (!more) await Promise.race([once(socket, 'drain'), answered]);
  }
  if (chunked) socket.write('0\r\n\r\n');
  const [answer] = await answered;
  socket.destroy();
  if (!String(answer).startsWith('HTTP/1.1 200')) throw new Error(`the upload was answered ${String(answer)}`);
}
