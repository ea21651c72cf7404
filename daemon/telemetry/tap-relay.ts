import type { Recorder } from './recorder.ts';
import type { TapRequest } from './tap-request.ts';
import { TapSink } from './tap-sink.ts';

/** Records leave in batches: a message is a trip to another thread. */
const BATCH_MS = 100;
/** Of records that wait while the main thread has not taken the last batch. */
const MAX_WAITING = 1_000;

/** Records for one tap of the main thread's, as JSON; `dropped`: how many were left out beside them. */
export interface TapBatch {
  readonly tap: number;
  readonly records: readonly string[];
  readonly dropped: number;
}

interface RelayedTap {
  readonly sink: TapSink;
  records: string[];
  dropped: number;
  /** A batch is under way. */
  sent: boolean;
}

export interface TapRelayOptions {
  readonly recorder: Recorder;
  readonly redacted: ReadonlySet<string>;
  readonly now: () => number;
  readonly post: (batch: TapBatch) => void;
}

/** A worker thread's side of the taps that the main thread has open. */
export class TapRelay {
  readonly #options: TapRelayOptions;
  readonly #taps = new Map<number, RelayedTap>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: TapRelayOptions) {
    this.#options = options;
  }

  /** `drawn` as TapSinkOptions has it. */
  open(tap: number, request: TapRequest, drawn?: () => boolean): void {
    const { recorder, redacted, now } = this.#options;
    const emit = (json: string) => {
      if (relayed.records.length < MAX_WAITING) relayed.records.push(json);
      else relayed.dropped += 1;
    };
    const relayed: RelayedTap = {
      sink: new TapSink(request, { redacted, now, emit, drawn }),
      records: [],
      dropped: 0,
      sent: false,
    };
    this.#taps.set(tap, relayed);
    recorder.add(relayed.sink);
    if (this.#timer === undefined) {
      this.#timer = setInterval(() => this.#post(), BATCH_MS);
      this.#timer.unref();
    }
  }

  close(tap: number): void {
    const relayed = this.#taps.get(tap);
    if (relayed === undefined) return;
    this.#options.recorder.remove(relayed.sink);
    this.#taps.delete(tap);
    if (this.#taps.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The main thread has taken the last batch. */
  taken(tap: number): void {
    const relayed = this.#taps.get(tap);
    if (relayed !== undefined) relayed.sent = false;
  }

  #post(): void {
    for (const [tap, relayed] of this.#taps) {
      if (relayed.sent) continue;
      const dropped = relayed.dropped + relayed.sink.takeDropped();
      if (relayed.records.length === 0 && dropped === 0) continue;
      this.#options.post({ tap, records: relayed.records, dropped });
      relayed.records = [];
      relayed.dropped = 0;
      relayed.sent = true;
    }
  }
}
