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
import { meshErrorLines } from '../http/mesh-errors.ts';
import type { ResponseHead } from '../http/message-head.ts';
import { asProxyError, type ProxyError } from '../http/proxy-error.ts';
import type { Place } from '../policy/adaptive-limit.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import { bindingError, connectionTo, crowdedError } from './acquiring.ts';
import { Attempts, type NextAttempt } from './attempts.ts';
import { type Acquiring, CallTime, type TimeoutWatcher } from './call-time.ts';
import type { AskedDeadline } from './deadline.ts';
import type { ForwardingObserver, Hop, Route } from './hop.ts';
import { ReplayBuffer } from './replay-buffer.ts';

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

/**
 * One exchange on its way to a pod: attempts, the request's body, and who is told how it ended. What comes back is `Forwarding`'s, which
 * is this and more: one object an exchange.
 */
export abstract class Sending implements BodySink, ResponseSink, ExchangeWatcher, TimeoutWatcher, PoolWaiter {
  protected readonly exchange: Exchange;
  protected readonly route: Route;
  readonly #headText: string;
  readonly #source: CallerSource | undefined;
  protected readonly rules: ForwardingRules;
  readonly #observer: ForwardingObserver;
  protected readonly place: Place | undefined;
  protected hop: Hop | undefined;
  protected connection: UpstreamConnection | undefined;
  /** For a connection to the hop. */
  #waiting = false;
  protected readonly attempts: Attempts;
  /** -1: it is over. */
  protected attemptStartedAt = 0;
  /** Its answer has begun. */
  protected attemptAnswered = false;
  protected readonly body = new ReplayBuffer();
  /** The next attempt, once the answer that asks for it has been read to its end. */
  protected dropped: { readonly next: NextAttempt; bytes: number } | undefined;
  protected done = false;
  protected readonly time: CallTime;

  constructor(exchange: Exchange, route: Route, request: ForwardedRequest, context: ForwardingContext) {
    this.exchange = exchange;
    this.route = route;
    this.#headText = request.headText;
    this.#source = request.source;
    this.rules = context.rules;
    this.#observer = context.observer;
    this.place = context.place;
    this.attempts = new Attempts(exchange.request.method, route, context.rules.retriesElsewhere);
    this.time = new CallTime(route.policy, exchange.startedAt, request.deadline);
    exchange.watcher = this;
  }

  start(): void {
    this.route.requested();
    this.#attempt(undefined);
    if (this.done) return;
    this.exchange.readBody(this);
    // A body usually arrives with its head: wait for the end of this read, so that both leave in one write.
    if (!this.body.ended) process.nextTick(flushConnection, this.connection);
  }

  // The request's body.

  write(piece: Buffer, lent: boolean): boolean {
    const connection = this.connection;
    const own = this.body.add(piece, connection !== undefined, lent);
    return connection === undefined ? !this.body.full : connection.write(own);
  }

  end(trailers: FieldList): void {
    this.body.end(trailers);
    this.connection?.end(trailers);
  }

  flush(): void {
    this.connection?.flush();
  }

  onUpstreamWritable(): void {
    this.exchange.resumeBody();
  }

  protected goOn(next: NextAttempt): void {
    this.dropped = undefined;
    this.time.stop();
    this.#observer.retried(next.cause);
    this.exchange.record?.retried(next.cause);
    if (next.decision === 'again') {
      this.#attempt(this.hop);
      return;
    }
    if (this.hop !== undefined) this.attempts.exclude(this.hop);
    const { retryBackoff } = this.route.policy;
    if (next.untouched || retryBackoff === undefined) this.#attempt(undefined, next.error);
    else this.#attemptLater(backoffMs(retryBackoff, this.attempts.touching, this.rules.random), next.error);
  }

  /** Sends the request, and what is known of its body, to `again` on a fresh connection or to the next hop of the route. */
  #attempt(again: Hop | undefined, lastError?: ProxyError): void {
    const now = this.rules.now();
    if (this.time.over(now)) {
      this.fail(this.time.wholeError);
      return;
    }
    let hop = again;
    try {
      hop ??= this.attempts.pick();
      // The rest of them are out too: one of them gets it all the same, and at once.
      if (hop === undefined && lastError?.code === 'endpoint_out') hop = this.attempts.pick();
    } catch (error) {
      this.fail(lastError ?? asProxyError(error));
      return;
    }
    if (hop === undefined) {
      // Every pod has been tried: a moment later the cluster may know others, or one of them may be up.
      this.#attemptLater(retryDelayMs(Math.max(2, this.attempts.count + 1), this.rules.random), lastError);
      return;
    }
    const source = this.#source;
    // As with a packet, the pod that was picked decides: another one of the Service is not tried.
    const refusal = source === undefined ? undefined : hop.gate?.refusal(source, this.exchange.request);
    if (refusal !== undefined) {
      this.fail(refusal);
      return;
    }
    this.attempts.count += 1;
    this.hop = hop;
    this.attemptStartedAt = now;
    this.attemptAnswered = false;
    hop.begin(now);
    this.exchange.record?.attempt(hop.target, hop.peer ? addressText(hop.address) : '', now);
    const connection = connectionTo(hop, this.exchange.request.method, again !== undefined, this);
    if (typeof connection !== 'string') {
      this.#send(connection, hop, now);
      if (this.attempts.count > 1) this.#replay(connection);
    } else if (connection === 'waits') {
      this.#waiting = true;
      this.#watchAttempt(now, 'place');
    } else {
      this.#turnedAway(hop);
    }
  }

  #send(connection: UpstreamConnection, hop: Hop, now: number): void {
    const { method, framing } = this.exchange.request;
    const fieldLines = hop.fieldLines(this.attempts.insisting);
    this.connection = connection;
    const source = this.#source;
    const hopLines = source === undefined ? fieldLines : fieldLines + hop.callerLine(source);
    connection.send(method, this.#headText + hopLines + this.time.fieldLines(hop.peer, now), framing, this);
    if (connection.pending) this.#watchAttempt(now, 'connecting');
    else if (this.time.limited) this.#watchAttempt(now, 'nothing');
  }

  #replay(connection: UpstreamConnection): void {
    this.body.replay(connection);
    this.exchange.resumeBody();
  }

  #watchAttempt(now: number, acquiring: Acquiring): void {
    const startedAt = this.attemptStartedAt;
    // What an application may have seen before took its time of the whole, not of this.
    const bindingFrom = this.attempts.touching === 0 ? this.exchange.startedAt : startedAt;
    const bindingUntil = bindingFrom + this.rules.bindingTimeoutMs;
    this.time.watchAttempt(this, { now, startedAt, bindingUntil, acquiring });
  }

  /** One of the hop's connections is free, or may be opened, after a wait. */
  onConnection(connection: UpstreamConnection): void {
    this.#waiting = false;
    this.time.stop();
    this.#send(connection, this.hop as Hop, this.rules.now());
    this.#replay(connection);
  }

  #turnedAway(hop: Hop): void {
    const error = crowdedError(hop);
    this.endAttempt(0);
    const next = this.attempts.after({ cause: error.code, untouched: true, error }, this.body.replayable);
    if (next === undefined) this.fail(error);
    else this.goOn(next);
  }

  onBindingTimeout(): void {
    if (!this.#waiting && this.connection?.pending !== true) {
      this.#watchAttempt(this.rules.now(), 'nothing');
      return;
    }
    const error = bindingError(this.hop as Hop, this.#waiting, this.rules.bindingTimeoutMs);
    this.abortAttempt(0);
    this.fail(error);
  }

  #attemptLater(delayMs: number, lastError: ProxyError | undefined): void {
    this.time.wait(delayMs, this.rules.now(), () => this.#attempt(undefined, lastError), this);
  }

  /** The answer has not begun in time, or one that is dropped does not end. */
  onTimeout(error: ProxyError): void {
    const dropped = this.dropped;
    const ofAttempt = error.code === 'attempt_timeout';
    if (dropped !== undefined && ofAttempt) {
      this.abandonAttempt(dropped.next);
      return;
    }
    if (dropped === undefined && this.connection !== undefined) {
      const now = this.rules.now();
      this.hop?.lost(error.code, false, now);
      this.place?.waited(now - this.attemptStartedAt, now);
    }
    const failure = { cause: error.code, untouched: this.#waiting, error };
    const next = ofAttempt ? this.attempts.after(failure, this.body.replayable) : undefined;
    if (next !== undefined) {
      this.abandonAttempt(next);
      return;
    }
    this.abortAttempt(0);
    this.fail(error);
  }

  protected abandonAttempt(next: NextAttempt): void {
    this.abortAttempt(next.status);
    this.goOn(next);
  }

  protected abortAttempt(status: number): void {
    this.connection?.abort();
    this.connection = undefined;
    if (this.#waiting) {
      this.#waiting = false;
      this.hop?.pool.cancel(this.hop.address, this);
    }
    this.endAttempt(status);
  }

  protected fail(error: ProxyError): void {
    if (this.done) return;
    this.#observer.failed(error);
    this.finish(error.status);
    this.exchange.fail(error, peerErrorLines(this.rules, error));
  }

  protected endAttempt(status: number): void {
    const hop = this.hop;
    const startedAt = this.attemptStartedAt;
    if (hop === undefined || startedAt === -1) return;
    const now = this.rules.now();
    const failed = this.route.policy.classifier.isFailure(status);
    hop.end(status, now - startedAt, failed, this.attemptAnswered ? undefined : startedAt);
    this.exchange.record?.attemptEnded(now);
    this.attemptStartedAt = -1;
  }

  protected finish(status: number): void {
    if (this.done) return;
    this.done = true;
    this.place?.giveBack();
    this.time.stop();
    const failed = this.route.policy.classifier.isFailure(status);
    this.#observer.ended(status, this.rules.now() - this.exchange.startedAt, failed);
  }

  abstract readonly asksForTunnel: boolean;
  abstract onTunnel(head: ResponseHead, upstream: OpenedTunnel): void;
  abstract onInformation(head: ResponseHead): boolean;
  abstract onAnswer(head: ResponseHead): void;
  abstract onAnswerData(piece: Buffer): boolean;
  abstract onAnswerEnd(trailers: FieldList): void;
  abstract onReadDone(): void;
  abstract onUpstreamError(failure: UpstreamFailure): void;
  abstract onCallerGone(): void;
  abstract onCallerWritable(): void;
}

function flushConnection(connection: UpstreamConnection | undefined): void {
  connection?.flush();
}

/** What an incoming router says of an error to the daemon that asked; applications never see it. */
function peerErrorLines(rules: ForwardingRules, error: ProxyError): string {
  return rules.retriesElsewhere ? '' : meshErrorLines(error);
}
