import type { Socket } from 'node:net';
import type { ExchangeRecord } from '../telemetry/exchange-record.ts';
import type { FieldList } from './fields.ts';
import type { Framing, RequestHead, ResponseHead } from './message-head.ts';
import type { ProxyError } from './proxy-error.ts';

/**
 * One request and its answer, as routers see them: nothing here says how the bytes looked on either wire. A codec of the
 * listening side implements Exchange, a codec of the connecting side calls a ResponseSink.
 */

/** Who sent a request: one object per connection. */
export interface Caller {
  /** The socket's peer address, IPv4-mapped IPv6 already unwrapped. */
  readonly address: string;
  readonly port: number;
  /** The node whose daemon it has proved to be, by mutual TLS; undefined for anyone else. */
  readonly node?: string | undefined;
}

/** Up to here a piece of a body is copied behind what is to leave with it, so that both leave in one write. */
export const COPIED_BYTES = 16 * 1024;

/** Bytes of a body; text is latin1. */
export type BodyPiece = Buffer | string;

/** Takes a request's body. */
export interface BodySink {
  /**
   * `lent`: the piece is overwritten afterwards. Gives false when no more should come until `resumeBody` is called on the
   * exchange; a piece that is lent stays as it is till then.
   */
  write(piece: Buffer, lent: boolean): boolean;
  /** Sends out what is held back: no more comes for now. */
  flush(): void;
  end(trailers: FieldList): void;
}

/** An answer's head, ready to be sent: `fieldLines` are the end-to-end fields as "Name: value\r\n"… */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly fieldLines: string;
  readonly framing: Framing;
  /** Sent as Content-Length of an answer that has no body of its own (HEAD, 304), where the origin gave one. */
  readonly statedLength?: string | undefined;
}

/** What the listening side reports to whoever handles the exchange. */
export interface ExchangeWatcher {
  /** The caller went away, or broke the framing of its body, before the answer was complete. */
  onCallerGone(): void;
  /** The caller can take more of the answer after `writeBody` gave false. */
  onCallerWritable(): void;
}

/** A connection that no longer carries messages of its own but bytes, after a switch of protocols or a CONNECT. */
export interface OpenedTunnel {
  readonly socket: Socket;
  /** What has arrived already and belongs to the tunnel. */
  readonly early: Buffer | undefined;
}

/** The caller's side of one. */
export interface CallerTunnel extends OpenedTunnel {
  /** Turns it back: `bytes`, and what follows, are requests again. */
  readRequests(bytes: Buffer): void;
}

export interface Exchange {
  readonly request: RequestHead;
  readonly caller: Caller;
  /** When the head was complete, ms of the monotonic clock. */
  readonly startedAt: number;
  /** What somebody wants to hear of it; as a rule nobody does. Whoever makes the exchange keeps count of its bytes, and ends it. */
  readonly record: ExchangeRecord | undefined;
  /** The handler's ear; set once, before anything else is called. */
  watcher: ExchangeWatcher;
  /** Begins to deliver the body, including what has arrived already. Called at most once. */
  readBody(sink: BodySink): void;
  resumeBody(): void;
  /** A 1xx answer; dropped where the caller cannot understand it (HTTP/1.0). Gives false like `writeBody`. */
  inform(status: number, reason: string, fieldLines: string): boolean;
  respond(answer: Answer): void;
  /** Answers 101 or a CONNECT's 2xx, and gives up the connection to whoever asked. Instead of `respond`. */
  openTunnel(status: number, reason: string, fieldLines: string): CallerTunnel;
  /**
   * Gives false while the piece has not all been taken over: it must not change, nor more come, until `onCallerWritable`. One
   * of less than COPIED_BYTES may change at once.
   */
  writeBody(piece: Buffer): boolean;
  endBody(trailers: FieldList): void;
  /** Sends out what was held back to be written in one piece. Called when a read from upstream has been worked through. */
  flush(): void;
  /** Ends an answer that cannot be completed, so that it can never look complete. */
  abort(): void;
  /**
   * Answers with an error of the mesh's own (DESIGN §5.7). Only before `respond`. `extraFieldLines` are for another daemon; without
   * them it goes to an application, and to a gRPC call as gRPC has it.
   */
  fail(error: ProxyError, extraFieldLines?: string): void;
}

/** Takes the answer to one request that was sent upstream. After `onAnswerEnd` or `onUpstreamError` nothing more comes. */
export interface ResponseSink {
  /** Whether the request asked for a tunnel: CONNECT, or a switch of protocols. Otherwise an answer that opens one is an error. */
  readonly asksForTunnel: boolean;
  /** 101, or a CONNECT's 2xx: the connection is the sink's from here on, and nothing more comes from it here. */
  onTunnel(head: ResponseHead, tunnel: OpenedTunnel): void;
  /** A 1xx answer; the final one follows (RFC 9110 §15.2). Gives false like `onAnswerData`: there may be many. */
  onInformation(head: ResponseHead): boolean;
  onAnswer(head: ResponseHead): void;
  /** The piece is lent: true gives it back at once, false when `resume` is called on the connection; till then no more. */
  onAnswerData(piece: Buffer): boolean;
  onAnswerEnd(trailers: FieldList): void;
  /** One read from the socket has been worked through. */
  onReadDone(): void;
  /** The connection can take more of the request's body. */
  onUpstreamWritable(): void;
  onUpstreamError(failure: UpstreamFailure): void;
}

/** Why a request sent upstream got no complete answer. */
export interface UpstreamFailure {
  readonly error: ProxyError;
  /** True where the request cannot have reached an application: the connection never stood, or was closed with all of it unread. */
  readonly beforeSending: boolean;
  /** True where a connection that had served before was lost before any byte of an answer (RFC 9112 §9.3.1). */
  readonly onReusedConnection: boolean;
  /** True where a reset says that the server's application has not read all of the request. */
  readonly unread: boolean;
}

/** Handles exchanges: a router, or whatever wraps one. Must answer each exchange exactly once, now or later. */
export type ExchangeHandler = (exchange: Exchange) => void;
