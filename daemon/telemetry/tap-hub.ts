import { type AdminReply, type AdminRequest, type AdminRoute, formatEvent } from '../../lib/admin-server.ts';
import { NO_RECENT_REQUESTS, RECENT, RECENT_TAP, RecentRequests } from './recent-requests.ts';
import type { Recorder } from './recorder.ts';
import type { TapBatch } from './tap-relay.ts';
import { parseTap, TapError, type TapRequest } from './tap-request.ts';
import { RateLimit, TapSink } from './tap-sink.ts';
import type { RecentOptions } from './telemetry.ts';

const MAX_TAPS = 8;
const TICK_MS = 1_000;
/** A stream in which nothing comes is not to look dead to whoever is on the way. */
const TICKS_A_HEARTBEAT = 10;

/** The other threads, which give what they have seen to `TapHub.onBatch`. */
export interface TapThreads {
  openTap(tap: number, request: TapRequest): void;
  closeTap(tap: number): void;
}

export interface TapHubOptions {
  readonly recorder: Recorder;
  readonly redacted: ReadonlySet<string>;
  /** ms. */
  readonly now: () => number;
  readonly threads: TapThreads;
  /** Undefined: `/requests` has nothing to show. */
  readonly recent: RecentOptions | undefined;
}

/** The taps that are open, in all threads, and what they have seen last: `/tap` and `/requests`. */
export class TapHub {
  readonly #options: TapHubOptions;
  readonly #taps = new Map<number, OpenTap>();
  readonly #recent: RecentRequests | undefined;
  #last = 0;

  constructor(options: TapHubOptions) {
    const { recorder, redacted, now, recent } = options;
    this.#options = options;
    if (recent === undefined) return;
    const kept = new RecentRequests(recent.capacity);
    const emit = (json: string) => kept.add(json);
    recorder.add(new TapSink(RECENT, { redacted, now, emit, drawn: recent.drawn }));
    this.#recent = kept;
  }

  get routes(): AdminRoute[] {
    const tap: AdminRoute = { path: '/tap', access: 'tap', handle: (request, reply) => this.#handle(request, reply) };
    return [tap, this.#recent?.route ?? NO_RECENT_REQUESTS];
  }

  /** What another thread has for a tap; one that is closed by now has no use for it. */
  onBatch({ tap, records, dropped }: TapBatch): void {
    if (tap === RECENT_TAP) {
      for (const record of records) this.#recent?.add(record);
      return;
    }
    const open = this.#taps.get(tap);
    if (open === undefined) return;
    for (const record of records) open.offer(record);
    open.dropped += dropped;
  }

  #handle({ query, signal }: AdminRequest, reply: AdminReply): void {
    try {
      const request = parseTap(query);
      if (this.#taps.size < MAX_TAPS) this.#open(request, signal, reply.events());
      else reply.text(`${MAX_TAPS} taps are open on this daemon, as many as may be: close one\n`, 503);
    } catch (error) {
      if (!(error instanceof TapError)) throw error;
      reply.text(`tap: ${error.message}\n`, 400);
    }
  }

  #open(request: TapRequest, signal: AbortSignal, write: (text: string) => boolean): void {
    if (signal.aborted) return;
    const { recorder, redacted, now, threads } = this.#options;
    this.#last += 1;
    const id = this.#last;
    const tap = new OpenTap(new RateLimit(request.max, now), write);
    const sink = new TapSink(request, { redacted, now, emit: (json) => tap.offer(json) });
    const timer = setInterval(() => {
      tap.dropped += sink.takeDropped();
      tap.tick();
    }, TICK_MS);
    timer.unref();
    this.#taps.set(id, tap);
    recorder.add(sink);
    threads.openTap(id, request);
    write(': this tap is open\n\n');
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      this.#taps.delete(id);
      recorder.remove(sink);
      threads.closeTap(id);
    });
  }
}

/** One stream of events; what its reader does not take in time, or what is more than it asked for, is left out and counted. */
class OpenTap {
  /** Since the reader was told last. */
  dropped = 0;
  readonly #limit: RateLimit;
  readonly #write: (text: string) => boolean;
  #ticks = 0;

  constructor(limit: RateLimit, write: (text: string) => boolean) {
    this.#limit = limit;
    this.#write = write;
  }

  offer(json: string): void {
    if (!this.#limit.take() || !this.#write(formatEvent('request', json))) this.dropped += 1;
  }

  tick(): void {
    this.#ticks += 1;
    if (this.dropped > 0 && this.#write(formatEvent('dropped', JSON.stringify({ count: this.dropped })))) {
      this.dropped = 0;
    }
    if (this.#ticks % TICKS_A_HEARTBEAT === 0) this.#write(':\n\n');
  }
}
