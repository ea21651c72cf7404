import { formatEvent } from '../admin-server.ts';
import type { MeshView } from '../stats/mesh-view.ts';

/** Windows that are shown, s: what is asked for is rounded up, so that viewers share what is read. */
const WINDOWS_S = [10, 30, 60, 300];
const INTERVAL_MS = 2_000;
/** Of a large mesh, reading takes so long itself: the process has other work. */
const PAUSE_PER_READING = 2;
/** A view that is no older serves a single request. */
const FRESH_MS = 1_000;
export const MAX_VIEWERS = 200;

type Write = (text: string) => boolean;

interface Shared {
  readonly viewers: Set<Write>;
  reading: Promise<string> | undefined;
  json: string;
  readAt: number;
  timer: NodeJS.Timeout | undefined;
  tookMs: number;
}

/**
 * Views of the mesh for all who look: read once for all of them, every two seconds while somebody looks and never else. A
 * viewer who reads too slowly misses views, and gets the newest next.
 */
export class LiveViews {
  readonly #read: (windowMs: number) => Promise<MeshView>;
  readonly #now: () => number;
  readonly #byWindow = new Map<number, Shared>();
  #viewers = 0;

  /** `now` is monotonic, ms. What `read` throws comes from `current`; who follows gets the next view. */
  constructor(read: (windowMs: number) => Promise<MeshView>, now: () => number) {
    this.#read = read;
    this.#now = now;
  }

  get viewers(): number {
    return this.#viewers;
  }

  /** The view as JSON. */
  current(windowMs: number): Promise<string> {
    const shared = this.#shared(windowMs);
    const { json, readAt } = shared;
    if (json !== '' && this.#now() - readAt < FRESH_MS) return Promise.resolve(json);
    return this.#refresh(shared, windowMs);
  }

  /** Gives `write` server-sent events (`mesh`) until the signal is aborted. */
  follow(windowMs: number, write: Write, signal: AbortSignal): void {
    if (signal.aborted) return;
    const shared = this.#shared(windowMs);
    this.#viewers += 1;
    shared.viewers.add(write);
    signal.addEventListener(
      'abort',
      () => {
        this.#viewers -= 1;
        shared.viewers.delete(write);
        if (shared.viewers.size > 0) return;
        clearTimeout(shared.timer);
        shared.timer = undefined;
      },
      { once: true },
    );
    const first = this.current(windowMs);
    first.then(
      (json) => shared.viewers.has(write) && write(formatEvent('mesh', json)),
      () => {}, // the next one may do
    );
    shared.timer ??= this.#later(shared, windowMs);
  }

  #later(shared: Shared, windowMs: number): NodeJS.Timeout {
    const timer = setTimeout(
      async () => {
        const json = await this.#refresh(shared, windowMs).catch(() => undefined);
        if (shared.timer !== timer) return; // all have gone meanwhile; who came since has a timer of his own
        const event = json === undefined ? ': nothing could be read\n\n' : formatEvent('mesh', json);
        for (const write of shared.viewers) write(event);
        shared.timer = this.#later(shared, windowMs);
      },
      Math.max(INTERVAL_MS, shared.tookMs * PAUSE_PER_READING),
    );
    return timer;
  }

  /** One reading at a time. */
  #refresh(shared: Shared, windowMs: number): Promise<string> {
    if (shared.reading !== undefined) return shared.reading;
    const begunAt = this.#now();
    shared.reading = this.#read(rounded(windowMs))
      .then((view) => {
        shared.readAt = this.#now();
        shared.tookMs = shared.readAt - begunAt;
        shared.json = JSON.stringify(view);
        return shared.json;
      })
      .finally(() => {
        shared.reading = undefined;
      });
    return shared.reading;
  }

  #shared(windowMs: number): Shared {
    const key = rounded(windowMs);
    let shared = this.#byWindow.get(key);
    if (shared === undefined) {
      shared = { viewers: new Set(), reading: undefined, json: '', readAt: 0, timer: undefined, tookMs: 0 };
      this.#byWindow.set(key, shared);
    }
    return shared;
  }
}

function rounded(windowMs: number): number {
  return (WINDOWS_S.find((seconds) => seconds * 1_000 >= windowMs) ?? 300) * 1_000;
}
