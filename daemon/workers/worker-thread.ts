import { Worker } from 'node:worker_threads';
import type { MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import type { TapBatch } from '../telemetry/tap-relay.ts';
import type { FromWorker, ToWorker, WorkerStart } from './messages.ts';

type Answer = Exclude<FromWorker['kind'], 'metrics' | 'failed' | 'tapped'>;

export interface WorkerThreadOptions {
  /** The module that a thread runs (worker.ts, or its bundle). */
  readonly entry: URL;
  readonly start: WorkerStart;
  /** The thread has ended though nobody asked it to. */
  readonly onLost: (error: Error) => void;
  readonly onTapped: (batch: TapBatch) => void;
}

/** One worker thread as the main thread sees it. */
export class WorkerThread {
  readonly #worker: Worker;
  readonly #index: number;
  readonly #onTapped: (batch: TapBatch) => void;
  readonly #awaited = new Map<Answer, PromiseWithResolvers<void>>();
  readonly #scrapes = new Map<number, () => void>();
  /** The last that was given: of a thread that is late, counts that are a little old are better than none. */
  #snapshot: MetricsSnapshot = [];
  #lastScrape = 0;
  #cause: Error | undefined;
  #ended = false;
  #stopping = false;

  constructor({ entry, start, onLost, onTapped }: WorkerThreadOptions) {
    this.#onTapped = onTapped;
    this.#index = start.place.index;
    this.#worker = new Worker(entry, { workerData: start, name: `nodemesh worker ${this.#index}` });
    this.#worker.on('message', (message: FromWorker) => this.#onMessage(message));
    this.#worker.on('error', (error) => {
      this.#cause = error instanceof Error ? error : new Error(String(error));
    });
    this.#worker.on('exit', () => {
      this.#ended = true;
      const lost = new Error(`worker thread ${this.#index} has ended: ${this.#cause?.message ?? 'without a word'}`, {
        cause: this.#cause,
      });
      for (const { reject } of this.#awaited.values()) reject(lost);
      for (const settle of this.#scrapes.values()) settle();
      if (!this.#stopping) onLost(lost);
    });
  }

  tell(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** Settles when the thread is loaded. Rejects with why it is not. */
  loaded(): Promise<void> {
    return this.#answer('ready');
  }

  /** Rejects with the system's message where a port cannot be had. */
  listen(ports: readonly number[]): Promise<void> {
    this.tell({ kind: 'listen', ports });
    return this.#answer('listens');
  }

  /** Settles when the thread's last request has ended; a thread that has ended has none. */
  async drain(): Promise<void> {
    this.#stopping = true;
    this.tell({ kind: 'drain' });
    await this.#answer('drained').catch(() => {});
  }

  /** What the thread has counted; where it does not answer in time, as it last said. */
  async scrape(timeoutMs: number): Promise<MetricsSnapshot> {
    if (this.#ended) return this.#snapshot;
    this.#lastScrape += 1;
    const scrape = this.#lastScrape;
    this.tell({ kind: 'scrape', scrape });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#scrapes.set(scrape, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.#scrapes.delete(scrape);
    return this.#snapshot;
  }

  /** Ends the thread at once, and whatever it has open. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#worker.terminate();
  }

  #onMessage(message: FromWorker): void {
    if (message.kind === 'metrics') {
      this.#snapshot = message.snapshot;
      this.#scrapes.get(message.scrape)?.();
    } else if (message.kind === 'tapped') {
      this.#onTapped(message.batch);
      this.tell({ kind: 'tapTaken', tap: message.batch.tap });
    } else if (message.kind === 'failed') this.#awaited.get('listens')?.reject(new Error(message.why));
    else this.#awaited.get(message.kind)?.resolve();
  }

  #answer(kind: Answer): Promise<void> {
    if (this.#ended) return Promise.reject(new Error(`worker thread ${this.#index} has ended`));
    const awaited = Promise.withResolvers<void>();
    this.#awaited.set(kind, awaited);
    return awaited.promise;
  }
}
