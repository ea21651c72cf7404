import { backoffMs, retryDelayMs } from '../balancer/retry-backoff.ts';
import { addressText } from '../client/connector.ts';
import type { UpstreamConnection } from '../client/http1-client-connection.ts';
import type { PoolWaiter } from '../client/http1-pool.ts';
import type {
  BodySink,
  Exchange,
  ExchangeWatcher,
  OpenedTunnel,
  ResponseSink,
  UpstreamFailure,
} from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import { isGrpc } from '../http/grpc-error.ts';
import { type MeshError, meshErrorLines, meshErrorOf } from '../http/mesh-errors.ts';
import type { ResponseHead } from '../http/message-head.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { Place } from '../policy/adaptive-limit.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import { bindingError, connectionTo, crowdedError } from './acquiring.ts';
import { Attempts, type Failure, type NextAttempt } from './attempts.ts';
import { type Acquiring, CallTime, type TimeoutWatcher } from './call-time.ts';
import type { AskedDeadline } from './deadline.ts';
import type { ForwardingObserver, Hop, Route } from './hop.ts';
import { REPLAY_BYTES, ReplayBuffer } from './replay-buffer.ts';
import { openTunnel } from './tunnel-opening.ts';

/** What all exchanges of a router share. */
export interface ForwardingRules {
  /** Added to answers on their way back: the Via line. */
  readonly answerLines: string;
  /** True on the side that meets the application: only it may try another pod (two hops that both retry multiply). */
  readonly retriesElsewhere: boolean;
  /** For a name to be resolved, and a connection to be had (linkerd's key), ms. */
  readonly bindingTimeoutMs: number;
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
  readonly random: () => number;
}

/** A request as it goes on: its line and fields, without those that the hop adds. */
export interface ForwardedRequest {
  readonly headText: string;
  /** What the request says of the time that it has. */
  readonly deadline: AskedDeadline | undefined;
  /** Who calls; undefined where nobody asks. */
  readonly source: CallerSource | undefined;
}

/** What an exchange is forwarded with, beside the request itself. */
export interface ForwardingContext {
  readonly rules: ForwardingRules;
  readonly observer: ForwardingObserver;
  /** Undefined where the destination has no limit. */
  readonly place?: Place | undefined;
}

/** What tells of a Service's refusing, not of what its work takes (RFC 6585 §4). */
const TOO_MANY_REQUESTS = 429;

/** A failed answer is read to its end, so that its connection can be kept, up to this size. */
const MAX_DROPPED_BYTES = REPLAY_BYTES;

/** One exchange on its way through: attempts, the body in both directions, and who is told how it ended. */
export class Forwarding implements BodySink, ResponseSink, ExchangeWatcher, TimeoutWatcher, PoolWaiter {
  readonly #exchange: Exchange;
  readonly #route: Route;
  readonly #headText: string;
  readonly #source: CallerSource | undefined;
  readonly #rules: ForwardingRules;
  readonly #observer: ForwardingObserver;
  readonly #place: Place | undefined;
  #hop: Hop | undefined;
  #connection: UpstreamConnection | undefined;
  /** For a connection to the hop. */
  #waiting = false;
  readonly #attempts: Attempts;
  /** -1: it is over. */
  #attemptStartedAt = 0;
  /** Its answer has begun. */
  #attemptAnswered = false;
  readonly #body = new ReplayBuffer();
  #answerStatus = 0;
  /** The next attempt, once the answer that asks for it has been read to its end. */
  #dropped: { readonly next: NextAttempt; bytes: number } | undefined;
  #done = false;
  readonly #time: CallTime;

  constructor(exchange: Exchange, route: Route, request: ForwardedRequest, context: ForwardingContext) {
    this.#exchange = exchange;
    this.#route = route;
    this.#headText = request.headText;
    this.#source = request.source;
    this.#rules = context.rules;
    this.#observer = context.observer;
    this.#place = context.place;
    this.#attempts = new Attempts(exchange.request.method, route, context.rules.retriesElsewhere);
    this.#time = new CallTime(route.policy, exchange.startedAt, request.deadline);
    exchange.watcher = this;
  }

  start(): void {
    this.#route.requested();
    this.#attempt(undefined);
    if (this.#done) return;
    this.#exchange.readBody(this);
    // A body usually arrives with its head: wait for the end of this read, so that both leave in one write.
    if (!this.#body.ended) process.nextTick(flushConnection, this.#connection);
  }

  // The request's body.

  write(piece: Buffer, lent: boolean): boolean {
    const connection = this.#connection;
    const own = this.#body.add(piece, connection !== undefined, lent);
    return connection === undefined ? !this.#body.full : connection.write(own);
  }

  end(trailers: FieldList): void {
    this.#body.end(trailers);
    this.#connection?.end(trailers);
  }

  flush(): void {
    this.#connection?.flush();
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
    const { status } = head;
    this.#connection = undefined;
    this.#body.forget();
    this.#hopAnswered(status);
    if (this.#place !== undefined) this.#leavePlace(this.#place, status);
    this.#finish(status);
    const onEnded = () => this.#endAttempt(status);
    // What is inside matters to the side that meets the application; a peer passes on what that side made of it.
    const inspect = this.#rules.retriesElsewhere;
    openTunnel(this.#exchange, { head, lines: this.#answerLines(head), upstream, inspect, onEnded });
  }

  onAnswer(head: ResponseHead): void {
    if (head.status === 429 || head.status === 503) this.#heedRetryAfter(head);
    if (head.status >= 500 && this.#failed(head)) return;
    if (head.status < 500 && !this.#deniedByPeer(head)) this.#hopAnswered(head.status);
    if (this.#place !== undefined) this.#leavePlace(this.#place, head.status);
    if (head.status >= 400 && this.#failedAsGrpc(head)) return;
    this.#body.forget();
    this.#time.stop();
    this.#answerStatus = head.status;
    const bodiless = head.framing.kind === 'none';
    this.#exchange.respond({
      status: head.status,
      reason: head.reason,
      fieldLines: this.#answerLines(head),
      framing: head.framing,
      statedLength: bodiless && head.status !== 204 ? head.fields.value('content-length') : undefined,
    });
  }

  /** A peer says of its errors what it would to any caller: one that knows gRPC alone gets them from here. */
  #failedAsGrpc(head: ResponseHead): boolean {
    if (!this.#rules.retriesElsewhere || this.#hop?.peer !== true || !isGrpc(this.#exchange.request)) return false;
    const said = meshErrorOf(head);
    if (said === undefined) return false;
    const { address } = this.#hop;
    this.#abortAttempt(head.status);
    this.#finish(head.status);
    this.#exchange.fail(new ProxyError(said.code, `${said.code}, says the daemon at ${addressText(address)}`));
    return true;
  }

  #answerLines(head: ResponseHead): string {
    const { answerFilter } = this.#hop as Hop;
    return head.fields.forwardedLines('', answerFilter) + this.#rules.answerLines; // Via names its hops in their order (RFC 9110 §7.6.3)
  }

  onAnswerData(piece: Buffer): boolean {
    const dropped = this.#dropped;
    if (dropped === undefined) return this.#exchange.writeBody(piece);
    dropped.bytes += piece.length;
    if (dropped.bytes > MAX_DROPPED_BYTES) this.#abandonAttempt(dropped.next);
    return true;
  }

  onAnswerEnd(trailers: FieldList): void {
    const dropped = this.#dropped;
    this.#connection = undefined;
    this.#endAttempt(dropped?.next.status ?? this.#answerStatus);
    if (dropped !== undefined) {
      this.#goOn(dropped.next);
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
    const { error, beforeSending, onReusedConnection, unread } = failure;
    const dropped = this.#dropped;
    this.#connection = undefined;
    if (!onReusedConnection && dropped === undefined) this.#hop?.lost(error.code, false, this.#rules.now());
    this.#endAttempt(0);
    if (this.#answerStatus !== 0) {
      this.#finish(0);
      this.#exchange.abort();
      return;
    }
    if (dropped !== undefined) {
      this.#goOn(dropped.next);
      return;
    }
    const next = this.#attempts.after(
      { cause: error.code, untouched: beforeSending, staleConnection: onReusedConnection, unread, error },
      this.#body.replayable,
    );
    if (next === undefined) this.#fail(error);
    else this.#goOn(next);
  }

  onCallerGone(): void {
    this.#abortAttempt(0);
    this.#finish(0);
  }

  /** Whether a peer's policies speak and no application: so quick an answer is not to count as its pod's. */
  #deniedByPeer(head: ResponseHead): boolean {
    const hop = this.#hop as Hop;
    if (head.status !== 403 || !hop.peer || meshErrorOf(head)?.code !== 'policy_denied') return false;
    hop.lost('policy_denied', true, this.#rules.now());
    return true;
  }

  /** Notes a 5xx against the pod, or what the daemon says of itself; gives true where the caller does not get it. */
  #failed(head: ResponseHead): boolean {
    const hop = this.#hop as Hop;
    const said = hop.peer ? meshErrorOf(head) : undefined;
    if (said === undefined) this.#hopAnswered(head.status);
    else hop.lost(said.code, true, this.#rules.now());
    if (said?.outMs !== undefined) hop.leaveOut(said.outMs, this.#rules.now());
    return this.#triesElsewhere(head.status, said);
  }

  /** A pod, or the daemon before it, that asks for none for a while gets none where another can. */
  #heedRetryAfter(head: ResponseHead): void {
    const value = head.fields.value('retry-after');
    if (value !== undefined) this.#hop?.waits(retryAfterMs(value, Date.now()), this.#rules.now());
  }

  /** Whether the answer is a failure that leaves us free to try elsewhere; then it is read to its end and dropped. */
  #triesElsewhere(status: number, said: MeshError | undefined): boolean {
    const { classifier } = this.#route.policy;
    if (said === undefined && !classifier.mayRetry(this.#exchange.request.method)) return false;
    const failure: Failure =
      said === undefined
        ? { cause: 'failure_answered', untouched: false, status }
        : { cause: said.code, untouched: said.untouched, error: new ProxyError(said.code, 'the peer refused') };
    const next = this.#attempts.after(failure, this.#body.replayable);
    if (next === undefined) return false;
    this.#dropped = { next, bytes: 0 };
    return true;
  }

  #goOn(next: NextAttempt): void {
    this.#dropped = undefined;
    this.#time.stop();
    this.#observer.retried(next.cause);
    if (next.decision === 'again') {
      this.#attempt(this.#hop);
      return;
    }
    if (this.#hop !== undefined) this.#attempts.exclude(this.#hop);
    const { retryBackoff } = this.#route.policy;
    if (next.untouched || retryBackoff === undefined) this.#attempt(undefined, next.error);
    else this.#attemptLater(backoffMs(retryBackoff, this.#attempts.touching, this.#rules.random), next.error);
  }

  /** Sends the request, and what is known of its body, to `again` on a fresh connection or to the next hop of the route. */
  #attempt(again: Hop | undefined, lastError?: ProxyError): void {
    const now = this.#rules.now();
    if (this.#time.over(now)) {
      this.#fail(this.#time.wholeError);
      return;
    }
    let hop = again;
    try {
      hop ??= this.#attempts.pick();
      // The rest of them are out too: one of them gets it all the same, and at once.
      if (hop === undefined && lastError?.code === 'endpoint_out') hop = this.#attempts.pick();
    } catch (error) {
      this.#fail(lastError ?? asProxyError(error));
      return;
    }
    if (hop === undefined) {
      // Every pod has been tried: a moment later the cluster may know others, or one of them may be up.
      this.#attemptLater(retryDelayMs(Math.max(2, this.#attempts.count + 1), this.#rules.random), lastError);
      return;
    }
    const source = this.#source;
    // As with a packet, the pod that was picked decides: another one of the Service is not tried.
    const refusal = source === undefined ? undefined : hop.gate?.refusal(source, this.#exchange.request);
    if (refusal !== undefined) {
      this.#fail(refusal);
      return;
    }
    this.#attempts.count += 1;
    this.#hop = hop;
    this.#attemptStartedAt = now;
    this.#attemptAnswered = false;
    hop.begin(now);
    const connection = connectionTo(hop, this.#exchange.request.method, again !== undefined, this);
    if (typeof connection !== 'string') {
      this.#send(connection, hop, now);
      if (this.#attempts.count > 1) this.#replay(connection);
    } else if (connection === 'waits') {
      this.#waiting = true;
      this.#watchAttempt(now, 'place');
    } else {
      this.#turnedAway(hop);
    }
  }

  #send(connection: UpstreamConnection, hop: Hop, now: number): void {
    const { method, framing } = this.#exchange.request;
    const fieldLines = hop.fieldLines(this.#attempts.insisting);
    this.#connection = connection;
    const source = this.#source;
    const hopLines = source === undefined ? fieldLines : fieldLines + hop.callerLine(source);
    connection.send(method, this.#headText + hopLines + this.#time.fieldLines(hop.peer, now), framing, this);
    if (connection.pending) this.#watchAttempt(now, 'connecting');
    else if (this.#time.limited) this.#watchAttempt(now, 'nothing');
  }

  #replay(connection: UpstreamConnection): void {
    this.#body.replay(connection);
    this.#exchange.resumeBody();
  }

  #watchAttempt(now: number, acquiring: Acquiring): void {
    const startedAt = this.#attemptStartedAt;
    // What an application may have seen before took its time of the whole, not of this.
    const bindingFrom = this.#attempts.touching === 0 ? this.#exchange.startedAt : startedAt;
    const bindingUntil = bindingFrom + this.#rules.bindingTimeoutMs;
    this.#time.watchAttempt(this, { now, startedAt, bindingUntil, acquiring });
  }

  /** One of the hop's connections is free, or may be opened, after a wait. */
  onConnection(connection: UpstreamConnection): void {
    this.#waiting = false;
    this.#time.stop();
    this.#send(connection, this.#hop as Hop, this.#rules.now());
    this.#replay(connection);
  }

  #turnedAway(hop: Hop): void {
    const error = crowdedError(hop);
    this.#endAttempt(0);
    const next = this.#attempts.after({ cause: error.code, untouched: true, error }, this.#body.replayable);
    if (next === undefined) this.#fail(error);
    else this.#goOn(next);
  }

  onBindingTimeout(): void {
    if (!this.#waiting && this.#connection?.pending !== true) {
      this.#watchAttempt(this.#rules.now(), 'nothing');
      return;
    }
    const error = bindingError(this.#hop as Hop, this.#waiting, this.#rules.bindingTimeoutMs);
    this.#abortAttempt(0);
    this.#fail(error);
  }

  #attemptLater(delayMs: number, lastError: ProxyError | undefined): void {
    this.#time.wait(delayMs, this.#rules.now(), () => this.#attempt(undefined, lastError), this);
  }

  /** The answer has not begun in time, or one that is dropped does not end. */
  onTimeout(error: ProxyError): void {
    const dropped = this.#dropped;
    const ofAttempt = error.code === 'attempt_timeout';
    if (dropped !== undefined && ofAttempt) {
      this.#abandonAttempt(dropped.next);
      return;
    }
    if (dropped === undefined && this.#connection !== undefined) {
      const now = this.#rules.now();
      this.#hop?.lost(error.code, false, now);
      this.#place?.waited(now - this.#attemptStartedAt, now);
    }
    const failure = { cause: error.code, untouched: this.#waiting, error };
    const next = ofAttempt ? this.#attempts.after(failure, this.#body.replayable) : undefined;
    if (next !== undefined) {
      this.#abandonAttempt(next);
      return;
    }
    this.#abortAttempt(0);
    this.#fail(error);
  }

  #abandonAttempt(next: NextAttempt): void {
    this.#abortAttempt(next.status);
    this.#goOn(next);
  }

  #abortAttempt(status: number): void {
    this.#connection?.abort();
    this.#connection = undefined;
    if (this.#waiting) {
      this.#waiting = false;
      this.#hop?.pool.cancel(this.#hop.address, this);
    }
    this.#endAttempt(status);
  }

  #fail(error: ProxyError): void {
    if (this.#done) return;
    this.#observer.failed(error);
    this.#finish(error.status);
    this.#exchange.fail(error, peerErrorLines(this.#rules, error));
  }

  #hopAnswered(status: number): void {
    const now = this.#rules.now();
    this.#attemptAnswered = true;
    this.#hop?.answered(status, now - this.#attemptStartedAt, now, this.#route.policy.classifier.isFailure(status));
  }

  /** A tunnel's opening says nothing of the work, nor does a failure. */
  #leavePlace(place: Place, status: number): void {
    const now = this.#rules.now();
    const says = status < 500 && status !== TOO_MANY_REQUESTS && this.#exchange.request.method !== 'CONNECT';
    place.answered(says ? now - this.#attemptStartedAt : undefined, now);
  }

  #endAttempt(status: number): void {
    const hop = this.#hop;
    const startedAt = this.#attemptStartedAt;
    if (hop === undefined || startedAt === -1) return;
    const failed = this.#route.policy.classifier.isFailure(status);
    hop.end(status, this.#rules.now() - startedAt, failed, this.#attemptAnswered ? undefined : startedAt);
    this.#attemptStartedAt = -1;
  }

  #finish(status: number): void {
    if (this.#done) return;
    this.#done = true;
    this.#place?.giveBack();
    this.#time.stop();
    const failed = this.#route.policy.classifier.isFailure(status);
    this.#observer.ended(status, this.#rules.now() - this.#exchange.startedAt, failed);
  }
}

function flushConnection(connection: UpstreamConnection | undefined): void {
  connection?.flush();
}

/** What an incoming router says of an error to the daemon that asked; applications never see it. */
function peerErrorLines(rules: ForwardingRules, error: ProxyError): string {
  return rules.retriesElsewhere ? '' : meshErrorLines(error);
}
