import { expired } from './api-error.ts';
import type { ResourceType } from './resource-types.ts';

/** Any object of the API, as JSON. What the store holds is never changed in place. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ApiMetadata;
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly [field: string]: unknown;
}

export interface ApiMetadata {
  readonly name: string;
  readonly generateName?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** One change, as the event log keeps it. For a removal `object` is the last state with the removal's resourceVersion. */
export interface StoredEvent {
  readonly resourceVersion: number;
  readonly type: ResourceType;
  readonly object: ApiObject;
  readonly previous: ApiObject | undefined;
  readonly removed: boolean;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: object;
}

/** As many events are kept as an API server's watch cache keeps for a busy kind; older ones are compacted away. */
const MAX_EVENTS = 5_000;

/** All objects of all types under one resourceVersion, and the log of their changes: what etcd is to an API server. */
export class ObjectStore {
  readonly #objects = new Map<string, Map<string, ApiObject>>();
  readonly #listeners = new Set<(event: StoredEvent) => void>();
  #events: StoredEvent[] = [];
  #compactedAt = 0;
  resourceVersion = 1;

  get(type: ResourceType, namespace: string | undefined, name: string): ApiObject | undefined {
    return this.#ofType(type).get(storeKey(namespace, name));
  }

  /** Sorted by namespace and name, as etcd keeps them. */
  list(type: ResourceType, namespace: string | undefined): ApiObject[] {
    const all = [...this.#ofType(type)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object);
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Stores an object under the next resourceVersion and tells the watchers. Gives it as stored. */
  put(type: ResourceType, object: ApiObject): ApiObject {
    const objects = this.#ofType(type);
    const key = storeKey(object.metadata.namespace, object.metadata.name);
    const previous = objects.get(key);
    const stored = this.#stamp(object);
    objects.set(key, stored);
    this.#record({ resourceVersion: this.resourceVersion, type, object: stored, previous, removed: false });
    return stored;
  }

  remove(type: ResourceType, object: ApiObject): ApiObject {
    this.#ofType(type).delete(storeKey(object.metadata.namespace, object.metadata.name));
    const last = this.#stamp(object);
    this.#record({ resourceVersion: this.resourceVersion, type, object: last, previous: object, removed: true });
    return last;
  }

  /** The changes after a resourceVersion. Throws ApiError 410 where the log no longer reaches back to it. */
  eventsAfter(resourceVersion: number): readonly StoredEvent[] {
    if (resourceVersion < this.#compactedAt) {
      throw expired(`too old resource version: ${resourceVersion} (${this.#compactedAt})`);
    }
    return this.#events.filter((event) => event.resourceVersion > resourceVersion);
  }

  /** Calls `listener` in the same turn as each change. Gives the function that ends it. */
  subscribe(listener: (event: StoredEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets the log: only the newest resourceVersion can be watched from. */
  compact(): void {
    // A compaction takes a revision of its own here, so that even a client that has seen everything is too old.
    this.resourceVersion += 1;
    this.#compactedAt = this.resourceVersion;
    this.#events = [];
  }

  #ofType(type: ResourceType): Map<string, ApiObject> {
    const id = `${type.group}/${type.plural}`;
    let objects = this.#objects.get(id);
    if (objects === undefined) {
      objects = new Map();
      this.#objects.set(id, objects);
    }
    return objects;
  }

  #stamp(object: ApiObject): ApiObject {
    this.resourceVersion += 1;
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(this.resourceVersion) } };
  }

  #record(event: StoredEvent): void {
    this.#events.push(event);
    if (this.#events.length > MAX_EVENTS) {
      this.#events = this.#events.slice(-MAX_EVENTS / 2);
      this.#compactedAt = (this.#events[0]?.resourceVersion ?? 1) - 1;
    }
    for (const listener of [...this.#listeners]) listener(event);
  }
}

function storeKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

/**
 * What a watcher with a filter sees of a change: an object that begins to match is ADDED to it, one that no longer does
 * is DELETED. undefined where it sees nothing.
 */
export function visibleEvent(event: StoredEvent, matches: (object: ApiObject) => boolean): WatchEvent | undefined {
  const { object, previous, removed } = event;
  const before = previous !== undefined && matches(previous);
  const after = !removed && matches(object);
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', object };
  return before ? { type: 'DELETED', object } : undefined;
}
