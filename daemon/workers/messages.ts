import type { LogLevel } from '../../lib/log.ts';
import type { MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import type { DaemonConfig, DaemonEnvironment } from '../config.ts';
import type { WorkerPlace } from '../data-path.ts';
import type { Identity } from '../identity/identity.ts';
import type { TapBatch } from '../telemetry/tap-relay.ts';
import type { TapRequest } from '../telemetry/tap-request.ts';

/** What a worker thread is started with. */
export interface WorkerStart {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly place: WorkerPlace;
  readonly logLevel: LogLevel | 'silent';
}

/** What the main thread tells a worker; each arrives in its order. */
export type ToWorker =
  /** One port a server, in the config's order. Answered by `listens` or `failed`. */
  | { readonly kind: 'listen'; readonly ports: readonly number[] }
  /**
   * A ClusterChange as v8.serialize gives it. As a plain value it would be read on arrival, and the event loop takes all messages that
   * wait before it does anything else: a first list is some hundred milliseconds of them.
   */
  | { readonly kind: 'cluster'; readonly change: Uint8Array }
  | { readonly kind: 'identity'; readonly identity: Identity | undefined }
  /** Answered by `metrics` of that number. */
  | { readonly kind: 'scrape'; readonly scrape: number }
  /** Answered by `tapped`, again and again, until `untap`. */
  | { readonly kind: 'tap'; readonly tap: number; readonly request: TapRequest }
  | { readonly kind: 'untap'; readonly tap: number }
  /** The last `tapped` of that tap has been taken: another one may come. */
  | { readonly kind: 'tapTaken'; readonly tap: number }
  /** Answered by `drained`. */
  | { readonly kind: 'drain' };

/** What a worker tells the main thread. */
export type FromWorker =
  /** It is loaded, and nothing is open yet. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'listens' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'metrics'; readonly scrape: number; readonly snapshot: MetricsSnapshot }
  | { readonly kind: 'tapped'; readonly batch: TapBatch }
  | { readonly kind: 'drained' };
