import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { PLAINTEXT } from '../../daemon/client/connector.ts';
import { type ConnectionOwner, Http1ClientConnection } from '../../daemon/client/http1-client-connection.ts';
import type { Answer, Exchange, ResponseSink } from '../../daemon/http/exchange.ts';
import type { FieldList } from '../../daemon/http/fields.ts';
import { NO_BODY, type RequestHead, type ResponseHead } from '../../daemon/http/message-head.ts';
import { asProxyError } from '../../daemon/http/proxy-error.ts';
import { parseAuthority, splitRequestTarget } from '../../daemon/http/request-target.ts';
import { Http1ServerConnection } from '../../daemon/listener/http1-server-connection.ts';

/** One message as a codec understood it; texts are latin1. */
export interface ReadMessage {
  /** `METHOD target 1.x` of a request, `status reason 1.x` of a response. */
  readonly start: string;
  readonly fields: readonly string[];
  body: string;
  trailers: readonly string[];
  complete: boolean;
}

/** What a codec made of all the bytes of one connection. */
export interface Reading {
  readonly messages: ReadMessage[];
  /** Why it refused to read on, if it did. */
  refusal: string | undefined;
  /** What followed a request that asks for a tunnel, or a response that opens one; undefined without such a message. */
  tunnel: string | undefined;
  /** Whether the connection could carry another message afterwards. */
  reusable: boolean;
}

/** Takes the place of a connected socket: bytes are handed over directly, so that a codec runs at memory speed. */
export class DirectSocket extends EventEmitter {
  destroyed = false;
  readonly writable = true;
  written = '';
  /** Whether the other side takes nothing more for now. */
  full = false;
  paused = false;
  bytesRead = 0;
  bytesWritten = 0;
  /** What has been written and the other side has not taken. */
  writableLength = 0;

  get writableNeedDrain(): boolean {
    return this.full;
  }

  asSocket(): Socket {
    return this as unknown as Socket;
  }

  write(bytes: string | Buffer): boolean {
    this.written += typeof bytes === 'string' ? bytes : bytes.toString('latin1');
    this.bytesWritten += bytes.length;
    return !this.full;
  }

  /** What the codec wants done once all that was written is out; the test does it. */
  onFinished: (() => void) | undefined;

  end(onFinished?: () => void): void {
    this.onFinished = onFinished;
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  cork(): void {}
  uncork(): void {}

  destroy(): void {
    this.destroyed = true;
  }

  destroySoon(): void {
    this.destroyed = true;
  }

  resetAndDestroy(): void {
    this.destroyed = true;
  }

  /** Delivers bytes in pieces, as reads would, until the codec lets go of the socket. */
  deliver(pieces: readonly Buffer[]): void {
    for (const piece of pieces) {
      this.bytesRead += piece.length;
      if (!this.destroyed) this.emit('data', piece);
    }
  }
}

const NO_CONTENT: Answer = { status: 204, reason: 'No Content', fieldLines: '', framing: NO_BODY };

/**
 * Reads requests with the daemon's listening codec, and their targets as routers do; each is answered 204 once complete.
 */
export function readRequests(pieces: readonly Buffer[]): Reading {
  const socket = new DirectSocket();
  const reading: Reading = { messages: [], refusal: undefined, tunnel: undefined, reusable: true };
  let tunnelling: Exchange | undefined;
  const connection = new Http1ServerConnection(
    socket.asSocket(),
    { address: '127.0.0.1', port: 1 },
    {
      draining: false,
      now: () => 0,
      onClosed() {},
      admit: () => undefined,
      release() {},
      refusalLines: () => '',
      onRefused(error) {
        reading.refusal = error.code;
      },
      handle(exchange) {
        const { method, target, host } = exchange.request;
        try {
          parseAuthority(splitRequestTarget(method, target, host).authority);
        } catch (cause) {
          const error = asProxyError(cause);
          reading.refusal = error.code;
          exchange.fail(error);
          return;
        }
        const message = requestMessage(exchange.request);
        reading.messages.push(message);
        exchange.readBody({
          write(piece) {
            message.body += piece.toString('latin1');
            return true;
          },
          flush() {},
          end(trailers: FieldList) {
            message.trailers = trailers;
            message.complete = true;
            if (asksForTunnel(exchange.request)) {
              tunnelling = exchange;
              return;
            }
            reading.reusable &&= exchange.request.keepAlive;
            exchange.respond(NO_CONTENT);
            exchange.endBody([]);
          },
        });
      },
    },
  );
  socket.deliver(pieces);
  if (tunnelling !== undefined && reading.refusal === undefined) {
    reading.tunnel = tunnelling.openTunnel(200, 'OK', '').early?.toString('latin1') ?? '';
  }
  reading.reusable &&= connection.persistent && reading.tunnel === undefined;
  socket.emit('close');
  return reading;
}

function asksForTunnel(request: RequestHead): boolean {
  return request.method === 'CONNECT' || request.upgrade !== undefined;
}

function requestMessage({ method, target, minorVersion, fields }: RequestHead): ReadMessage {
  return {
    start: `${method} ${target} 1.${minorVersion}`,
    fields: fields.list,
    body: '',
    trailers: [],
    complete: false,
  };
}

const OWNER: ConnectionOwner = { now: () => 0, onIdle() {}, onGone() {} };

/**
 * Reads the answer to one request with the daemon's connecting codec. `asksForTunnel`: the request was an Upgrade (or a
 * CONNECT, which always does). `ends`: the server closes its side afterwards.
 */
export function readResponse(
  pieces: readonly Buffer[],
  request: { readonly method: string; readonly asksForTunnel?: boolean; readonly ends: boolean },
): Reading {
  const socket = new DirectSocket();
  const reading: Reading = { messages: [], refusal: undefined, tunnel: undefined, reusable: false };
  const connection = new Http1ClientConnection(
    { ip: '127.0.0.1', port: 1 },
    { ...PLAINTEXT, connect: () => socket.asSocket() },
    OWNER,
  );
  const last = () => reading.messages.at(-1) as ReadMessage;
  const sink: ResponseSink = {
    asksForTunnel: request.asksForTunnel ?? request.method === 'CONNECT',
    onTunnel(head, tunnel) {
      reading.messages.push(responseMessage(head, true));
      reading.tunnel = tunnel.early?.toString('latin1') ?? '';
      socket.on('data', (piece: Buffer) => {
        reading.tunnel += piece.toString('latin1');
      });
    },
    onInformation(head) {
      reading.messages.push(responseMessage(head, true));
      return true;
    },
    onAnswer(head) {
      reading.messages.push(responseMessage(head, false));
    },
    onAnswerData(piece) {
      last().body += piece.toString('latin1');
      return true;
    },
    onAnswerEnd(trailers) {
      last().trailers = trailers;
      last().complete = true;
      reading.reusable = true;
    },
    onReadDone() {},
    onUpstreamWritable() {},
    onUpstreamError({ error }) {
      reading.refusal = error.code;
    },
  };
  socket.emit('connect');
  connection.send(request.method, `${request.method} / HTTP/1.1\r\nHost: web\r\n`, NO_BODY, sink);
  connection.end([]);
  socket.deliver(pieces);
  if (request.ends && !socket.destroyed) socket.emit('end');
  reading.reusable &&= !socket.destroyed;
  if (socket.destroyed) socket.emit('close');
  return reading;
}

function responseMessage({ status, reason, minorVersion, fields }: ResponseHead, complete: boolean): ReadMessage {
  return { start: `${status} ${reason} 1.${minorVersion}`, fields: fields.list, body: '', trailers: [], complete };
}
