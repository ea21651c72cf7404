import { ConcurrencyLimit } from './concurrency-limit.ts';

/** Keys of `adaptiveConcurrency`. */
export interface AdaptiveLimitOptions {
  readonly minLimit: number;
  readonly maxLimit: number;
}

/** How often the limit is set, and by how many samples at least (Envoy's `concurrency_update_interval`: 100 ms). */
const WINDOW_MS = 100;
const WINDOW_SAMPLES = 10;
/** More of one window tell nothing more. */
const MAX_WINDOW_SAMPLES = 500;
/** So many samples of a Service with little to do tell what it takes unloaded. */
const UNLOADED_SAMPLES = 25;
/** After so long without them they are asked for, as by Envoy: the limit is `minLimit` until they are there. */
const MEASURE_AFTER_MS = 60_000;
const MEASURE_JITTER = 0.15;
/** Asking for them takes no more than this part of the time. */
const MEASURE_SHARE = 0.01;
/** Latency above the unloaded one that is no overload: a quarter (Envoy's `buffer`), and 1 ms, which may be this daemon's own. */
const TOLERANCE = 1.25;
const TOLERANCE_MS = 1;
const MIN_GRADIENT = 0.5;
const MAX_GRADIENT = 2; // as Envoy's

/** The place that a request has while it waits for its answer. Each is given back once; what follows changes nothing. */
export interface Place {
  /** The answer has begun `latencyMs` after the attempt; undefined where that tells nothing of how busy the Service is. */
  answered(latencyMs: number | undefined, now: number): void;
  /** An attempt has waited so long in vain; another may follow, in the same place. */
  waited(latencyMs: number, now: number): void;
  /** There is no answer: the call has ended otherwise, or ended already. */
  giveBack(): void;
}

/**
 * How many requests of this daemon may wait for answers of one Service, found by what more of them cost (the gradient of
 * Envoy's adaptive concurrency filter): below what the Service can do at a time, latency is what it is unloaded; above, it
 * grows with the queue. The limit becomes limit × (unloaded + tolerance) ÷ latency + √limit, where √limit lets it grow. What it
 * takes unloaded is learnt from requests that begin while no more than `minLimit` wait; a Service that is never so quiet is
 * made so, for some answers' time in a minute. It begins at `minLimit`. Of a full limit no caller gets more than its share (ConcurrencyLimit). Times are ms of one monotonic clock.
 */
export class AdaptiveLimit {
  readonly #options: AdaptiveLimitOptions;
  readonly #shares: ConcurrencyLimit;
  #limit: number;
  #held = 0;
  /** The most that waited in this window; infinite where somebody was refused. */
  #peak = 0;
  #windowEndsAt = Number.NEGATIVE_INFINITY;
  #samples: number[] = [];
  #unloadedSamples: number[] = [];
  #unloadedMs: number | undefined;
  #measureAt = Number.POSITIVE_INFINITY;
  #measuringSince: number | undefined;
  readonly #random: () => number;

  /** `random` gives numbers in [0, 1). */
  constructor(options: AdaptiveLimitOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
    this.#limit = options.minLimit;
    this.#shares = new ConcurrencyLimit(options.minLimit);
  }

  /** Requests that may wait for answers now. */
  get limit(): number {
    return this.#shares.max;
  }

  /** A place for a request of `caller`; undefined where there is none for it. */
  take(caller: string, now: number): Place | undefined {
    if (!this.#shares.take(caller, now)) {
      this.#peak = Number.POSITIVE_INFINITY;
      return undefined;
    }
    this.#held += 1;
    this.#peak = Math.max(this.#peak, this.#held);
    return new TakenPlace(this, caller, this.#held <= this.#options.minLimit);
  }

  /** @internal A place is given back. */
  end(caller: string): void {
    this.#held -= 1;
    this.#shares.release(caller);
  }

  /** @internal */
  sample(latencyMs: number, unloaded: boolean, now: number): void {
    if (this.#samples.length < MAX_WINDOW_SAMPLES) this.#samples.push(latencyMs);
    if (unloaded) this.#sampleUnloaded(latencyMs, now);
    if (now < this.#windowEndsAt || this.#samples.length < WINDOW_SAMPLES) return;
    this.#update(now);
    this.#windowEndsAt = now + WINDOW_MS;
    this.#samples = [];
    this.#peak = this.#held;
  }

  #sampleUnloaded(latencyMs: number, now: number): void {
    this.#unloadedSamples.push(latencyMs);
    if (this.#unloadedSamples.length < UNLOADED_SAMPLES) return;
    this.#unloadedMs = median(this.#unloadedSamples);
    this.#unloadedSamples = [];
    const tookMs = now - (this.#measuringSince ?? now);
    this.#measuringSince = undefined;
    this.#measureAt = now + Math.max(MEASURE_AFTER_MS, tookMs / MEASURE_SHARE) * (1 + MEASURE_JITTER * this.#random());
    this.#shares.max = Math.floor(this.#limit);
  }

  #update(now: number): void {
    if (this.#unloadedMs === undefined || this.#measuringSince !== undefined) return;
    const { minLimit, maxLimit } = this.#options;
    const latencyMs = median(this.#samples);
    this.#unloadedMs = Math.min(this.#unloadedMs, latencyMs);
    // A limit that nobody comes near to has nothing to do with the latency.
    if (this.#peak < this.#limit / 2) return;
    const gradient = (this.#unloadedMs * TOLERANCE + TOLERANCE_MS) / latencyMs;
    const next = this.#limit * Math.min(Math.max(gradient, MIN_GRADIENT), MAX_GRADIENT) + Math.sqrt(this.#limit);
    this.#limit = Math.min(Math.max(next, minLimit), maxLimit);
    if (now >= this.#measureAt) {
      this.#measuringSince = now;
      this.#unloadedSamples = [];
    }
    this.#shares.max = this.#measuringSince === undefined ? Math.floor(this.#limit) : minLimit;
  }
}

class TakenPlace implements Place {
  readonly #limit: AdaptiveLimit;
  readonly #caller: string;
  readonly #unloaded: boolean;
  #given = false;

  constructor(limit: AdaptiveLimit, caller: string, unloaded: boolean) {
    this.#limit = limit;
    this.#caller = caller;
    this.#unloaded = unloaded;
  }

  answered(latencyMs: number | undefined, now: number): void {
    if (this.#given) return;
    if (latencyMs !== undefined) this.#limit.sample(latencyMs, this.#unloaded, now);
    this.giveBack();
  }

  waited(latencyMs: number, now: number): void {
    if (!this.#given) this.#limit.sample(latencyMs, false, now);
  }

  giveBack(): void {
    if (this.#given) return;
    this.#given = true;
    this.#limit.end(this.#caller);
  }
}

function median(samples: readonly number[]): number {
  const ascending = Float64Array.from(samples).sort();
  return ascending[ascending.length >> 1] as number;
}
