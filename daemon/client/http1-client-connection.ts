import type { Socket } from 'node:net';
import { BodyReader } from '../http/body-reader.ts';
import { type BodyPiece, COPIED_BYTES, type ResponseSink, type UpstreamFailure } from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import { checkAnswerBegins } from '../http/head-reader.ts';
import { type Framing, type ResponseHead, readResponse } from '../http/message-head.ts';
import { ProxyError } from '../http/proxy-error.ts';
import { readQuickResponse } from '../http/quick-head.ts';
import { giveBack, LANDING, takeBuffer } from '../http/read-buffers.ts';
import { addressText, type Connector, type ServerAddress } from './connector.ts';
import { RequestWriter } from './request-writer.ts';

/** What a server that trickles sends at a time; waiting for more, its connection needs no buffer of its own. */
const SMALL_READ_BYTES = 4 * 1024;

/** A reset that answers a request comes within a round trip of the cluster's network. */
const RESET_MS = 20;
const RESETS = new Set(['ECONNRESET', 'EPIPE']);
/** On a new connection, too, and then it comes as soon; the rest is how late a busy machine may notice. */
const RESET_AT_ONCE_MS = 100;

/** What a connection needs of the pool that owns it. */
export interface ConnectionOwner {
  now(): number;
  /** The connection is between requests, certain of its state, and may serve another. */
  onIdle(connection: Http1ClientConnection): void;
  onGone(connection: Http1ClientConnection): void;
}

/** What forwarding needs of the connection that it sends a request on. */
export interface UpstreamConnection {
  /** It does not stand yet. */
  readonly pending: boolean;
  send(method: string, headText: string, framing: Framing, sink: ResponseSink): void;
  /**
   * Sends a piece of the body; gives false when no more should come until `onUpstreamWritable`. Text is latin1, and kept
   * back until `flush` or `end`.
   */
  write(piece: BodyPiece): boolean;
  flush(): void;
  end(trailers: FieldList): void;
  resume(): void;
  abort(): void;
}

/** One connection to a server: one request at a time, never reused in a state that is not certain. */
export class Http1ClientConnection implements UpstreamConnection {
  readonly address: ServerAddress;
  /** When it last became idle, at first when it stood, ms of the owner's clock. */
  idleSince = 0;
  /** ms of the owner's clock; 0 where the owner has no use for it. */
  openedAt = 0;
  /** How long the server said it keeps an idle connection, ms; undefined where it did not say. */
  serverIdleMs: number | undefined;
  readonly #connector: Connector;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #request: RequestWriter;
  /** Every read goes into it: its own from the first bytes of an answer to the last, or until they only trickle. */
  #buffer: Buffer = LANDING;
  /** A piece of the last read is still being written to the caller. */
  #lent = false;
  #sink: ResponseSink | undefined;
  #method = '';
  #body: BodyReader | undefined;
  #unread: Buffer | undefined;
  #keepAlive = false;
  #connected = false;
  #stale = false;
  #served = 0;
  #answerBegun = false;
  /** The server has closed its side. */
  #ended = false;
  #failure: Error | undefined;
  #gone = false;
  /** The socket is a tunnel's. */
  #tunnel = false;

  constructor(address: ServerAddress, connector: Connector, owner: ConnectionOwner) {
    this.address = address;
    this.#owner = owner;
    this.#connector = connector;
    const socket = connector.connect(address, {
      onReady: () => {
        this.#connected = true;
        this.idleSince = owner.now();
      },
      onStale: () => {
        this.#stale = true;
        const idle = this.#served > 0 && this.#sink === undefined && !this.#tunnel;
        if (idle) this.#socket.destroy();
      },
      onread: { buffer: () => this.#nextBuffer(), callback: this.#onRead },
    });
    this.#socket = socket;
    this.#request = new RequestWriter(socket, this.#onDrain);
    socket.on('data', this.#onData); // of a connector that has no use for `onread`
    socket.on('drain', this.#onDrain);
    socket.on('end', this.#onEnd);
    socket.on('error', (error: Error) => {
      this.#failure = error;
    });
    socket.on('close', () => this.#onClose());
  }

  get pending(): boolean {
    return !this.#connected;
  }

  /** Whether a request may be sent on it now. */
  get usable(): boolean {
    return !this.#gone && this.#sink === undefined && !this.#socket.destroyed && this.#socket.writable;
  }

  /** Begins a request, as `RequestWriter` takes it. */
  send(method: string, headText: string, framing: Framing, sink: ResponseSink): void {
    this.#sink = sink;
    this.#method = method;
    this.#answerBegun = false;
    this.#request.begin(headText, framing);
  }

  write(piece: BodyPiece): boolean {
    return this.#request.write(piece);
  }

  flush(): void {
    this.#request.flush();
  }

  end(trailers: FieldList): void {
    this.#request.end(trailers);
  }

  resume(): void {
    this.#lent = false;
    this.#socket.resume();
  }

  /**
   * Gives up the request under way, and the connection with it: its state is no longer certain. A server in the middle of its
   * answer learns by a reset that nobody reads on; a plain end would leave that open.
   */
  abort(): void {
    this.#sink = undefined;
    if (this.#answerBegun) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Closes an idle connection. */
  close(): void {
    this.#socket.destroy();
  }

  get #overTls(): boolean {
    return 'encrypted' in this.#socket;
  }

  readonly #onDrain = (): void => this.#sink?.onUpstreamWritable();

  readonly #onRead = (length: number): boolean => {
    if (this.#tunnel) return this.#socket.push(Buffer.from(this.#buffer.subarray(0, length)));
    if (this.#buffer === LANDING && length >= COPIED_BYTES) {
      this.#buffer = takeBuffer();
      LANDING.copy(this.#buffer, 0, 0, length);
    }
    this.#onData(this.#buffer.subarray(0, length));
    if (length <= SMALL_READ_BYTES) this.#returnBuffer();
    return true;
  };

  /** What TLS has decrypted comes although the socket is paused; what was lent stays whole. */
  #nextBuffer(): Buffer {
    if (this.#lent && this.#overTls) this.#buffer = takeBuffer();
    return this.#buffer;
  }

  /** What the caller has not taken yet must not be overwritten, by whoever reads next. */
  #returnBuffer(): void {
    if (this.#buffer === LANDING || this.#lent) return;
    giveBack(this.#buffer);
    this.#buffer = LANDING;
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#sink === undefined) {
      // Nobody asked: a late answer here would be given to the wrong request.
      this.#socket.destroy();
      return;
    }
    let all = bytes;
    if (this.#unread !== undefined) {
      all = Buffer.concat([this.#unread, bytes]);
      this.#unread = undefined;
    }
    const sink = this.#sink;
    try {
      this.#consume(all, sink);
    } catch (error) {
      this.#fail(error instanceof ProxyError ? new ProxyError('bad_response', error.message) : error);
      return;
    }
    sink.onReadDone();
  };

  #consume(bytes: Buffer, sink: ResponseSink): void {
    let at = 0;
    while (at < bytes.length && this.#sink === sink) {
      if (this.#body === undefined) {
        const next = this.#readHead(bytes, at, sink);
        if (next === undefined) return;
        at = next;
      } else {
        at = this.#body.read(bytes, at, this.#onBodyPiece);
      }
      if (this.#body?.done === true) this.#endAnswer(at === bytes.length);
    }
  }

  readonly #onBodyPiece = (piece: Buffer): void => {
    if (this.#sink === undefined || this.#sink.onAnswerData(piece)) return;
    this.#lent = true;
    this.#socket.pause();
  };

  #readHead(bytes: Buffer, offset: number, sink: ResponseSink): number | undefined {
    this.#answerBegun = true;
    const found = readQuickResponse(bytes, offset, this.#method) ?? readResponse(bytes, offset, this.#method);
    if (found === undefined) {
      checkAnswerBegins(bytes, offset);
      this.#unread = Buffer.from(bytes.subarray(offset));
      return undefined;
    }
    const { head } = found;
    if (head.status === 101 || (this.#method === 'CONNECT' && head.status >= 200 && head.status < 300)) {
      if (!sink.asksForTunnel) throw new ProxyError('bad_response', 'the destination switched protocols unasked');
      if (head.status === 101) this.#checkSwitch(head);
      this.#openTunnel(head, bytes.subarray(found.bodyOffset), sink);
      return undefined;
    }
    if (head.status < 200) {
      if (!sink.onInformation(head)) this.#socket.pause();
      return found.bodyOffset;
    }
    this.#keepAlive = head.keepAlive;
    if (head.keepAliveTimeoutS !== undefined) this.serverIdleMs = head.keepAliveTimeoutS * 1_000;
    this.#body = new BodyReader(head.framing);
    sink.onAnswer(head);
    return found.bodyOffset;
  }

  /** RFC 9110 §7.8, §15.2.2: a 101 says what it switches to. A CONNECT asks for no switch. */
  #checkSwitch(head: ResponseHead): void {
    if (!head.upgrades || this.#method === 'CONNECT') {
      throw new ProxyError('bad_response', 'the destination switched protocols without saying to which');
    }
  }

  #openTunnel(head: ResponseHead, early: Buffer, sink: ResponseSink): void {
    const socket = this.#socket;
    this.#sink = undefined;
    this.#tunnel = true;
    socket.off('data', this.#onData);
    socket.off('drain', this.#onDrain);
    socket.off('end', this.#onEnd);
    sink.onTunnel(head, { socket, early: early.length === 0 ? undefined : Buffer.from(early) });
  }

  #endAnswer(nothingFollows: boolean): void {
    const sink = this.#sink;
    const trailers = this.#body?.trailers ?? [];
    const reusable = this.#keepAlive && this.#request.sent && nothingFollows && !this.#stale;
    this.#sink = undefined;
    this.#body = undefined;
    this.#served += 1;
    this.#returnBuffer();
    if (reusable) {
      this.#buffer = LANDING;
      this.#lent = false;
      this.idleSince = this.#owner.now();
      this.#owner.onIdle(this);
      this.#socket.resume();
    } else {
      this.#socket.destroy();
    }
    sink?.onAnswerEnd(trailers);
  }

  readonly #onEnd = (): void => {
    if (this.#sink !== undefined && this.#body?.endsWithConnection === true) {
      this.#keepAlive = false;
      this.#endAnswer(true);
      return;
    }
    this.#ended = true;
    const unanswered = this.#sink !== undefined && !this.#answerBegun;
    if (unanswered && !this.#overTls) this.#askWhetherRead();
    else this.#socket.destroy();
  };

  /**
   * The server has closed without an answer: either before it read the request, which its kernel then answers by a reset, or
   * after. A reset behind an end shows in a write alone.
   */
  #askWhetherRead(): void {
    const socket = this.#socket;
    const timer = setTimeout(() => socket.write('', (error) => socket.destroy(error ?? undefined)), RESET_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  #onClose(): void {
    this.#gone = true;
    this.#owner.onGone(this);
    if (this.#sink !== undefined) this.#fail(this.#failure);
  }

  #fail(cause: unknown): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    this.#sink = undefined;
    const unread = RESETS.has((this.#failure as NodeJS.ErrnoException | undefined)?.code ?? '');
    const refused = !this.#connected || (unread && this.#closedUnused);
    const failure: UpstreamFailure = {
      error: this.#explain(cause, refused),
      beforeSending: refused,
      onReusedConnection: this.#served > 0 && !this.#answerBegun,
      unread,
    };
    this.#socket.destroy();
    sink.onUpstreamError(failure);
  }

  /**
   * Given a reset: whether the server never took up this connection. One that stops closes new connections as it closes idle ones, and its
   * kernel resets those that it has not accepted yet. A reset that comes late, and behind no end, may be anybody's.
   */
  get #closedUnused(): boolean {
    if (this.#served > 0 || this.#answerBegun) return false;
    return this.#ended || this.#owner.now() - this.idleSince <= RESET_AT_ONCE_MS;
  }

  #explain(cause: unknown, refused: boolean): ProxyError {
    if (cause instanceof ProxyError) return cause;
    const reason = cause instanceof Error ? cause : undefined;
    if (!this.#connected) return this.#connector.explain(this.address, reason);
    const where = addressText(this.address);
    if (refused) return new ProxyError('connect_failed', `${where} closed the connection with the request unread`);
    const why = reason?.message ?? 'closed';
    return new ProxyError(
      'upstream_reset',
      `the connection to ${where} was lost before the answer was complete (${why})`,
    );
  }
}
