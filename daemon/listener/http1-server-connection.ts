import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Caller, CallerTunnel, Exchange, ExchangeHandler } from '../http/exchange.ts';
import { checkRequestBegins } from '../http/head-reader.ts';
import { readRequest } from '../http/message-head.ts';
import { asProxyError, type ProxyError } from '../http/proxy-error.ts';
import { readQuickRequest } from '../http/quick-head.ts';
import { readTlsInto } from '../http/tls-reads.ts';
import type { CallerTurns, WaitingRequest } from '../policy/caller-turns.ts';
import type { ExchangeRecord } from '../telemetry/exchange-record.ts';
import { CallerReads } from './caller-reads.ts';
import { ClosingTimer } from './closing-timer.ts';
import { type ExchangeConnection, errorAnswer, Http1Exchange } from './http1-exchange.ts';
import { Patience } from './patience.ts';
import { readInto } from './read-into.ts';

/** Pipelined requests are read ahead up to here: as long as a caller is read, it is seen when it goes away. */
const READ_AHEAD_BYTES = 64 * 1024;
const CR = 0x0d;
const LF = 0x0a;

/** What a connection needs of the listener that accepted it. */
export interface ConnectionHost {
  readonly handle: ExchangeHandler;
  readonly draining: boolean;
  /** Undefined: every request begins when it has been read. */
  readonly turns?: CallerTurns | undefined;
  now(): number;
  /** Whether a further request is taken, and if not why. Each that is taken is released once. */
  admit(caller: Caller): ProxyError | undefined;
  release(caller: Caller): void;
  /** Takes note that a caller's heads that are not complete hold so many bytes more, or less; gives why no more are taken. */
  holdHead?(caller: Caller, bytes: number): ProxyError | undefined;
  /** What somebody wants to hear of an exchange that has begun; undefined where nobody does. */
  record?(exchange: Exchange): ExchangeRecord | undefined;
  /** Field lines that an answer to a request that is not admitted gets. */
  refusalLines(error: ProxyError): string;
  /** `unread`: the caller whose request could not be read, so that no exchange tells of it. */
  onRefused(error: ProxyError, unread?: Caller): void;
  onClosed(connection: Http1ServerConnection): void;
}

/** One accepted HTTP/1 connection: reads requests one at a time, in order; pipelined ones wait unread (RFC 9112 §9.3.2). */
export class Http1ServerConnection implements ExchangeConnection, WaitingRequest {
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
  /** How many of them the host has taken note of. */
  #held = 0;
  #consuming = false;
  readonly #reads = new CallerReads();
  /** What has been decrypted is read although the socket is paused. */
  readonly #overTls: boolean;
  readonly #patience = new Patience();
  /** An empty write waits behind the others, to tell when they are done. */
  #telling = false;
  #callerEnded = false;
  #closing = false;
  /** The socket is a tunnel's: nothing is read, timed or closed here. */
  #released = false;
  #waitingSince: number;
  readonly #timer = new ClosingTimer();

  constructor(socket: Socket, caller: Caller, host: ConnectionHost) {
    const onread = { buffer: () => this.#nextBuffer(), callback: this.#onRead };
    this.#overTls = socket instanceof TLSSocket && readTlsInto(socket, onread);
    this.socket = this.#overTls ? socket : (readInto(socket, onread) ?? socket);
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
    this.#patience.renew();
    if (this.#exchange === exchange) this.#letGo();
    this.#timer.clear();
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
    const late = this.#released ? this.#patience.tunnel(socket, now) : this.#patience.untaken(socket, now);
    if (late !== undefined) {
      this.#host.onRefused(late);
      this.#exchange?.record?.failed(late.code);
      if (this.#released)
        socket.destroy(); // the tunnel's other side follows
      else socket.resetAndDestroy(); // a plain end would wait behind what is not taken
    } else if (!this.#released && !this.#closing) {
      this.#sweepRequest(now);
    }
  }

  #sweepRequest(now: number): void {
    const { socket } = this;
    const exchange = this.#exchange;
    if (exchange !== undefined) {
      const due = !exchange.bodyComplete && !exchange.holdsBodyBack;
      const late = this.#patience.body(socket, due, now);
      if (late !== undefined) this.#refuse(late);
    } else if (!socket.writableNeedDrain) {
      const late = this.#patience.head(now - this.#waitingSince, this.#unread !== undefined);
      if (late === 'idle') this.#close();
      else if (late !== undefined) this.#refuse(late);
    }
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
    this.#timer.clear();
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
    // An empty write has TLS read on at once, into the place that a read under way is still looked at in.
    if (this.#overTls) setImmediate(() => this.socket.write('', this.#onWritten));
    else this.socket.write('', this.#onWritten);
  }

  readonly #onWritten = (): void => {
    this.#telling = false;
    if (this.socket.writableLength === 0) this.#onDrain();
    else if (!this.socket.destroyed) this.tellWritten();
  };

  readonly #onRead = (length: number): boolean => {
    const bytes = this.#reads.take(length);
    if (this.#released) return this.socket.push(Buffer.from(bytes));
    this.#onData(bytes);
    return true;
  };

  #nextBuffer(): Buffer {
    return this.#reads.next(this.#exchange?.bodyComplete === false, this.#overTls);
  }

  pauseBody(): void {
    this.#reads.lent = true;
    this.socket.pause();
  }

  resumeBody(): void {
    this.#reads.lent = false;
    this.socket.resume();
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
      this.#unread = this.#reads.keep(bytes, at);
      this.#searched = 0;
      this.socket.pause();
      return undefined;
    }
    const searched = at === 0 ? this.#searched : 0;
    const read = (searched === 0 ? readQuickRequest(bytes, at) : undefined) ?? readRequest(bytes, at, searched);
    if (read === undefined) {
      checkRequestBegins(bytes, at, searched);
      if (this.#searched === 0) this.#waitingSince = this.#host.now();
      this.#unread = this.#reads.keep(bytes, at);
      this.#searched = this.#unread.length;
      this.#hold(this.#searched);
      return undefined;
    }
    if (this.#held !== 0) this.#hold(0);
    this.#searched = 0;
    const exchange = new Http1Exchange(this, read.head, this.#host.now());
    this.#exchange = exchange;
    exchange.record = this.#host.record?.(exchange);
    const refusal = this.#host.admit(this.caller);
    this.#admitted = refusal === undefined;
    const { turns } = this.#host;
    if (refusal !== undefined || turns === undefined || turns.atOnce(this.caller.address, exchange.startedAt))
      this.begin(refusal);
    else turns.wait(this.caller.address, this);
    return read.bodyOffset;
  }

  /** Throws ProxyError where the caller's heads, all together, are too much. */
  #hold(bytes: number): void {
    const more = bytes - this.#held;
    this.#held = bytes;
    const refusal = this.#host.holdHead?.(this.caller, more);
    if (refusal !== undefined && more > 0) throw refusal;
  }

  get waitingSince(): number | undefined {
    const exchange = this.#exchange;
    return exchange === undefined || exchange.over ? undefined : exchange.startedAt;
  }

  begin(refusal: ProxyError | undefined): void {
    const exchange = this.#exchange as Http1Exchange;
    try {
      if (refusal === undefined) {
        this.#host.handle(exchange);
      } else {
        this.#host.onRefused(refusal);
        exchange.fail(refusal, this.#host.refusalLines(refusal));
      }
    } catch (error) {
      this.#refuse(asProxyError(error));
    }
  }

  #letGo(): void {
    this.#exchange = undefined;
    if (!this.#admitted) return;
    this.#admitted = false;
    this.#host.release(this.caller);
  }

  #readBody(bytes: Buffer, offset: number): number | undefined {
    const exchange = this.#exchange as Http1Exchange;
    if (!exchange.bodyComplete) return exchange.receive(bytes, offset, this.#reads.holds(bytes));
    this.#unread = this.#reads.keep(bytes, offset);
    if (this.#unread.length >= READ_AHEAD_BYTES) this.socket.pause();
    return undefined;
  }

  /** Answers what could not be read, and closes: nothing after it can be told apart any more. */
  #refuse(error: ProxyError): void {
    const exchange = this.#exchange;
    this.#letGo();
    this.#host.onRefused(error, exchange === undefined ? this.caller : undefined);
    if (exchange !== undefined) {
      exchange.record?.refused(error);
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
    if (this.#held !== 0) this.#hold(0);
    this.#timer.clear();
    this.socket.end(() => this.#timer.linger(this.socket));
    this.socket.resume();
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
      this.#timer.watchHalfClosed(this.socket, exchange);
    }
  };

  #onClose(): void {
    this.#timer.clear();
    if (this.#held !== 0) this.#hold(0);
    this.#exchange?.callerGone();
    this.#letGo();
    this.#reads.giveBack();
    this.#host.onClosed(this);
  }
}
