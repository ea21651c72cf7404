import { serialize } from 'node:v8';
import type { LogLevel } from '../../lib/log.ts';
import { type MetricsSnapshot, renderSnapshot, sumSnapshots } from '../../lib/metrics-snapshot.ts';
import type { DaemonConfig, DaemonEnvironment } from '../config.ts';
import type { ClusterChange } from '../discovery/cluster-state.ts';
import type { Identity } from '../identity/identity.ts';
import type { TapThreads } from '../telemetry/tap-hub.ts';
import type { TapBatch } from '../telemetry/tap-relay.ts';
import type { TapRequest } from '../telemetry/tap-request.ts';
import type { ToWorker } from './messages.ts';
import { WorkerThread } from './worker-thread.ts';

/** A scrape waits this long for a thread; Prometheus gives up after ten seconds. */
const SCRAPE_MS = 1_000;

export interface WorkersOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  /** Threads that serve, the main one included. */
  readonly count: number;
  readonly logLevel: LogLevel | 'silent';
  readonly limitTables: readonly (SharedArrayBuffer | undefined)[];
  readonly entry: URL;
  readonly onLost: (error: Error) => void;
  readonly onTapped: (batch: TapBatch) => void;
}

/** The threads that serve beside the main one: none where `count` is 1, and then all of this costs nothing. */
export class Workers implements TapThreads {
  readonly #options: WorkersOptions;
  #threads: readonly WorkerThread[] = [];
  #serving = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Settles when all are loaded; nothing is open then. Rejects with why one is not. */
  async start(): Promise<void> {
    const { config, environment, count, limitTables, logLevel, entry, onLost, onTapped } = this.#options;
    this.#threads = Array.from({ length: count - 1 }, (_, i) => {
      const start = { config, environment, place: { index: i + 1, count, limitTables }, logLevel };
      return new WorkerThread({ entry, start, onLost: (error) => this.#serving && onLost(error), onTapped });
    });
    await Promise.all(this.#threads.map((thread) => thread.loaded()));
  }

  /** Settles when all listen on these ports, one a server. Rejects with the system's message. */
  async listen(ports: readonly number[]): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.listen(ports)));
    this.#serving = true;
  }

  tellIdentity(identity: Identity | undefined): void {
    for (const thread of this.#threads) thread.tell({ kind: 'identity', identity });
  }

  tellCluster(change: ClusterChange): void {
    if (this.#threads.length === 0) return;
    const message: ToWorker = { kind: 'cluster', change: serialize(change) };
    for (const thread of this.#threads) thread.tell(message);
  }

  openTap(tap: number, request: TapRequest): void {
    for (const thread of this.#threads) thread.tell({ kind: 'tap', tap, request });
  }

  closeTap(tap: number): void {
    for (const thread of this.#threads) thread.tell({ kind: 'untap', tap });
  }

  /** `own`, the main thread's counts, and those of all others as one Prometheus text. */
  async render(own: () => MetricsSnapshot): Promise<string> {
    const others = await Promise.all(this.#threads.map((thread) => thread.scrape(SCRAPE_MS)));
    return renderSnapshot(sumSnapshots([own(), ...others]));
  }

  /** Settles when the last request of each has ended. */
  async drain(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.drain()));
  }

  /** Ends all at once. */
  async stop(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }
}
