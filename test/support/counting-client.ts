import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** One keep-alive connection to an HTTP/1 server that counts what it asks and gets; opens anew after an answer that closes. */
export class CountingClient {
  counts = noCounts();
  readonly #to: { readonly host: string; readonly port: number; readonly localAddress: string };
  #socket: Socket | undefined;

  constructor(to: { readonly host: string; readonly port: number; readonly localAddress: string }) {
    this.#to = to;
  }

  /** Asks, and gives the status; `lines`: request line and fields. An answer that ends before its length throws. */
  async ask(lines: string): Promise<number> {
    const socket = await this.#connected();
    this.counts.requests += 1;
    socket.write(`${lines}\r\n\r\n`);
    const head = await readAnswer(socket);
    const status = Number(head.slice(9, 12));
    this.counts.byStatus.set(status, (this.counts.byStatus.get(status) ?? 0) + 1);
    if (/^l5d-err:/im.test(head)) this.counts.byMesh += 1;
    if (/^connection: close/im.test(head)) this.close();
    return status;
  }

  /** Asks, and goes away once `seen` settles. */
  async abandon(lines: string, seen: Promise<void>): Promise<void> {
    const socket = await this.#connected();
    this.counts.requests += 1;
    this.counts.broken += 1;
    socket.write(`${lines}\r\n\r\n`);
    await seen;
    this.close();
  }

  /** Counts from 0 again. */
  reset(): void {
    this.counts = noCounts();
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #connected(): Promise<Socket> {
    if (this.#socket?.writable === true) return this.#socket;
    this.#socket = connect(this.#to);
    this.#socket.on('error', () => {}); // 'close' follows
    await once(this.#socket, 'connect');
    return this.#socket;
  }
}

function noCounts() {
  return { requests: 0, broken: 0, byMesh: 0, byStatus: new Map<number, number>() };
}

/** The head of an answer with a Content-Length, once all of it is there. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let wire = '';
    const done = (settle: () => void) => {
      socket.off('data', onData);
      socket.off('close', onClose);
      settle();
    };
    const onClose = () => done(() => reject(new Error(`the connection ended within an answer: ${wire}`)));
    const onData = (piece: Buffer) => {
      wire += piece.toString('latin1');
      const end = wire.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = wire.slice(0, end);
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1]);
      if (wire.length >= end + 4 + length) done(() => resolve(head));
    };
    socket.on('data', onData);
    socket.on('close', onClose);
  });
}
