import { type ClientRequest, createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { Duplex } from 'node:stream';
import type { ReadMessage } from './codec-readers.ts';

/** What node:http, in strict mode, made of the bytes of one connection. */
export interface NodeReading {
  readonly messages: ReadMessage[];
  /** llhttp's code (HPE_…) or node:http's own status, where it refused; undefined where it took everything. */
  refusal: string | undefined;
  tunnel: string | undefined;
}

/** A connection without a kernel: what is delivered is parsed within the call, since no native handle is there to read from. */
class DirectDuplex extends Duplex {
  written = '';

  override _read(): void {}

  override _write(bytes: Buffer, _encoding: string, done: () => void): void {
    this.written += bytes.toString('latin1');
    done();
  }
}

/** Larger than ours, so that only what is inside a head decides. */
const MAX_HEAD = 256 * 1024;

interface Seen {
  readonly incoming: { readonly message: IncomingMessage; readonly start: string }[];
  refusal: string | undefined;
  tunnel: string | undefined;
}

/** Reads requests as a node:http server does. */
export class NodeRequestReader {
  readonly #server: Server = createServer({ insecureHTTPParser: false, maxHeaderSize: MAX_HEAD });
  #seen: Seen = { incoming: [], refusal: undefined, tunnel: undefined };

  constructor() {
    const onRequest = (message: IncomingMessage) => {
      const start = `${message.method} ${message.url} ${message.httpVersion}`;
      this.#seen.incoming.push({ message, start });
    };
    const onTunnel = (message: IncomingMessage, _socket: Duplex, head: Buffer) => {
      onRequest(message);
      this.#seen.tunnel = head.toString('latin1');
    };
    this.#server.on('request', onRequest);
    this.#server.on('checkContinue', onRequest);
    this.#server.on('connect', onTunnel);
    this.#server.on('upgrade', onTunnel);
    this.#server.on('checkExpectation', () => {
      this.#seen.refusal ??= '417';
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException) => {
      this.#seen.refusal ??= error.code ?? error.message;
    });
  }

  read(bytes: Buffer): NodeReading {
    this.#seen = { incoming: [], refusal: undefined, tunnel: undefined };
    const socket = new DirectDuplex();
    this.#server.emit('connection', socket);
    socket.emit('data', bytes);
    this.#seen.refusal ??= /^HTTP\/1\.1 (\d{3})/.exec(socket.written)?.[1]; // no Host: not the parser's business, but refused
    socket.destroy();
    return readingOf(this.#seen);
  }
}

/** A request of node:http's own that waits for its answer. */
export interface NodeCall {
  read(bytes: Buffer, ends: boolean): NodeReading;
}

/** What a request asks for, as far as it matters to how its answer is read. */
export interface CallKind {
  readonly method: string;
  readonly upgrade: boolean;
}

/** Sends requests as a node:http client does, each on a connection of its own. */
export async function nodeCalls(kinds: readonly CallKind[]): Promise<NodeCall[]> {
  const calls = kinds.map(nodeCall);
  await new Promise((resolve) => setImmediate(resolve)); // a client takes up its socket a tick later
  return calls;
}

function nodeCall({ method, upgrade }: CallKind): NodeCall {
  const socket = new DirectDuplex();
  const seen: Seen = { incoming: [], refusal: undefined, tunnel: undefined };
  const call: ClientRequest = httpRequest({
    method,
    path: '/',
    headers: upgrade ? { connection: 'upgrade', upgrade: 'x' } : {},
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEAD,
    createConnection: () => socket,
  });
  const onAnswer = (message: IncomingMessage) => {
    seen.incoming.push({ message, start: `${message.statusCode} ${message.statusMessage} ${message.httpVersion}` });
  };
  const onTunnel = (message: IncomingMessage, _socket: Duplex, head: Buffer) => {
    onAnswer(message);
    seen.tunnel = head.toString('latin1');
  };
  call.on('information', (message) => {
    const { statusCode, statusMessage, httpVersion, rawHeaders } = message;
    const whole = { rawHeaders, complete: true, read: () => null, rawTrailers: [] } as unknown as IncomingMessage;
    seen.incoming.push({ message: whole, start: `${statusCode} ${statusMessage} ${httpVersion}` });
  });
  call.on('response', onAnswer);
  call.on('upgrade', onTunnel);
  call.on('error', (error: NodeJS.ErrnoException) => {
    seen.refusal ??= error.code ?? error.message;
  });
  call.end();
  return {
    read(bytes, ends) {
      socket.emit('data', bytes);
      if (ends && seen.tunnel === undefined) socket.emit('end');
      const reading = readingOf(seen);
      socket.destroy();
      return reading;
    },
  };
}

function readingOf({ incoming, refusal, tunnel }: Seen): NodeReading {
  const messages = incoming.map(({ message, start }) => {
    message.on?.('error', () => {}); // the connection is given up under it
    let body = '';
    for (let piece = message.read(); piece !== null; piece = message.read()) body += piece.toString('latin1');
    return {
      start,
      fields: message.rawHeaders,
      body,
      trailers: message.rawTrailers,
      complete: message.complete,
    };
  });
  return { messages, refusal, tunnel };
}
