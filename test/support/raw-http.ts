import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

/** One answer as it stood on the wire. Fields by lower-case name, repeated ones joined with ", ". */
export interface RawAnswer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: string;
  readonly text: string;
}

/** Where a connection goes to, and from which of this machine's addresses. */
export interface RawTarget {
  readonly host?: string;
  readonly port: number;
  readonly localAddress?: string;
}

/** Sends bytes on a connection of its own and reads until the other side closes. Rejects when the connection breaks. */
export async function sendRaw(to: number | RawTarget, bytes: string | Buffer): Promise<string> {
  const socket = connect({
    host: '127.0.0.1',
    localAddress: '127.0.0.1',
    ...(typeof to === 'number' ? { port: to } : to),
  });
  socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  const pieces: Buffer[] = [];
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  await once(socket, 'close');
  return Buffer.concat(pieces).toString('latin1');
}

/** Splits what a connection said into its answers, by Content-Length or chunked framing; 1xx are answers of their own. */
export function splitAnswers(wire: string, method = 'GET'): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let rest = wire;
  while (rest !== '') {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd === -1) throw new Error(`not an answer: ${JSON.stringify(rest)}`);
    const [statusLine = '', ...lines] = rest.slice(0, headEnd).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1]);
    const fields: Record<string, string> = {};
    for (const line of lines) {
      const name = line.slice(0, line.indexOf(':')).toLowerCase();
      const value = line.slice(line.indexOf(':') + 1).trim();
      fields[name] = name in fields ? `${fields[name]}, ${value}` : value;
    }
    const after = rest.slice(headEnd + 4);
    const bodiless = status < 200 || status === 204 || status === 304 || method === 'HEAD';
    const { body, length } = bodiless ? { body: '', length: 0 } : takeBody(after, fields);
    answers.push({ status, fields, body, text: rest.slice(0, headEnd + 4 + length) });
    rest = after.slice(length);
  }
  return answers;
}

function takeBody(after: string, fields: Readonly<Record<string, string>>): { body: string; length: number } {
  if (fields['transfer-encoding'] === 'chunked') {
    let at = 0;
    let body = '';
    for (;;) {
      const lineEnd = after.indexOf('\r\n', at);
      const size = Number.parseInt(after.slice(at, lineEnd), 16);
      at = lineEnd + 2;
      if (size === 0) {
        const end = after.startsWith('\r\n', at) ? at + 2 : after.indexOf('\r\n\r\n', at) + 4;
        return { body, length: end };
      }
      body += after.slice(at, at + size);
      at += size + 2;
    }
  }
  const length = fields['content-length'] === undefined ? after.length : Number(fields['content-length']);
  return { body: after.slice(0, length), length };
}

/** Sends one request that asks to close afterwards, and gives its final answer. */
export async function ask(to: number | RawTarget, head: string, body = ''): Promise<RawAnswer> {
  const method = head.slice(0, head.indexOf(' '));
  const wire = await sendRaw(to, `${head}\r\nConnection: close\r\n\r\n${body}`);
  const answer = splitAnswers(wire, method).at(-1);
  if (answer === undefined) throw new Error('the connection closed without an answer');
  return answer;
}

/** A server that plays a script on raw sockets: what no well-behaved HTTP library would send. */
export class RawServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly ip: string;
  readonly port: number;

  private constructor(server: Server, at: { readonly address: string; readonly port: number }, sockets: Set<Socket>) {
    this.#server = server;
    this.ip = at.address;
    this.port = at.port;
    this.#sockets = sockets;
  }

  static async start(onConnection: (socket: Socket) => void, host = '127.0.0.1'): Promise<RawServer> {
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      onConnection(socket);
    });
    server.listen(0, host);
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return new RawServer(server, address, sockets);
  }

  /** Answers every complete request head with fixed bytes. */
  static answering(bytes: string): Promise<RawServer> {
    return RawServer.start((socket) => {
      let seen = '';
      socket.on('data', (piece: Buffer) => {
        seen += piece.toString('latin1');
        if (!seen.includes('\r\n\r\n')) return;
        seen = '';
        socket.write(Buffer.from(bytes, 'latin1'));
      });
    });
  }

  /** Closes every connection, so that the next requests come on new ones. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.disconnect();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
