import { addressText } from '../client/connector.ts';
import type { OpenedTunnel, UpstreamFailure } from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import { isGrpc } from '../http/grpc-error.ts';
import { type MeshError, meshErrorOf } from '../http/mesh-errors.ts';
import type { ResponseHead } from '../http/message-head.ts';
import { ProxyError } from '../http/proxy-error.ts';
import { retryAfterMs } from '../http/retry-after.ts';
import type { Place } from '../policy/adaptive-limit.ts';
import type { ExchangeRecord } from '../telemetry/exchange-record.ts';
import type { Failure } from './attempts.ts';
import type { Hop } from './hop.ts';
import { REPLAY_BYTES } from './replay-buffer.ts';
import { Sending } from './sending.ts';
import { openTunnel } from './tunnel-opening.ts';

/** What tells of a Service's refusing, not of what its work takes (RFC 6585 §4). */
const TOO_MANY_REQUESTS = 429;

/** A failed answer is read to its end, so that its connection can be kept, up to this size. */
const MAX_DROPPED_BYTES = REPLAY_BYTES;

/** One exchange on its way through: what is sent, and the answer to it on its way back. */
export class Forwarding extends Sending {
  #answerStatus = 0;

  onInformation(head: ResponseHead): boolean {
    return this.exchange.inform(head.status, head.reason, this.#answerLines(head));
  }

  get asksForTunnel(): boolean {
    const { method, upgrade } = this.exchange.request;
    return method === 'CONNECT' || upgrade !== undefined;
  }

  onTunnel(head: ResponseHead, upstream: OpenedTunnel): void {
    const { status } = head;
    this.exchange.record?.answered(status);
    this.connection = undefined;
    this.body.forget();
    this.#hopAnswered(status);
    if (this.place !== undefined) this.#leavePlace(this.place, status);
    this.finish(status);
    const onEnded = () => this.endAttempt(status);
    // What is inside matters to the side that meets the application; a peer passes on what that side made of it.
    const inspect = this.rules.retriesElsewhere;
    openTunnel(this.exchange, { head, lines: this.#answerLines(head), upstream, inspect, onEnded });
  }

  onAnswer(head: ResponseHead): void {
    this.exchange.record?.answered(head.status);
    if (head.status === 429 || head.status === 503) this.#heedRetryAfter(head);
    if (head.status >= 500 && this.#failed(head)) return;
    if (head.status < 500 && !this.#deniedByPeer(head)) this.#hopAnswered(head.status);
    if (this.place !== undefined) this.#leavePlace(this.place, head.status);
    if (head.status >= 400 && this.#failedAsGrpc(head)) return;
    this.body.forget();
    this.time.stop();
    this.#answerStatus = head.status;
    if (this.exchange.record !== undefined) this.#recordPeersError(this.exchange.record, head);
    const bodiless = head.framing.kind === 'none';
    this.exchange.respond({
      status: head.status,
      reason: head.reason,
      fieldLines: this.#answerLines(head),
      framing: head.framing,
      statedLength: bodiless && head.status !== 204 ? head.fields.value('content-length') : undefined,
    });
  }

  #recordPeersError(record: ExchangeRecord, head: ResponseHead): void {
    const said = this.hop?.peer === true ? meshErrorOf(head) : undefined;
    if (said !== undefined) record.failed(said.code);
  }

  /** A peer says of its errors what it would to any caller: one that knows gRPC alone gets them from here. */
  #failedAsGrpc(head: ResponseHead): boolean {
    if (!this.rules.retriesElsewhere || this.hop?.peer !== true || !isGrpc(this.exchange.request)) return false;
    const said = meshErrorOf(head);
    if (said === undefined) return false;
    const { address } = this.hop;
    this.abortAttempt(head.status);
    this.finish(head.status);
    this.exchange.fail(new ProxyError(said.code, `${said.code}, says the daemon at ${addressText(address)}`));
    return true;
  }

  #answerLines(head: ResponseHead): string {
    const { answerFilter } = this.hop as Hop;
    return head.fields.forwardedLines('', answerFilter) + this.rules.answerLines; // Via names its hops in their order (RFC 9110 §7.6.3)
  }

  onAnswerData(piece: Buffer): boolean {
    const dropped = this.dropped;
    if (dropped === undefined) return this.exchange.writeBody(piece);
    dropped.bytes += piece.length;
    if (dropped.bytes > MAX_DROPPED_BYTES) this.abandonAttempt(dropped.next);
    return true;
  }

  onAnswerEnd(trailers: FieldList): void {
    const dropped = this.dropped;
    this.connection = undefined;
    this.endAttempt(dropped?.next.status ?? this.#answerStatus);
    if (dropped !== undefined) {
      this.goOn(dropped.next);
      return;
    }
    this.finish(this.#answerStatus);
    this.exchange.endBody(trailers);
  }

  onReadDone(): void {
    if (this.#answerStatus !== 0 && !this.done) this.exchange.flush();
  }

  onCallerWritable(): void {
    this.connection?.resume();
  }

  onUpstreamError(failure: UpstreamFailure): void {
    const { error, beforeSending, onReusedConnection, unread } = failure;
    const dropped = this.dropped;
    this.connection = undefined;
    if (!onReusedConnection && dropped === undefined) this.hop?.lost(error.code, false, this.rules.now());
    this.endAttempt(0);
    if (this.#answerStatus !== 0) {
      this.finish(0);
      this.exchange.record?.failed(error.code);
      this.exchange.abort();
      return;
    }
    if (dropped !== undefined) {
      this.goOn(dropped.next);
      return;
    }
    const next = this.attempts.after(
      { cause: error.code, untouched: beforeSending, staleConnection: onReusedConnection, unread, error },
      this.body.replayable,
    );
    if (next === undefined) this.fail(error);
    else this.goOn(next);
  }

  onCallerGone(): void {
    this.abortAttempt(0);
    this.finish(0);
  }

  /** Whether a peer's policies speak and no application: so quick an answer is not to count as its pod's. */
  #deniedByPeer(head: ResponseHead): boolean {
    const hop = this.hop as Hop;
    if (head.status !== 403 || !hop.peer || meshErrorOf(head)?.code !== 'policy_denied') return false;
    hop.lost('policy_denied', true, this.rules.now());
    return true;
  }

  /** Notes a 5xx against the pod, or what the daemon says of itself; gives true where the caller does not get it. */
  #failed(head: ResponseHead): boolean {
    const hop = this.hop as Hop;
    const said = hop.peer ? meshErrorOf(head) : undefined;
    if (said === undefined) this.#hopAnswered(head.status);
    else hop.lost(said.code, true, this.rules.now());
    if (said?.outMs !== undefined) hop.leaveOut(said.outMs, this.rules.now());
    return this.#triesElsewhere(head.status, said);
  }

  /** A pod, or the daemon before it, that asks for none for a while gets none where another can. */
  #heedRetryAfter(head: ResponseHead): void {
    const value = head.fields.value('retry-after');
    if (value !== undefined) this.hop?.waits(retryAfterMs(value, Date.now()), this.rules.now());
  }

  /** Whether the answer is a failure that leaves us free to try elsewhere; then it is read to its end and dropped. */
  #triesElsewhere(status: number, said: MeshError | undefined): boolean {
    const { classifier } = this.route.policy;
    if (said === undefined && !classifier.mayRetry(this.exchange.request.method)) return false;
    const failure: Failure =
      said === undefined
        ? { cause: 'failure_answered', untouched: false, status }
        : { cause: said.code, untouched: said.untouched, error: new ProxyError(said.code, 'the peer refused') };
    const next = this.attempts.after(failure, this.body.replayable);
    if (next === undefined) return false;
    this.dropped = { next, bytes: 0 };
    return true;
  }

  #hopAnswered(status: number): void {
    const now = this.rules.now();
    this.attemptAnswered = true;
    this.hop?.answered(status, now - this.attemptStartedAt, now, this.route.policy.classifier.isFailure(status));
  }

  /** A tunnel's opening says nothing of the work, nor does a failure. */
  #leavePlace(place: Place, status: number): void {
    const now = this.rules.now();
    const says = status < 500 && status !== TOO_MANY_REQUESTS && this.exchange.request.method !== 'CONNECT';
    place.answered(says ? now - this.attemptStartedAt : undefined, now);
  }
}
