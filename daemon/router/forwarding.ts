import type { UpstreamConnection } from '../client/http1-client-connection.ts';
import { RawConnection } from '../client/raw-connection.ts';
import type {
  BodySink,
  Exchange,
  ExchangeWatcher,
  OpenedTunnel,
  ResponseSink,
  UpstreamFailure,
} from '../http/exchange.ts';
import { type FieldList, fieldValue, forwardedFieldLines } from '../http/fields.ts';
import type { ResponseHead } from '../http/message-head.ts';
import { asProxyError, PROXY_ERRORS, ProxyError, type ProxyErrorCode } from '../http/proxy-error.ts';
import type { ForwardingObserver, Hop, Route } from './hop.ts';
import { decideRetry, REPLAY_BYTES, retryDelayMs } from './retry.ts';
import { splice } from './splice.ts';
import { openByFirstBytes } from './tunnel-opening.ts';

/** What all exchanges of a router share. */
export interface ForwardingRules {
  /** Added to answers on their way back: the Via line. */
  readonly answerLines: string;
  /** True on the side that meets the application: only it may try another pod (two hops that both retry multiply). */
  readonly retriesElsewhere: boolean;
  readonly now: () => number;
  readonly random: () => number;
}

/** A request as it goes on: its line and fields, without those that the hop adds. */
export interface ForwardedRequest {
  readonly headText: string;
}

/** One exchange on its way through: attempts, the body in both directions, and who is told how it ended. */
export class Forwarding implements BodySink, ResponseSink, ExchangeWatcher {
  readonly #exchange: Exchange;
  readonly #route: Route;
  readonly #headText: string;
  readonly #rules: ForwardingRules;
  readonly #observer: ForwardingObserver;
  #hop: Hop | undefined;
  #connection: UpstreamConnection | undefined;
  #attempts = 0;
  #attemptStartedAt = 0;
  #tried: Set<Hop> | undefined;
  /** The body so far, for a further attempt; undefined once it is too large or the answer has begun. */
  #replay: Buffer[] | undefined = [];
  #replayBytes = 0;
  #bodyEnded = false;
  #trailers: FieldList = [];
  #answerStatus = 0;
  /** The peer's refusal whose answer is being read to its end before the next attempt. */
  #refusal: { readonly code: ProxyErrorCode; readonly untouched: boolean } | undefined;
  #done = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    exchange: Exchange,
    route: Route,
    request: ForwardedRequest,
    context: { readonly rules: ForwardingRules; readonly observer: ForwardingObserver },
  ) {
    this.#exchange = exchange;
    this.#route = route;
    this.#headText = request.headText;
    this.#rules = context.rules;
    this.#observer = context.observer;
    exchange.watcher = this;
  }

  start(): void {
    this.#attempt(undefined);
    if (this.#done) return;
    this.#exchange.readBody(this);
    // A body usually arrives with its head: wait for the end of this read, so that both leave in one write.
    if (!this.#bodyEnded) process.nextTick(flushConnection, this.#connection);
  }

  // The request's body.

  write(piece: Buffer): boolean {
    if (this.#replay !== undefined) {
      this.#replayBytes += piece.length;
      if (this.#replayBytes > REPLAY_BYTES && this.#connection !== undefined) this.#replay = undefined;
      else this.#replay.push(piece);
    }
    return this.#connection === undefined ? this.#replayBytes < REPLAY_BYTES : this.#connection.write(piece);
  }

  end(trailers: FieldList): void {
    this.#bodyEnded = true;
    this.#trailers = trailers;
    this.#connection?.end(trailers);
  }

  onUpstreamWritable(): void {
    this.#exchange.resumeBody();
  }

  // The answer.

  onInformation(head: ResponseHead): boolean {
    return this.#exchange.inform(head.status, head.reason, this.#answerLines(head));
  }

  get asksForTunnel(): boolean {
    const { method, upgrade } = this.#exchange.request;
    return method === 'CONNECT' || upgrade !== undefined;
  }

  onTunnel(head: ResponseHead, upstream: OpenedTunnel): void {
    const { method, upgrade } = this.#exchange.request;
    const protocol = `Connection: Upgrade\r\nUpgrade: ${fieldValue(head.fields, 'upgrade') ?? upgrade}\r\n`;
    const lines = this.#answerLines(head);
    const caller = this.#exchange.openTunnel(head.status, head.reason, method === 'CONNECT' ? lines : lines + protocol);
    this.#connection = undefined;
    this.#replay = undefined;
    this.#finish(head.status);
    const onEnded = () => this.#endAttempt(head.status);
    // What is inside matters to the side that meets the application; a peer passes on what that side made of it.
    if (method === 'CONNECT' && this.#rules.retriesElsewhere) openByFirstBytes(caller, upstream, onEnded);
    else splice(caller, upstream, onEnded);
  }

  onAnswer(head: ResponseHead): void {
    const hop = this.#hop as Hop;
    if (hop.peer && head.status >= 500 && this.#refusedByPeer(head)) return;
    this.#replay = undefined;
    this.#answerStatus = head.status;
    const bodiless = head.framing.kind === 'none';
    this.#exchange.respond({
      status: head.status,
      reason: head.reason,
      fieldLines: this.#answerLines(head),
      framing: head.framing,
      statedLength: bodiless && head.status !== 204 ? fieldValue(head.fields, 'content-length') : undefined,
    });
  }

  #answerLines(head: ResponseHead): string {
    const { answerFilter } = this.#hop as Hop;
    const passed = forwardedFieldLines('', head.fields, head.classes, head.connectionOptions, answerFilter);
    return passed + this.#rules.answerLines; // Via names its hops in their order (RFC 9110 §7.6.3)
  }

  onAnswerData(piece: Buffer): boolean {
    return this.#refusal !== undefined || this.#exchange.writeBody(piece);
  }

  onAnswerEnd(trailers: FieldList): void {
    const refusal = this.#refusal;
    this.#connection = undefined;
    this.#endAttempt(refusal === undefined ? this.#answerStatus : 0);
    if (refusal !== undefined) {
      this.#refusal = undefined;
      this.#retryOrFail(new ProxyError(refusal.code, 'the peer refused'), refusal.untouched, false);
      return;
    }
    this.#finish(this.#answerStatus);
    this.#exchange.endBody(trailers);
  }

  onReadDone(): void {
    if (this.#answerStatus !== 0 && !this.#done) this.#exchange.flush();
  }

  onCallerWritable(): void {
    this.#connection?.resume();
  }

  onUpstreamError(failure: UpstreamFailure): void {
    this.#connection = undefined;
    this.#refusal = undefined;
    this.#endAttempt(0);
    if (this.#answerStatus !== 0) {
      this.#finish(0);
      this.#exchange.abort();
      return;
    }
    this.#retryOrFail(failure.error, failure.beforeSending, failure.onReusedConnection);
  }

  onCallerGone(): void {
    this.#connection?.abort();
    this.#connection = undefined;
    clearTimeout(this.#timer);
    this.#endAttempt(0);
    this.#finish(0);
  }

  /** Whether the answer is a peer's refusal that leaves us free to try elsewhere; then it is read to its end and dropped. */
  #refusedByPeer(head: ResponseHead): boolean {
    const code = fieldValue(head.fields, 'mesh-error');
    if (code === undefined || !Object.hasOwn(PROXY_ERRORS, code)) return false;
    const refusal = {
      code: code as ProxyErrorCode,
      untouched: fieldValue(head.fields, 'mesh-retryable') === 'true',
    };
    if (this.#decide(refusal.code, refusal.untouched, false) === 'no') return false;
    this.#refusal = refusal;
    return true;
  }

  #decide(code: ProxyErrorCode, untouched: boolean, staleConnection: boolean): 'no' | 'again' | 'elsewhere' {
    const decision = decideRetry({
      method: this.#exchange.request.method,
      code,
      untouched,
      staleConnection,
      attempts: this.#attempts,
      replayable: this.#replay !== undefined,
    });
    return decision === 'elsewhere' && !this.#rules.retriesElsewhere ? 'no' : decision;
  }

  #retryOrFail(error: ProxyError, untouched: boolean, staleConnection: boolean): void {
    const decision = this.#decide(error.code, untouched, staleConnection);
    if (decision === 'no') {
      this.#fail(error);
      return;
    }
    this.#observer.retried(error.code);
    if (decision === 'again') {
      this.#attempt(this.#hop);
      return;
    }
    this.#tried ??= new Set();
    if (this.#hop !== undefined) this.#tried.add(this.#hop);
    this.#attempt(undefined, error);
  }

  /** Sends the request, and what is known of its body, to `again` on a fresh connection or to the next hop of the route. */
  #attempt(again: Hop | undefined, lastError?: ProxyError): void {
    let hop = again;
    try {
      hop ??= this.#route.pick(this.#tried ?? NONE_TRIED);
    } catch (error) {
      this.#fail(lastError ?? asProxyError(error));
      return;
    }
    if (hop === undefined) {
      this.#attemptLater(lastError);
      return;
    }
    this.#attempts += 1;
    this.#hop = hop;
    this.#attemptStartedAt = this.#rules.now();
    hop.begin();
    const { request } = this.#exchange;
    const connection = this.#connectionFor(request.method, hop, again !== undefined);
    this.#connection = connection;
    connection.send(request.method, this.#headText + hop.fieldLines, request.framing, this);
    if (this.#attempts === 1) return;
    for (const piece of this.#replay ?? []) connection.write(piece);
    if (this.#bodyEnded) connection.end(this.#trailers);
    else connection.flush();
    this.#exchange.resumeBody();
  }

  #connectionFor(method: string, hop: Hop, fresh: boolean): UpstreamConnection {
    if (method === 'CONNECT' && !hop.peer) return new RawConnection(hop.address);
    return fresh ? hop.pool.open(hop.address) : hop.pool.take(hop.address);
  }

  /** Every pod has been tried: a moment later the cluster may know others, or one of them may be up. */
  #attemptLater(lastError: ProxyError | undefined): void {
    this.#tried = undefined;
    const delay = retryDelayMs(Math.max(2, this.#attempts + 1), this.#rules.random);
    this.#timer = setTimeout(() => this.#attempt(undefined, lastError), delay);
  }

  #fail(error: ProxyError): void {
    if (this.#done) return;
    this.#observer.failed(error);
    this.#finish(error.status);
    this.#exchange.fail(error, peerErrorLines(this.#rules, error));
  }

  #endAttempt(status: number): void {
    const hop = this.#hop;
    if (hop === undefined || this.#attemptStartedAt === -1) return;
    hop.end(status, this.#rules.now() - this.#attemptStartedAt);
    this.#attemptStartedAt = -1;
  }

  #finish(status: number): void {
    if (this.#done) return;
    this.#done = true;
    this.#observer.ended(status, this.#rules.now() - this.#exchange.startedAt);
  }
}

const NONE_TRIED: ReadonlySet<Hop> = new Set();

function flushConnection(connection: UpstreamConnection | undefined): void {
  connection?.flush();
}

/** What an incoming router says of an error to the daemon that asked; applications never see it. */
function peerErrorLines(rules: ForwardingRules, error: ProxyError): string {
  return rules.retriesElsewhere ? '' : meshErrorLines(error);
}

/** The fields by which one daemon tells another what went wrong, and that no application saw the request. */
export function meshErrorLines(error: ProxyError): string {
  return `mesh-error: ${error.code}\r\n${error.retryable ? 'mesh-retryable: true\r\n' : ''}`;
}
