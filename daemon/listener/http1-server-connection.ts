import type { Socket } from 'node:net';
import type { Caller, CallerTunnel, ExchangeHandler } from '../http/exchange.ts';
import { checkRequestBegins } from '../http/head-reader.ts';
import { readRequest } from '../http/message-head.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { readQuickRequest } from '../http/quick-head.ts';
import { type ExchangeConnection, errorAnswer, Http1Exchange } from './http1-exchange.ts';
import { readInto } from './read-into.ts';

/** A head must be complete this long after its first byte. */
export const HEAD_TIMEOUT_MS = 20_000;
/** In the middle of a body that nobody holds back, a caller may be silent this long (nginx's client_body_timeout). */
const BODY_TIMEOUT_MS = 60_000;
/**
 * A caller that has something to take may be seen to take nothing of it this long (Envoy's stream_idle_timeout). Linux says that
 * there is room again for every 1.4 MB taken of a full buffer: a minute would cut off whoever takes less than 25 KB/s.
 */
const SEND_TIMEOUT_MS = 300_000;
/** Longer than the 60–75 s for which common clients keep idle connections, so that they close first and never race ours. */
const IDLE_TIMEOUT_MS = 120_000;
/**
 * Once all is sent the caller's unread bytes are read and dropped, so that no reset eats the answer: until none have come for
 * this long, and so many times over at most (nginx's lingering_time).
 */
const LINGER_MS = 1_000;
const LINGER_TURNS = 30;
/**
 * A caller that has closed its sending side while it waits for an answer is either half-closed (RFC 9112 §9.6) or gone;
 * TCP shows both alike. It gets this long for the answer to begin, then the request is cancelled.
 */
const HALF_CLOSED_GRACE_MS = 500;
/** The same once the answer has begun: this long without a byte of it, and the caller is taken for gone. */
const HALF_CLOSED_SILENCE_MS = 5_000;
const READ_BYTES = 64 * 1024;
/** All connections read into it: a head is worked through before the next read, and what is kept of it is copied. */
const READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);
/** A tunnel through which nothing passes is given up after this long (Envoy's idle_timeout of TCP). */
const TUNNEL_IDLE_MS = 3_600_000;
/** The same for one of which a side has ended: seldom is more to come, and nobody may be left to close it. */
const HALF_CLOSED_TUNNEL_MS = 300_000;
const CR = 0x0d;
const LF = 0x0a;

/** What a connection needs of the listener that accepted it. */
export interface ConnectionHost {
  readonly handle: ExchangeHandler;
  readonly draining: boolean;
  now(): number;
  /** Whether a further request is taken, and if not why. Each that is taken is released once. */
  admit(caller: Caller): ProxyError | undefined;
  release(caller: Caller): void;
  /** Field lines that an answer to a request that is not admitted gets. */
  refusalLines(error: ProxyError): string;
  onRefused(error: ProxyError): void;
  onClosed(connection: Http1ServerConnection): void;
}

/** One accepted HTTP/1 connection: reads requests one at a time, in order; pipelined ones wait unread (RFC 9112 §9.3.2). */
export class Http1ServerConnection implements ExchangeConnection {
  readonly socket: Socket;
  readonly caller: Caller;
  readonly #host: ConnectionHost;
  #exchange: Http1Exchange | undefined;
  /** Whether the exchange was admitted, and must be released. */
  #admitted = false;
  /** Bytes that arrived and are not yet read: an incomplete head, or requests that wait their turn. */
  #unread: Buffer | undefined;
  /** How many of them have been searched for the end of a head in vain. */
  #searched = 0;
  #consuming = false;
  #buffer = READ_BUFFER;
  /** An empty write waits behind the others, to tell when they are done. */
  #telling = false;
  #callerEnded = false;
  #closing = false;
  /** The socket is a tunnel's: nothing is read, timed or closed here. */
  #released = false;
  #waitingSince: number;
  /** Since when a sweep has seen no byte of the body or the tunnel under way, and how many there had been by then. */
  #quietSince = 0;
  #bytesSeen = -1;
  /** Since when a sweep has seen the caller take nothing of what waits for it, and how many bytes it had taken by then. */
  #untakenSince = 0;
  #bytesTaken = -1;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, caller: Caller, host: ConnectionHost) {
    this.socket = readInto(socket, { buffer: this.#nextBuffer, callback: this.#onRead }) ?? socket;
    this.caller = caller;
    this.#host = host;
    this.#waitingSince = host.now();
    this.socket.on('error', () => {}); // 'close' follows and says all
    this.socket.on('close', () => this.#onClose());
    this.#attach();
  }

  #attach(): void {
    this.socket.resume();
    this.socket.on('data', this.#onData);
    this.socket.on('drain', this.#onDrain);
    this.socket.on('end', this.#onEnd);
  }

  releaseSocket(exchange: Http1Exchange): CallerTunnel {
    const { socket } = this;
    this.#released = true;
    this.#bytesSeen = -1;
    if (this.#exchange === exchange) this.#letGo();
    this.#clearTimer();
    socket.off('data', this.#onData);
    socket.off('drain', this.#onDrain);
    socket.off('end', this.#onEnd);
    const early = this.#unread;
    this.#unread = undefined;
    return { socket, early, readRequests: (bytes) => this.#readRequests(bytes) };
  }

  /** A tunnel's bytes turn out to be requests: the connection goes on with them. */
  #readRequests(bytes: Buffer): void {
    this.#released = false;
    this.#waitingSince = this.#host.now();
    this.#attach();
    this.#onData(bytes);
    this.socket.resume();
  }

  get persistent(): boolean {
    return !this.#host.draining && !this.#callerEnded && !this.#closing;
  }

  get idle(): boolean {
    return this.#exchange === undefined;
  }

  /** Closes what has waited too long. `now` in ms of the host's clock. Called about once a second. */
  sweep(now: number): void {
    const { socket } = this;
    if (socket.destroyed) return;
    if (this.#released) {
      this.#sweepTunnel(now);
      return;
    }
    if (socket.writableLength > 0) this.#sweepUntaken(now);
    else this.#bytesTaken = -1;
    if (this.#closing || socket.destroyed) return;
    if (this.#exchange !== undefined) {
      this.#sweepBody(this.#exchange, now);
      return;
    }
    if (socket.writableNeedDrain) return; // it is we who do not read
    const waited = now - this.#waitingSince;
    if (this.#unread !== undefined && waited > HEAD_TIMEOUT_MS) {
      this.#refuse(new ProxyError('head_timeout', 'the request head did not arrive in time'));
    } else if (waited > IDLE_TIMEOUT_MS) {
      this.#close();
    }
  }

  /** Silence is measured from sweep to sweep, so that no byte on its way has to look at a clock. */
  #sweepBody(exchange: Http1Exchange, now: number): void {
    const { bytesRead } = this.socket;
    if (bytesRead !== this.#bytesSeen || exchange.bodyComplete || exchange.holdsBodyBack) {
      this.#bytesSeen = bytesRead;
      this.#quietSince = now;
    } else if (now - this.#quietSince > BODY_TIMEOUT_MS) {
      this.#refuse(new ProxyError('body_timeout', `nothing more of the body came for ${BODY_TIMEOUT_MS / 1_000} s`));
    }
  }

  /** Measured from sweep to sweep as well, by the writes that have finished. */
  #sweepUntaken(now: number): void {
    const taken = this.socket.bytesWritten - this.socket.writableLength;
    if (taken !== this.#bytesTaken) {
      this.#bytesTaken = taken;
      this.#untakenSince = now;
    } else if (now - this.#untakenSince > SEND_TIMEOUT_MS) {
      const detail = `the caller took nothing of its answer for ${SEND_TIMEOUT_MS / 1_000} s`;
      this.#host.onRefused(new ProxyError('send_timeout', detail));
      this.socket.resetAndDestroy(); // a plain end would wait behind what is not taken
    }
  }

  #sweepTunnel(now: number): void {
    const { socket } = this;
    const passed = socket.bytesRead + socket.bytesWritten;
    if (passed !== this.#bytesSeen) {
      this.#bytesSeen = passed;
      this.#quietSince = now;
      return;
    }
    const limit = socket.readableEnded || socket.writableEnded ? HALF_CLOSED_TUNNEL_MS : TUNNEL_IDLE_MS;
    if (now - this.#quietSince <= limit) return;
    this.#host.onRefused(
      new ProxyError('tunnel_idle', `nothing passed through the tunnel for ${limit / 60_000} minutes`),
    );
    socket.destroy(); // the tunnel's other side follows
  }

  /** Ends the connection as soon as no request is under way on it. */
  drain(): void {
    if (this.idle && this.#unread === undefined && !this.#released) this.#close();
  }

  destroy(): void {
    this.socket.destroy();
  }

  exchangeAnswered(exchange: Http1Exchange, reusable: boolean): void {
    if (this.#exchange !== exchange) return;
    this.#letGo();
    this.#clearTimer();
    if (!reusable || this.#callerEnded) {
      this.#close();
      return;
    }
    this.#waitingSince = this.#host.now();
    if (this.#host.draining && this.#unread === undefined) this.#close();
    else if (!this.#consuming) this.#continue();
  }

  #continue(): void {
    const waiting = this.#unread;
    this.#unread = undefined;
    this.socket.resume(); // before what waits is read, which may pause it again
    if (waiting !== undefined) this.#consume(waiting);
  }

  readonly #onDrain = (): void => {
    if (this.#exchange !== undefined) {
      this.#exchange.watcher.onCallerWritable();
    } else if (this.#unread !== undefined && !this.#closing) {
      this.#waitingSince = this.#host.now();
      this.#continue();
    }
  };

  tellWritten(): void {
    if (this.#telling) return;
    this.#telling = true;
    this.socket.write('', this.#onWritten);
  }

  readonly #onWritten = (): void => {
    this.#telling = false;
    if (this.socket.writableLength === 0) this.#onDrain();
    else if (!this.socket.destroyed) this.tellWritten();
  };

  readonly #onRead = (length: number): boolean => {
    const bytes = this.#buffer.subarray(0, length);
    if (this.#released) return this.socket.push(Buffer.from(bytes));
    this.#onData(bytes);
    return true;
  };

  /** A body's pieces go on as they are, and stay in use for a while. */
  readonly #nextBuffer = (): Buffer => {
    const inBody = this.#exchange?.bodyComplete === false;
    this.#buffer = inBody ? Buffer.allocUnsafeSlow(READ_BYTES) : READ_BUFFER;
    return this.#buffer;
  };

  #own(bytes: Buffer, offset: number): Buffer {
    const rest = offset === 0 ? bytes : bytes.subarray(offset);
    return bytes.buffer === READ_BUFFER.buffer ? Buffer.from(rest) : rest;
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#closing) return;
    if (this.#unread === undefined) {
      this.#consume(bytes);
      return;
    }
    const joined = Buffer.concat([this.#unread, bytes]);
    this.#unread = undefined;
    this.#consume(joined);
  };

  #consume(bytes: Buffer): void {
    this.#consuming = true;
    try {
      let at = 0;
      while (at < bytes.length && !this.#closing) {
        const next = this.#exchange === undefined ? this.#readHead(bytes, at) : this.#readBody(bytes, at);
        if (next === undefined) break;
        at = next;
      }
    } catch (error) {
      this.#refuse(asProxyError(error));
    } finally {
      this.#consuming = false;
    }
  }

  /** Gives the offset after the head, or undefined when it is incomplete and kept for later. */
  #readHead(bytes: Buffer, offset: number): number | undefined {
    let at = offset;
    while (bytes[at] === CR && bytes[at + 1] === LF) at += 2; // RFC 9112 §2.2: empty lines before a request line are ignored
    if (at >= bytes.length) {
      this.#searched = 0;
      return undefined;
    }
    if (this.socket.writableNeedDrain) {
      // Answers to requests that a caller sends without reading would pile up without limit.
      this.#unread = this.#own(bytes, at);
      this.#searched = 0;
      this.socket.pause();
      return undefined;
    }
    const searched = at === 0 ? this.#searched : 0;
    const read = (searched === 0 ? readQuickRequest(bytes, at) : undefined) ?? readRequest(bytes, at, searched);
    if (read === undefined) {
      checkRequestBegins(bytes, at, searched);
      if (this.#searched === 0) this.#waitingSince = this.#host.now();
      this.#unread = this.#own(bytes, at);
      this.#searched = this.#unread.length;
      return undefined;
    }
    this.#searched = 0;
    const exchange = new Http1Exchange(this, read.head, this.#host.now());
    this.#exchange = exchange;
    const refusal = this.#host.admit(this.caller);
    this.#admitted = refusal === undefined;
    if (refusal === undefined) {
      this.#host.handle(exchange);
    } else {
      this.#host.onRefused(refusal);
      exchange.fail(refusal, this.#host.refusalLines(refusal));
    }
    return read.bodyOffset;
  }

  #letGo(): void {
    this.#exchange = undefined;
    if (!this.#admitted) return;
    this.#admitted = false;
    this.#host.release(this.caller);
  }

  #readBody(bytes: Buffer, offset: number): number | undefined {
    const exchange = this.#exchange as Http1Exchange;
    if (!exchange.bodyComplete) return exchange.receive(bytes, offset, bytes.buffer === READ_BUFFER.buffer);
    this.#unread = this.#own(bytes, offset);
    this.socket.pause();
    return undefined;
  }

  /** Answers what could not be read, and closes: nothing after it can be told apart any more. */
  #refuse(error: ProxyError): void {
    const exchange = this.#exchange;
    this.#letGo();
    this.#host.onRefused(error);
    if (exchange !== undefined) {
      const answered = exchange.answered;
      exchange.callerGone();
      if (answered) {
        this.socket.resetAndDestroy();
        return;
      }
    }
    this.socket.write(errorAnswer(error));
    this.#close();
  }

  /** Staged close (RFC 9112 §9.6): end our side, drop what still arrives for a while, then let go. */
  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#unread = undefined;
    this.#clearTimer();
    this.socket.end(() => this.#linger());
    this.socket.resume();
  }

  #linger(turns = LINGER_TURNS): void {
    if (this.socket.destroyed) return;
    const { bytesRead } = this.socket;
    this.#timer = setTimeout(() => {
      if (turns > 1 && this.socket.bytesRead !== bytesRead) this.#linger(turns - 1);
      else this.socket.destroy();
    }, LINGER_MS);
    this.#timer.unref();
  }

  readonly #onEnd = (): void => {
    this.#callerEnded = true;
    const exchange = this.#exchange;
    if (exchange === undefined) {
      if (this.#closing) this.socket.destroySoon();
      else this.#close();
    } else if (!exchange.bodyComplete) {
      exchange.callerGone();
      this.socket.destroy();
    } else {
      this.#watchHalfClosed(exchange);
    }
  };

  #watchHalfClosed(exchange: Http1Exchange): void {
    const { answered } = exchange;
    const { bytesWritten } = this.socket;
    this.#timer = setTimeout(
      () => {
        const { socket } = this;
        if (exchange.answered !== answered || socket.bytesWritten !== bytesWritten || socket.writableLength > 0) {
          this.#watchHalfClosed(exchange);
          return;
        }
        exchange.callerGone();
        socket.destroy();
      },
      answered ? HALF_CLOSED_SILENCE_MS : HALF_CLOSED_GRACE_MS,
    );
    this.#timer.unref();
  }

  #onClose(): void {
    this.#clearTimer();
    this.#exchange?.callerGone();
    this.#letGo();
    this.#host.onClosed(this);
  }

  #clearTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
