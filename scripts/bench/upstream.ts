/** The application of the benchmark: answers each request head with 64 bytes, as cheaply as Node can. */
import { createServer } from 'node:net';

const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 64\r\n\r\n${'x'.repeat(64)}`,
);
const HEAD_END = Buffer.from('\r\n\r\n');

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (bytes: Buffer) => {
    let at = bytes.indexOf(HEAD_END);
    while (at !== -1) {
      socket.write(ANSWER);
      at = bytes.indexOf(HEAD_END, at + HEAD_END.length);
    }
  });
  socket.on('error', () => socket.destroy());
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\n'));
