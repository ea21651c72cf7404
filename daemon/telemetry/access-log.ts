import type { RouterRole } from './daemon-metrics.ts';
import type { BeginningExchange, ExchangeRecord, RecordSink } from './exchange-record.ts';
import { matches, mayMatch, type RecordFilter } from './record-filter.ts';
import { REDACTED, safeJson, type ToldRecord, tell } from './told-record.ts';

export interface AccessLogOptions {
  /** Of those that no rule names. */
  readonly sampleRate: number;
  /** Any of them has a record logged. */
  readonly only: readonly RecordFilter[];
  /** Keys of a line whose values are not to be shown. */
  readonly redact: readonly (keyof ToldRecord)[];
  /** Of this direction alone; undefined: of both. */
  readonly role?: RouterRole | undefined;
  /** A line for a record, without its end; undefined: JSON. */
  readonly format?: ((record: ExchangeRecord) => string) | undefined;
  readonly writer: { write(line: string): void };
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/** Requests as JSON, a line each. */
export class AccessLog implements RecordSink {
  readonly #options: AccessLogOptions;

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  /** Rules ask how it ended: where there are some, chance has its say then. */
  wants(exchange: BeginningExchange, role: RouterRole): boolean {
    const { only, role: wanted, sampleRate } = this.#options;
    if (wanted !== undefined && wanted !== role) return false;
    if (only.length === 0) return this.#drawn();
    return sampleRate > 0 || only.some((rule) => mayMatch(rule, exchange, role));
  }

  ended(record: ExchangeRecord): void {
    const { only, format, writer } = this.#options;
    if (only.length > 0 && !only.some((rule) => matches(rule, record)) && !this.#drawn()) return;
    writer.write(format?.(record) ?? safeJson(this.#redacted(tell(record))));
  }

  #drawn(): boolean {
    const { sampleRate, random } = this.#options;
    return sampleRate === 1 || random() < sampleRate;
  }

  #redacted(told: ToldRecord): ToldRecord {
    const { redact } = this.#options;
    if (redact.length === 0) return told;
    return { ...told, ...Object.fromEntries(redact.map((key) => [key, told[key] === '' ? '' : REDACTED])) };
  }
}
