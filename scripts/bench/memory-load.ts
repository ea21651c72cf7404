import { once } from 'node:events';
import { connect } from 'node:net';
import { readSlowly } from './slow-reader.ts';

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

/** Takes an answer of so many bytes, slowly. Rejects where fewer come. */
export async function download(port: number, bytes: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  const slowDown = readSlowly(socket);
  let received = 0;
  socket.on('data', (piece: Buffer) => {
    received += piece.length;
    slowDown(piece.length);
    if (received > bytes) socket.end(); // the head is the rest
  });
  socket.write(`GET http://web/${bytes} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n`);
  await once(socket, 'close');
  if (received <= bytes) throw new Error(`only ${received} of ${bytes} bytes came down`);
}

/** Sends so many bytes as fast as they are taken. Rejects where they are not taken. */
export async function upload(port: number, bytes: number): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  const answered = once(socket, 'data');
  socket.write(`POST http://web/64 HTTP/1.1\r\nHost: web\r\nContent-Length: ${bytes}\r\n\r\n`);
  for (let missing = bytes; missing > 0; missing -= PIECE.length) {
    if (!socket.write(PIECE.subarray(0, missing))) await Promise.race([once(socket, 'drain'), answered]);
  }
  const [answer] = await answered;
  socket.destroy();
  if (!String(answer).startsWith('HTTP/1.1 200')) throw new Error(`the upload was answered ${String(answer)}`);
}
