import type { RouterRole } from '../daemon-metrics.ts';
import type { BeginningExchange, ExchangeRecord, TraceSink } from '../exchange-record.ts';
import { askedRate, isSampled } from './sampling.ts';
import { spanOf } from './span.ts';
import type { SpanQueue } from './span-queue.ts';
import { Trace } from './trace.ts';
import { readTraceContext, type TraceContext } from './trace-context.ts';

export interface TracerOptions {
  /** Of requests without a context, 0 to 1. */
  readonly sampleRate: number;
  readonly queues: readonly SpanQueue[];
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
  /** Gives so many random bytes in hex. */
  readonly randomHex: (bytes: number) => string;
}

/** Decides which exchanges of a thread are traced, and exports their spans. */
export class Tracer implements TraceSink {
  readonly #options: TracerOptions;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  begin({ request }: BeginningExchange, role: RouterRole): Trace | undefined {
    const fields = request.traceFields;
    // As a rule, and then nothing is allocated: a request that knows of no trace.
    if (fields === undefined) return this.#sampled(undefined, this.#rate(request, role)) ? this.#root() : undefined;
    const context = readTraceContext(fields);
    const rate = this.#rate(request, role);
    if (!this.#sampled(context, rate === undefined ? undefined : (askedRate(fields) ?? rate))) return undefined;
    const sender = context?.ids;
    if (sender === undefined) return this.#root(context);
    const spanId = this.#options.randomHex(8);
    return new Trace({ traceId: sender.traceId, spanId, parentSpanId: sender.spanId }, context);
  }

  ended(record: ExchangeRecord): void {
    const { trace } = record;
    // Whoever is not served at all does not fill the collector either.
    if (trace === undefined || record.error === 'not_local_pod') return;
    const span = spanOf(record, trace);
    for (const queue of this.#options.queues) queue.add(span);
  }

  /** Sends what is left, for `graceMs` at most. */
  async stop(graceMs: number): Promise<void> {
    await Promise.all(this.#options.queues.map((queue) => queue.stop(graceMs)));
  }

  close(): void {
    for (const queue of this.#options.queues) queue.close();
  }

  #sampled(context: TraceContext | undefined, rate: number | undefined): boolean {
    return isSampled(context, rate, this.#options.random);
  }

  /** Undefined where a trace begins elsewhere: what comes from a daemon says where it goes, and has been decided on there. */
  #rate({ fields }: BeginningExchange['request'], role: RouterRole): number | undefined {
    const { sampleRate } = this.#options;
    return role === 'outgoing' || fields.value('mesh-endpoint') === undefined ? sampleRate : undefined;
  }

  #root(context?: TraceContext): Trace {
    const { randomHex } = this.#options;
    return new Trace({ traceId: randomHex(16), spanId: randomHex(8) }, context);
  }
}
