import type { Socket } from 'node:net';
import { BodyReader } from '../http/body-reader.ts';
import { lastChunk } from '../http/chunked-decoder.ts';
import {
  type Answer,
  type BodySink,
  type Caller,
  type CallerTunnel,
  COPIED_BYTES,
  type Exchange,
  type ExchangeWatcher,
} from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import { grpcErrorLines } from '../http/grpc-error.ts';
import type { RequestHead } from '../http/message-head.ts';
import type { ProxyError } from '../http/proxy-error.ts';
import { CALLER_GONE, type ExchangeRecord } from '../telemetry/exchange-record.ts';

/** Up to this size a piece is cheaper to write as text behind other text than as bytes. */
const SMALL_BYTES = 1024;

const NOBODY: ExchangeWatcher = { onCallerGone() {}, onCallerWritable() {} };

/** What an exchange needs of the connection that it came on. */
export interface ExchangeConnection {
  readonly socket: Socket;
  readonly caller: Caller;
  /** Whether the connection may serve another request after this one, as far as the connection itself is concerned. */
  readonly persistent: boolean;
  /** Stops reading: a piece of what was read last is still in use. */
  pauseBody(): void;
  resumeBody(): void;
  /** Asks for `onCallerWritable` once all is written: the socket's 'drain' comes only after more than a high-water mark. */
  tellWritten(): void;
  /** Lets go of the socket: the exchange's answer has made a tunnel of it. */
  releaseSocket(exchange: Http1Exchange): CallerTunnel;
  /** The answer is complete; `reusable` says whether the next request may follow on this connection. */
  exchangeAnswered(exchange: Http1Exchange, reusable: boolean): void;
}

/** One HTTP/1 request on a listening connection: its body as it arrives, and the writing of its answer. */
export class Http1Exchange implements Exchange {
  readonly request: RequestHead;
  readonly caller: Caller;
  readonly startedAt: number;
  watcher: ExchangeWatcher = NOBODY;
  record: ExchangeRecord | undefined = undefined;
  readonly #connection: ExchangeConnection;
  readonly #body: BodyReader;
  #sink: BodySink | undefined;
  #unread: Buffer[] = [];
  #bodyDelivered = false;
  /** Text that waits to leave together with what follows it. */
  #held = '';
  #continued = false;
  #answered = false;
  #answerEnded = false;
  #chunkedAnswer = false;
  #delimitedByClose = false;
  #reusable = true;

  constructor(connection: ExchangeConnection, request: RequestHead, startedAt: number) {
    this.#connection = connection;
    this.request = request;
    this.caller = connection.caller;
    this.startedAt = startedAt;
    this.#body = new BodyReader(request.framing);
  }

  get bodyComplete(): boolean {
    return this.#body.done;
  }

  /** Whether the caller waits to send more, and rightly: until what has come is taken, or for a 100 (Continue). */
  get holdsBodyBack(): boolean {
    return this.#connection.socket.isPaused() || (this.request.expectsContinue && !this.#continued);
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** Whether nobody waits for an answer any more. */
  get over(): boolean {
    return this.#answerEnded;
  }

  /**
   * Takes bytes that arrived; gives the offset after this message. `lent`: they are overwritten afterwards. Throws ProxyError
   * on malformed chunks.
   */
  receive(bytes: Buffer, offset: number, lent: boolean): number {
    const end = this.#body.read(bytes, offset, (piece) => this.#takePiece(piece, lent));
    if (this.#body.done) this.#deliverEnd();
    else this.#sink?.flush();
    return end;
  }

  #takePiece(piece: Buffer, lent: boolean): void {
    if (this.#answerEnded) return;
    if (this.record !== undefined) this.record.requestBytes += piece.length;
    if (this.#sink === undefined) {
      this.#unread.push(lent ? Buffer.from(piece) : piece);
      this.#connection.pauseBody();
    } else if (!this.#sink.write(piece, lent)) {
      this.#connection.pauseBody();
    }
  }

  readBody(sink: BodySink): void {
    this.#sink = sink;
    const waiting = this.#unread;
    if (waiting.length > 0) {
      this.#unread = [];
      let more = true;
      for (const piece of waiting) more = sink.write(piece, false);
      if (!this.#body.done) sink.flush();
      if (more && !this.#body.done) this.#connection.resumeBody();
    }
    if (this.#body.done) this.#deliverEnd();
  }

  resumeBody(): void {
    if (!this.#body.done) this.#connection.resumeBody();
  }

  #deliverEnd(): void {
    if (this.#sink === undefined || this.#bodyDelivered) return;
    this.#bodyDelivered = true;
    this.#sink.end(this.#body.trailers);
  }

  inform(status: number, reason: string, fieldLines: string): boolean {
    if (this.request.minorVersion === 0 || this.#answered) return true;
    if (status === 100) this.#continued = true;
    return this.#connection.socket.write(`HTTP/1.1 ${status} ${reason}\r\n${fieldLines}\r\n`, 'latin1');
  }

  respond(answer: Answer): void {
    this.#answered = true;
    if (this.record !== undefined) this.record.status = answer.status;
    const { request } = this;
    let head = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n${answer.fieldLines}`;
    // A body that the caller is still sending could not be told from its next request, nor could what it sends into a tunnel
    // that it takes for granted (RFC 9931: who rejects a CONNECT closes).
    this.#reusable &&=
      request.keepAlive && this.#connection.persistent && this.#body.done && request.method !== 'CONNECT';
    if (answer.framing.kind === 'length') {
      head += `Content-Length: ${answer.framing.length}\r\n`;
    } else if (answer.framing.kind === 'none') {
      if (answer.statedLength !== undefined) head += `Content-Length: ${answer.statedLength}\r\n`;
    } else if (request.minorVersion === 1) {
      this.#chunkedAnswer = true;
      head += 'Transfer-Encoding: chunked\r\n';
    } else {
      this.#delimitedByClose = true;
      this.#reusable = false; // HTTP/1.0 knows no other end of a body of unknown length (RFC 9112 §6.3)
    }
    if (!this.#reusable) head += 'Connection: close\r\n';
    else if (request.minorVersion === 0) head += 'Connection: keep-alive\r\n';
    this.#held = `${head}\r\n`;
  }

  openTunnel(status: number, reason: string, fieldLines: string): CallerTunnel {
    this.#answered = true;
    this.#answerEnded = true;
    if (this.record !== undefined) this.record.status = status;
    const tunnel = this.#connection.releaseSocket(this);
    tunnel.socket.write(`HTTP/1.1 ${status} ${reason}\r\n${fieldLines}\r\n`, 'latin1');
    return tunnel;
  }

  writeBody(piece: Buffer): boolean {
    if (this.#answerEnded) return true;
    if (this.record !== undefined) this.record.responseBytes += piece.length;
    const { socket } = this.#connection;
    if (piece.length <= SMALL_BYTES) return this.#hold(piece);
    const before = this.#chunkedAnswer ? `${this.#held}${piece.length.toString(16)}\r\n` : this.#held;
    this.#held = '';
    const after = this.#chunkedAnswer ? '\r\n' : '';
    if (piece.length < COPIED_BYTES) {
      const joined = Buffer.allocUnsafe(before.length + piece.length + after.length);
      joined.write(before, 0, 'latin1');
      piece.copy(joined, before.length);
      if (after !== '') joined.write(after, before.length + piece.length, 'latin1');
      return socket.write(joined);
    }
    if (before !== '') {
      socket.cork();
      socket.write(before, 'latin1');
    }
    socket.write(piece);
    if (after !== '') socket.write(after, 'latin1');
    if (before !== '') socket.uncork();
    if (socket.writableLength === 0) return true;
    this.#connection.tellWritten();
    return false;
  }

  /** Keeps a small piece as text, so that it leaves in one write with its head, with others, and with the end. */
  #hold(piece: Buffer): boolean {
    const text = piece.toString('latin1');
    this.#held += this.#chunkedAnswer ? `${piece.length.toString(16)}\r\n${text}\r\n` : text;
    if (this.#held.length > COPIED_BYTES) this.flush();
    return !this.#connection.socket.writableNeedDrain;
  }

  endBody(trailers: FieldList): void {
    if (this.#answerEnded) return;
    if (this.#chunkedAnswer) this.#held += lastChunk(trailers);
    this.flush();
    this.#answerEnded = true;
    this.record?.end();
    this.#connection.exchangeAnswered(this, this.#reusable);
  }

  flush(): void {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    this.#connection.socket.write(text, 'latin1');
  }

  abort(): void {
    this.flush(); // the caller sees an answer cut short, however much of it came in one read
    this.#answerEnded = true;
    this.record?.end();
    const { socket } = this.#connection;
    // An answer that only the close delimits would look complete after a plain end (RFC 9112 §8): reset instead.
    if (this.#answered && this.#delimitedByClose) socket.resetAndDestroy();
    else socket.destroySoon();
  }

  fail(error: ProxyError, extraFieldLines = ''): void {
    this.record?.failed(error.code);
    if (this.#answered) {
      this.abort();
      return;
    }
    if (error.status === 400) this.#reusable = false; // whoever errs about this request may err about where it ends
    const retryAfter = error.retryAfterS === undefined ? '' : `Retry-After: ${error.retryAfterS}\r\n`;
    const lines = `${extraFieldLines}${retryAfter}l5d-err: ${error.code}\r\n`;
    const grpcLines = extraFieldLines === '' ? grpcErrorLines(this.request, error) : undefined;
    if (grpcLines !== undefined) {
      this.respond({
        status: 200,
        reason: 'OK',
        fieldLines: lines + grpcLines,
        framing: { kind: 'length', length: 0 },
      });
      this.endBody([]);
      return;
    }
    const body = Buffer.from(error.body, 'utf8');
    const fieldLines = `${lines}Content-Type: text/plain; charset=utf-8\r\n`;
    const bodiless = this.request.method === 'HEAD';
    this.respond({
      status: error.status,
      reason: reasonPhrase(error.status),
      fieldLines,
      framing: bodiless ? { kind: 'none' } : { kind: 'length', length: body.length },
      statedLength: bodiless ? String(body.length) : undefined,
    });
    if (!bodiless) this.writeBody(body);
    this.endBody([]);
  }

  /** The connection broke, or its framing did: whoever handles the exchange must let go of it. */
  callerGone(): void {
    if (this.#answerEnded) return;
    this.#answerEnded = true;
    this.record?.failed(CALLER_GONE);
    this.watcher.onCallerGone();
    this.record?.end();
  }
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  408: 'Request Timeout',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
};

/** The usual reason phrase of a status that the mesh itself answers with; empty for others (RFC 9112 §4 allows that). */
export function reasonPhrase(status: number): string {
  return REASONS[status] ?? '';
}

/** A whole answer to what was never read as a request; the connection ends with it. `fieldLines` as in Answer. */
export function errorAnswer(error: ProxyError, fieldLines = ''): Buffer {
  const body = Buffer.from(error.body, 'utf8');
  const head =
    `HTTP/1.1 ${error.status} ${reasonPhrase(error.status)}\r\n${fieldLines}l5d-err: ${error.code}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}
