import type { Caller, Exchange } from '../http/exchange.ts';
import { NO_FIELDS } from '../http/fields.ts';
import type { RequestHead } from '../http/message-head.ts';
import type { ProxyError } from '../http/proxy-error.ts';
import type { RouterRole } from './daemon-metrics.ts';
import type { Trace } from './tracing/trace.ts';

/** What is known of an exchange when it begins. */
export type BeginningExchange = Pick<Exchange, 'request' | 'caller' | 'startedAt'>;

/** Whom a hop leads to, as people know it. */
export interface HopTarget {
  /** '' outside the cluster. */
  readonly namespace: string;
  /** The Service; outside the cluster the host. */
  readonly service: string;
  /** '' where no pod is known. */
  readonly pod: string;
  /** '' where it is not known. */
  readonly node: string;
  /** Of the pod: `ip:port`. */
  readonly backend: string;
}

/** One attempt; times are ms of the daemon's monotonic clock, 0 for what has not been. */
export interface AttemptRecord extends HopTarget {
  readonly startedAt: number;
  /** The daemon that it goes through: `ip:port`; '' where it goes straight. */
  readonly peer: string;
  answeredAt: number;
  endedAt: number;
  /** Of its answer; 0 where there was none. */
  status: number;
  /** Why it failed, as `retry_total` and the error table have it; '' where it did not. */
  reason: string;
}

/** Decides which exchanges are traced, and takes the records of those. */
export interface TraceSink {
  /** Asked when the head has been read; undefined: the exchange is not traced. */
  begin(exchange: BeginningExchange, role: RouterRole): Trace | undefined;
  ended(record: ExchangeRecord): void;
}

/** Hears of the exchanges that it wants. Neither call may throw, or wait for anything. */
export interface RecordSink {
  /** Asked when the head has been read; true has a record made. */
  wants(exchange: BeginningExchange, role: RouterRole): boolean;
  /** The exchange is over. The record stays as it is. */
  ended(record: ExchangeRecord): void;
}

export interface RecordClocks {
  /** Monotonic, ms; that of exchanges. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** A caller who went away, or reset its connection: no error of the mesh, so not in its table. */
export const CALLER_GONE = 'caller_gone';

/** What is kept of one exchange that somebody wants to hear of; filled by whoever handles it, told to its sinks once it is over. */
export class ExchangeRecord {
  readonly direction: RouterRole;
  readonly request: RequestHead;
  readonly caller: Caller;
  /** The request's head, ms of the monotonic clock. */
  readonly startedAt: number;
  /** The same, ms since 1970. */
  readonly timestamp: number;
  /** This daemon's. */
  readonly node: string;
  /** When it was over; 0 before. */
  endedAt = 0;
  /** Who calls: '' where that is not known. */
  srcNamespace = '';
  srcWorkload = '';
  srcPod = '';
  dstNamespace = '';
  dstService = '';
  /** The daemon that it came from, of an incoming one: `ip:port`; '' where none. */
  fromPeer = '';
  /** Of what the caller got; 0: nothing. */
  status = 0;
  /** A code of the error table, or `caller_gone`; '' where all went well. */
  error = '';
  /** Of bodies as the caller sends and gets them, without their framing; of tunnels all that passes. */
  requestBytes = 0;
  responseBytes = 0;
  /** Its own span, where it is traced. */
  readonly trace: Trace | undefined;
  readonly attempts: AttemptRecord[] = [];
  /** Why each further attempt was made. */
  readonly retries: string[] = [];
  readonly #clocks: RecordClocks;
  readonly #sinks: readonly Pick<RecordSink, 'ended'>[];

  constructor(
    exchange: BeginningExchange,
    of: {
      readonly role: RouterRole;
      readonly node: string;
      readonly clocks: RecordClocks;
      readonly sinks: readonly Pick<RecordSink, 'ended'>[];
      readonly trace?: Trace | undefined;
    },
  ) {
    const { now, wallClock } = of.clocks;
    this.direction = of.role;
    this.request = exchange.request;
    this.caller = exchange.caller;
    this.startedAt = exchange.startedAt;
    this.timestamp = wallClock() - (now() - exchange.startedAt);
    this.node = of.node;
    this.trace = of.trace;
    this.#clocks = of.clocks;
    this.#sinks = of.sinks;
  }

  from(namespace: string | undefined, workload: string | undefined, pod: string | undefined): void {
    this.srcNamespace = namespace ?? '';
    this.srcWorkload = workload ?? '';
    this.srcPod = pod ?? '';
  }

  destined(namespace: string, service: string): void {
    this.dstNamespace = namespace;
    this.dstService = service;
  }

  /** An attempt begins. `peer`: the daemon that it goes through, '' where it goes straight. */
  attempt(to: HopTarget, peer: string, startedAt: number): void {
    if (this.dstService === '') this.destined(to.namespace, to.service);
    this.attempts.push({ ...to, peer, startedAt, answeredAt: 0, endedAt: 0, status: 0, reason: '' });
  }

  /** The last attempt's answer has begun. */
  answered(status: number): void {
    const attempt = this.attempts.at(-1);
    if (attempt === undefined) return;
    attempt.answeredAt = this.#clocks.now();
    attempt.status = status;
  }

  attemptEnded(endedAt: number): void {
    const attempt = this.attempts.at(-1);
    if (attempt !== undefined && attempt.endedAt === 0) attempt.endedAt = endedAt;
  }

  /** Another attempt is made, since the last one failed so. */
  retried(reason: string): void {
    this.retries.push(reason);
    const attempt = this.attempts.at(-1);
    if (attempt !== undefined) attempt.reason = reason;
  }

  /** The caller gets no answer of an application's, or not all of it. The first that is said counts. */
  failed(code: string): void {
    if (this.error !== '') return;
    this.error = code;
    const attempt = this.attempts.at(-1);
    if (attempt !== undefined && attempt.reason === '') attempt.reason = code;
  }

  /** The caller gets this error in place of what was under way, if nothing of an answer has gone out. */
  refused(error: ProxyError): void {
    this.failed(error.code);
    if (this.status !== 0) return;
    this.status = error.status;
    this.responseBytes = Buffer.byteLength(error.body);
  }

  /** It is over; what is said later counts for nothing. */
  end(): void {
    if (this.endedAt !== 0) return;
    this.endedAt = this.#clocks.now();
    this.attemptEnded(this.endedAt);
    for (const sink of this.#sinks) sink.ended(this);
  }
}

/** Stands for a request that could not be read. */
export const UNREAD_REQUEST: RequestHead = {
  method: '',
  target: '',
  minorVersion: 1,
  fields: NO_FIELDS,
  keepAlive: false,
  framing: { kind: 'none' },
  host: undefined,
  expectsContinue: false,
  acceptsTrailers: false,
  upgrade: undefined,
  grpcTimeout: undefined,
  l5dTimes: undefined,
  traceFields: undefined,
};
