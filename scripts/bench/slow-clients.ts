import { connect, type Socket } from 'node:net';

const STEP_MS = 1_000;
const READ_BYTES = 1_024;
/** They do not all move at the same moment. */
const SLICES = 100;
const AT_ONCE = 100;
const HEAD = 'GET http://web/64 HTTP/1.1\r\nHost: web\r\n\r\n';
const POST = 'POST http://web/64 HTTP/1.1\r\nHost: web\r\nContent-Length: 1000000\r\n\r\n';
/** More would fill the kernel's memory for TCP (tcp_mem) on the way, which is not what is to be seen. */
const DOWNLOAD = 'GET http://web/65536 HTTP/1.1\r\nHost: web\r\n\r\n';

/** What a slow client does each second with its connection, from its first on. */
type Slowness = (socket: Socket, second: number) => void;

const KINDS: readonly Slowness[] = [
  (socket, second) => socket.write(HEAD.charAt(second)),
  (socket, second) => socket.write(second === 0 ? POST : 'y'),
  (socket, second) => {
    if (second === 0) socket.write(DOWNLOAD);
    else socket.read(READ_BYTES);
  },
];

/**
 * Opens so many connections, a third each of clients that send their heads byte by byte, that send their bodies so, and that take
 * their answers by the kilobyte. They go on until `stop` is called. Rejects where not all can be opened. Gives `stop`.
 */
export async function openSlowClients(port: number, count: number): Promise<() => void> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const opened = Array.from({ length: Math.min(AT_ONCE, count - sockets.length) }, () => openOne(port));
    sockets.push(...(await Promise.all(opened)));
  }
  let turns = 0;
  const timer = setInterval(() => {
    const second = Math.floor(turns / SLICES);
    for (let i = turns % SLICES; i < sockets.length; i += SLICES) {
      const socket = sockets[i] as Socket;
      if (socket.writable) KINDS[i % KINDS.length]?.(socket, second);
    }
    turns += 1;
  }, STEP_MS / SLICES);
  return () => {
    clearInterval(timer);
    for (const socket of sockets) socket.destroy();
  };
}

function openOne(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.pause();
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.on('error', () => {}); // it may be cut off, as one that is too slow
      resolve(socket);
    });
  });
}
