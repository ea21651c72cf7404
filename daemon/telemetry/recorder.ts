import type { Caller } from '../http/exchange.ts';
import type { ProxyError } from '../http/proxy-error.ts';
import type { RouterRole } from './daemon-metrics.ts';
import {
  type BeginningExchange,
  ExchangeRecord,
  type RecordClocks,
  type RecordSink,
  type TraceSink,
  UNREAD_REQUEST,
} from './exchange-record.ts';
import type { Trace } from './tracing/trace.ts';

/** Makes the records of one thread's exchanges, for those who want any: tap, access log, traces. */
export class Recorder {
  readonly #node: string;
  readonly #clocks: RecordClocks;
  /** Undefined: nobody wants anything, and an exchange costs a look at this. */
  #sinks: readonly RecordSink[] | undefined;
  #tracer: TraceSink | undefined;

  constructor(node: string, clocks: RecordClocks) {
    this.#node = node;
    this.#clocks = clocks;
  }

  traceWith(tracer: TraceSink): void {
    this.#tracer = tracer;
  }

  add(sink: RecordSink): void {
    this.#sinks = [...(this.#sinks ?? []), sink];
  }

  /** Exchanges that are under way are told to it all the same. */
  remove(sink: RecordSink): void {
    const left = this.#sinks?.filter((other) => other !== sink) ?? [];
    this.#sinks = left.length === 0 ? undefined : left;
  }

  /** Undefined where nobody wants to hear of it. */
  begin(exchange: BeginningExchange, role: RouterRole): ExchangeRecord | undefined {
    const trace = this.#tracer?.begin(exchange, role);
    return trace === undefined && this.#sinks === undefined ? undefined : this.#make(exchange, role, trace);
  }

  /** What a caller sent could not be read as a request, or came in too many connections: it gets this answer. */
  refused(caller: Caller, role: RouterRole, error: ProxyError): void {
    if (this.#sinks === undefined) return;
    const record = this.#make({ request: UNREAD_REQUEST, caller, startedAt: this.#clocks.now() }, role, undefined);
    record?.refused(error);
    record?.end();
  }

  #make(exchange: BeginningExchange, role: RouterRole, trace: Trace | undefined): ExchangeRecord | undefined {
    const sinks: Pick<RecordSink, 'ended'>[] = this.#sinks?.filter((sink) => sink.wants(exchange, role)) ?? [];
    if (trace !== undefined && this.#tracer !== undefined) sinks.push(this.#tracer);
    if (sinks.length === 0) return undefined;
    return new ExchangeRecord(exchange, { role, node: this.#node, clocks: this.#clocks, sinks, trace });
  }
}
