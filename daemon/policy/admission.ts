import { ProxyError } from '../http/proxy-error.ts';
import { ConcurrencyLimit, type RequestLimit } from './concurrency-limit.ts';
import { HeavyCallers } from './heavy-callers.ts';
import { SharedConcurrencyLimit } from './shared-limit.ts';

export interface AdmissionOptions {
  /** Undefined: no limit. */
  readonly maxConcurrentRequests: number | undefined;
  /** Where requests are counted of which other threads take some too; undefined: this thread takes all. */
  readonly sharedTable?: SharedArrayBuffer | undefined;
  /** Whether the event loop is behind. */
  readonly lagging: () => boolean;
  readonly now: () => number;
}

/** Decides before any work is done whether one server takes a further request. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #limit: RequestLimit | undefined;
  readonly #heavy = new HeavyCallers();

  constructor(options: AdmissionOptions) {
    const { maxConcurrentRequests: max, sharedTable } = options;
    this.#options = options;
    if (max === undefined) return;
    this.#limit = sharedTable === undefined ? new ConcurrencyLimit(max) : new SharedConcurrencyLimit(max, sharedTable);
  }

  /** Undefined: the request of `caller` (its address) is taken, and `release` follows. Else why it is not. */
  admit(caller: string): ProxyError | undefined {
    const { maxConcurrentRequests, lagging, now } = this.#options;
    if (lagging() && this.#heavy.counts(caller, now())) {
      return new ProxyError('overloaded', `the daemon is behind with its work, of which ${caller} asks for much`);
    }
    if (this.#limit === undefined || this.#limit.take(caller, now())) return undefined;
    return new ProxyError(
      'overloaded',
      `${caller} has its share of the ${maxConcurrentRequests} requests that may be under way, or all are taken`,
    );
  }

  /** A request that was taken has ended. */
  release(caller: string): void {
    this.#limit?.release(caller);
  }
}
