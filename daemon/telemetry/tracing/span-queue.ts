import type { Log } from '../../../lib/log.ts';
import type { Counter } from '../../../lib/metrics.ts';
import type { Span } from './span.ts';

/** What a queue holds at most: some 2 MB of spans. */
const MAX_QUEUED = 2_048;
/** So few that a batch's making takes the event loop a millisecond or two. */
const MAX_BATCH = 128;
/** OpenTelemetry's is 5 s; a span is looked for sooner. */
const DELAY_MS = 1_000;
/** A collector that has not answered by then gets no more of that batch. */
const EXPORT_TIMEOUT_MS = 5_000;

/** Sends spans to one collector. */
export interface SpanExporter {
  /** Settles when the collector has them; rejects with an Error that says why it has not, at once when `signal` aborts. */
  send(spans: readonly Span[], signal: AbortSignal): Promise<void>;
  /** Closes its connections. */
  close(): void;
}

export interface SpanQueueOptions {
  readonly exporter: SpanExporter;
  /** For people: where the spans go. */
  readonly target: string;
  readonly counters: { readonly exported: Counter; readonly dropped: Counter; readonly failed: Counter };
  readonly log: Log;
}

/**
 * Spans on their way to one collector, in batches, one at a time. What finds the queue full is dropped and counted, so is what a
 * collector does not take: a span is sent once. OpenTelemetry's BatchSpanProcessor counts neither where one could see it, and
 * at its end starts all that is queued at once.
 */
export class SpanQueue {
  readonly #options: SpanQueueOptions;
  #queued: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;
  #failing = false;
  #abort: AbortController | undefined;
  #closed = false;

  constructor(options: SpanQueueOptions) {
    this.#options = options;
  }

  /** Takes a span, or drops it. Never waits. */
  add(span: Span): void {
    if (this.#closed || this.#queued.length >= MAX_QUEUED) {
      this.#options.counters.dropped.value += 1;
      return;
    }
    this.#queued.push(span);
    if (this.#timer === undefined || this.#queued.length === MAX_BATCH) this.#sendSoon();
  }

  /** Sends what is queued, for `graceMs` at most; then closes. What is left is counted as dropped. Never rejects. */
  async stop(graceMs: number): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      this.#abort?.abort();
    }, graceMs);
    while ((this.#queued.length > 0 || this.#sending !== undefined) && !over) {
      await (this.#sending ?? this.#send());
    }
    clearTimeout(timer);
    this.close();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#abort?.abort();
    this.#options.counters.dropped.value += this.#queued.length;
    this.#queued = [];
    this.#options.exporter.close();
  }

  #sendSoon(): void {
    if (this.#sending !== undefined) return;
    clearTimeout(this.#timer);
    // A collector that fails is asked once a delay, however many wait.
    const delayMs = this.#queued.length >= MAX_BATCH && !this.#failing ? 0 : DELAY_MS;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#send();
    }, delayMs);
    this.#timer.unref();
  }

  /** Sends one batch. Never rejects. */
  #send(): Promise<void> {
    const batch = this.#queued.splice(0, MAX_BATCH);
    this.#sending = this.#export(batch).finally(() => {
      this.#sending = undefined;
      if (this.#queued.length > 0 && !this.#closed) this.#sendSoon();
    });
    return this.#sending;
  }

  async #export(batch: readonly Span[]): Promise<void> {
    const { exporter, counters, target, log } = this.#options;
    const abort = new AbortController();
    this.#abort = abort;
    const timer = setTimeout(() => abort.abort(), EXPORT_TIMEOUT_MS);
    timer.unref();
    try {
      await exporter.send(batch, abort.signal);
      counters.exported.value += batch.length;
      if (this.#failing) log.info({ target }, 'the collector takes spans again');
      this.#failing = false;
    } catch (error) {
      counters.failed.value += batch.length;
      if (!this.#failing) log.warn({ err: error, target }, 'spans are lost: the collector did not take them');
      this.#failing = true;
    } finally {
      clearTimeout(timer);
    }
  }
}
