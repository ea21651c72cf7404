import { setTimeout as delay } from 'node:timers/promises';
import { jitteredBackoffMs } from '../backoff.ts';
import type { WatchStatus } from '../explain.ts';
import type { Log } from '../log.ts';
import type { MetricsRegistry } from '../metrics.ts';
import { Turns } from '../turns.ts';
import { listPages } from './list-pages.ts';
import { ObjectCache, objectKey } from './object-cache.ts';
import type { KubernetesApi, KubernetesObject, ObjectChange } from './types.ts';
import { type WatchMetrics, watchMetrics } from './watch-metrics.ts';
import { isOlder, readWatch, type WatchEnd } from './watch-stream.ts';

export interface ReflectorTiming {
  readonly pageSize: number;
  readonly listTimeoutMs: number;
  /** A watch is asked to end after a random time between these, so that many do not begin anew together. */
  readonly watchMinSeconds: number;
  readonly watchMaxSeconds: number;
  /** Longest silence of a watch. */
  readonly livenessMs: number;
  /** A watch that ends sooner than this and told nothing has failed, whatever it says. */
  readonly shortWatchMs: number;
  readonly backoff: { readonly minMs: number; readonly maxMs: number };
}

const DEFAULT_TIMING: ReflectorTiming = {
  pageSize: 500, // client-go's
  listTimeoutMs: 30_000,
  watchMinSeconds: 240,
  watchMaxSeconds: 300,
  livenessMs: 90_000, // one bookmark late by half a minute
  shortWatchMs: 1_000, // client-go's "very short watch"
  backoff: { minMs: 800, maxMs: 10_000 }, // client-go's, but for its 30 s: pods go on moving while nobody looks
};

export interface ReflectorOptions<T> {
  readonly api: KubernetesApi;
  /** A collection, e.g. `/api/v1/pods`, and which of its objects. */
  readonly resource: {
    readonly path: string;
    readonly fieldSelector?: string;
    readonly labelSelector?: string;
    /** In metrics and in the log, where the collection's plural would not tell it from another watch. */
    readonly name?: string;
  };
  /** What is kept of an object; undefined for objects that are of no interest. */
  readonly trim: (object: KubernetesObject) => T | undefined;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  readonly random: () => number;
  /** A clock in ms; only differences count. */
  readonly now: () => number;
  readonly timing?: Partial<ReflectorTiming>;
}

type Listener<T> = (changes: readonly ObjectChange<T>[]) => void;

/**
 * A live copy of one collection of the API: one list, then one watch after another, each from where the last one came to.
 * What it has stays in force whatever the API server does; only a newer answer replaces it.
 */
export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #timing: ReflectorTiming;
  readonly #log: Log;
  readonly #cache = new ObjectCache<T>();
  readonly #listeners: Listener<T>[] = [];
  readonly #waiters: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  readonly #abort = new AbortController();
  readonly #metrics: WatchMetrics;
  readonly #resource: string;
  #running: Promise<void> = Promise.resolve();
  /** Where the next watch begins; undefined where everything must be listed first. */
  #resourceVersion: string | undefined;
  #lastEventAt: number;
  #synced = false;
  #failure: string | undefined = 'not started';
  #listFailures = 0;
  #watchFailures = 0;
  #silences = 0;
  #flush: NodeJS.Immediate | undefined;

  constructor(options: ReflectorOptions<T>) {
    const { log, metrics, resource, timing, now } = options;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...timing };
    this.#resource = resource.name ?? resource.path.slice(resource.path.lastIndexOf('/') + 1);
    this.#log = log.child({ watch: this.#resource });
    this.#lastEventAt = now();
    this.#metrics = watchMetrics(metrics, this.#resource, this);
  }

  /** Whether everything has been listed once. Stays true: what was known then and since is in force. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Why nothing new is heard just now; undefined when all is well. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** By `namespace/name`, or by `name` for objects of no namespace. */
  get items(): ReadonlyMap<string, T> {
    return this.#cache.items;
  }

  /** Time since the API server last said anything (an event, a bookmark, a list), in ms. */
  get lastEventAgeMs(): number {
    return this.#options.now() - this.#lastEventAt;
  }

  /** For people. */
  get status(): WatchStatus {
    return {
      resource: this.#resource,
      synced: this.#synced,
      objects: this.items.size,
      resourceVersion: this.#resourceVersion ?? null,
      lastEventAgeMs: Math.round(this.lastEventAgeMs),
      failure: this.#failure ?? null,
    };
  }

  /** Settles with the first complete list (at once if there was one); rejects when stopped before. */
  whenSynced(): Promise<void> {
    if (this.#synced) return Promise.resolve();
    if (this.#abort.signal.aborted) return Promise.reject(this.#stoppedError());
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Called with each batch of changes, in which a key is once at most; a list may be many batches. */
  onChange(listener: Listener<T>): void {
    this.#listeners.push(listener);
  }

  start(): void {
    this.#failure = 'the first list has not been answered yet';
    this.#lastEventAt = this.#options.now();
    this.#running = this.#run();
  }

  /** Ends the watch. Settles when nothing of it runs any more; no listener is called after this. */
  async stop(): Promise<void> {
    this.#abort.abort();
    clearImmediate(this.#flush);
    for (const { reject } of this.#waiters.splice(0)) reject(this.#stoppedError());
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      const pauseMs =
        this.#resourceVersion === undefined ? await this.#list() : await this.#watch(this.#resourceVersion);
      if (pauseMs > 0) await delay(pauseMs, undefined, { signal: this.#abort.signal }).catch(() => {});
    }
  }

  /** Lists everything, and gives how long to wait before going on, ms. */
  async #list(): Promise<number> {
    const { api } = this.#options;
    const { pageSize, listTimeoutMs: timeoutMs } = this.#timing;
    const path = (query: Readonly<Record<string, string>>) => this.#path(query);
    const trim = (object: KubernetesObject, key: string) => this.#trimListed(object, key);
    try {
      const listed = await listPages({ api, path, trim, pageSize, timeoutMs, signal: this.#abort.signal });
      if (this.#abort.signal.aborted) return 0;
      await this.#takeOver(listed.objects);
      if (this.#abort.signal.aborted) return 0;
      this.#resourceVersion = listed.resourceVersion;
      this.#listFailures = 0;
      this.#heardFromServer();
      this.#becomeSynced();
      return 0;
    } catch (error) {
      this.#listFailures += 1;
      return this.#failed(this.#listFailures, error instanceof Error ? error.message : String(error));
    }
  }

  #trimListed(object: KubernetesObject, key: string): T | undefined {
    const trimmed = this.#options.trim(object);
    return trimmed === undefined ? undefined : this.#cache.knownAs(key, trimmed);
  }

  /** In turns: those who are told may have more to do for a whole list than requests can wait for. */
  async #takeOver(objects: ReadonlyMap<string, T>): Promise<void> {
    const turns = new Turns();
    for (const _ of this.#cache.replace(objects)) {
      this.#tell();
      await turns.end();
      if (this.#abort.signal.aborted) return;
    }
    this.#tell();
  }

  /** Watches until that ends, and gives how long to wait before going on, ms. */
  async #watch(resourceVersion: string): Promise<number> {
    const { api, now } = this.#options;
    const begunAt = now();
    let end: WatchEnd;
    try {
      const stream = await api.stream(this.#watchPath(resourceVersion), this.#abort.signal);
      if (stream.status === 200) {
        this.#failure = undefined;
        const sink = { event: this.#onEvent, progress: this.#onProgress, bookmark: this.#onBookmark };
        end = await readWatch(stream, sink, this.#timing.livenessMs);
      } else if (stream.status === 410) {
        end = { kind: 'expired', heard: false };
      } else {
        end = { kind: 'failed', heard: false, why: `watch: ${stream.status} ${stream.errorBody?.slice(0, 300) ?? ''}` };
      }
    } catch (error) {
      end = { kind: 'failed', heard: false, why: error instanceof Error ? error.message : String(error) };
    }
    if (this.#abort.signal.aborted) return 0;
    this.#metrics.restarts.with(this.#resource, end.kind).inc();
    return this.#afterWatch(end, now() - begunAt);
  }

  #afterWatch(end: WatchEnd, lastedMs: number): number {
    const told = end.heard || (end.kind === 'ended' && lastedMs >= this.#timing.shortWatchMs);
    if (told) {
      this.#watchFailures = 0;
      this.#silences = 0;
    }
    switch (end.kind) {
      case 'silent':
        // From where it stood, so that nothing is lost. A second silence may be a server whose history was replaced.
        this.#silences += 1;
        this.#log.warn({ resourceVersion: this.#resourceVersion }, 'a watch fell silent and is begun anew');
        if (this.#silences > 1) this.#resourceVersion = undefined;
        return 0;
      case 'expired':
        this.#resourceVersion = undefined;
        this.#watchFailures += 1;
        this.#log.info('the watch is too old to go on; listing everything anew');
        return this.#watchFailures === 1 ? 0 : this.#pauseMs(this.#watchFailures - 1);
      case 'ended':
        if (told) return 0;
        this.#watchFailures += 1;
        return this.#failed(this.#watchFailures, 'the API server ends each watch at once');
      case 'failed':
        this.#watchFailures += 1;
        return this.#failed(this.#watchFailures, end.why);
    }
  }

  readonly #onEvent = (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubernetesObject): void => {
    this.#metrics.events.inc();
    this.#cache.set(objectKey(object), type === 'DELETED' ? undefined : this.#options.trim(object));
    // The lines that came in one read are all parsed before this runs.
    this.#flush ??= setImmediate(() => this.#tell());
  };

  readonly #onProgress = (resourceVersion: string): void => {
    this.#resourceVersion = resourceVersion;
    this.#heardFromServer();
  };

  /** A server that was restored from a backup counts from an earlier number, and a watch from a later one misses everything. */
  readonly #onBookmark = (resourceVersion: string): boolean => !isOlder(resourceVersion, this.#resourceVersion ?? '');

  #tell(): void {
    clearImmediate(this.#flush);
    this.#flush = undefined;
    const changes = this.#cache.takeChanges();
    if (changes.length === 0 || this.#abort.signal.aborted) return;
    for (const listener of this.#listeners) {
      try {
        listener(changes);
      } catch (error) {
        this.#log.error({ err: error }, 'a change of the cluster could not be taken over');
      }
    }
  }

  #becomeSynced(): void {
    this.#synced = true;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #heardFromServer(): void {
    this.#lastEventAt = this.#options.now();
    this.#failure = undefined;
  }

  #failed(failures: number, why: string): number {
    if (this.#abort.signal.aborted) return 0;
    this.#failure = why;
    const pauseMs = Math.round(this.#pauseMs(failures));
    this.#log.warn({ pauseMs, objects: this.items.size }, `watching failed, what is known stays in force: ${why}`);
    return pauseMs;
  }

  #pauseMs(failures: number): number {
    return jitteredBackoffMs(failures - 1, this.#timing.backoff, this.#options.random);
  }

  #watchPath(resourceVersion: string): string {
    const { watchMinSeconds, watchMaxSeconds } = this.#timing;
    const timeoutSeconds = Math.round(watchMinSeconds + this.#options.random() * (watchMaxSeconds - watchMinSeconds));
    return this.#path({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
      timeoutSeconds: String(timeoutSeconds),
    });
  }

  #path(query: Readonly<Record<string, string>>): string {
    const { path, fieldSelector, labelSelector } = this.#options.resource;
    const search = new URLSearchParams(query);
    if (fieldSelector !== undefined) search.set('fieldSelector', fieldSelector);
    if (labelSelector !== undefined) search.set('labelSelector', labelSelector);
    return `${path}?${search}`;
  }

  #stoppedError(): Error {
    return new Error(`the watch of ${this.#resource} was stopped before its first list was answered`);
  }
}
