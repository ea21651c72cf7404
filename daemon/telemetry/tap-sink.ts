import type { RouterRole } from './daemon-metrics.ts';
import type { BeginningExchange, ExchangeRecord, RecordSink } from './exchange-record.ts';
import { matches, mayMatch } from './record-filter.ts';
import type { TapRequest } from './tap-request.ts';
import { SECRET_HEADERS, safeJson, tell } from './told-record.ts';

const SECOND_MS = 1_000;

/** So many a second, and no more. */
export class RateLimit {
  readonly #max: number;
  readonly #now: () => number;
  #since = Number.NEGATIVE_INFINITY;
  #taken = 0;

  /** `now`: ms. */
  constructor(max: number, now: () => number) {
    this.#max = max;
    this.#now = now;
  }

  take(): boolean {
    const now = this.#now();
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      this.#taken = 0;
    }
    this.#taken += 1;
    return this.#taken <= this.#max;
  }
}

/** Headers whose values nobody is shown: the known ones and those that the config names. Lower-case. */
export function redactedHeaders(named: readonly string[]): ReadonlySet<string> {
  return new Set([...SECRET_HEADERS, ...named.map((name) => name.toLowerCase())]);
}

export interface TapSinkOptions {
  /** As redactedHeaders gives them. */
  readonly redacted: ReadonlySet<string>;
  /** ms. */
  readonly now: () => number;
  readonly emit: (json: string) => void;
  /** Whether one more is among those that are looked at; undefined: all are. */
  readonly drawn?: (() => boolean) | undefined;
}

/** What one thread gives to one tap: the records that it asks for, as JSON. */
export class TapSink implements RecordSink {
  readonly #request: TapRequest;
  readonly #options: TapSinkOptions;
  readonly #limit: RateLimit;
  #dropped = 0;

  constructor(request: TapRequest, options: TapSinkOptions) {
    this.#request = request;
    this.#options = options;
    this.#limit = new RateLimit(request.max, options.now);
  }

  wants(exchange: BeginningExchange, role: RouterRole): boolean {
    return mayMatch(this.#request.filter, exchange, role) && this.#options.drawn?.() !== false;
  }

  ended(record: ExchangeRecord): void {
    const { filter, headers, query } = this.#request;
    if (!matches(filter, record)) return;
    if (!this.#limit.take()) {
      this.#dropped += 1;
      return;
    }
    const { emit, redacted } = this.#options;
    emit(safeJson(tell(record, { query, headersBut: headers ? redacted : undefined })));
  }

  /** How many it has left out since this was asked last. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
