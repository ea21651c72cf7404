import { type ApiObject, type ObjectStore, type StoredEvent, visibleEvent, type WatchEvent } from './object-store.ts';
import { apiVersionOf, type ResourcePath } from './resource-types.ts';

export interface WatchOptions {
  readonly path: ResourcePath;
  readonly matches: (object: ApiObject) => boolean;
  /** undefined: begin with every object there is. */
  readonly resourceVersion: number | undefined;
  readonly send: (event: WatchEvent) => void;
}

/** One watcher of one collection: what there was since its resourceVersion, and then every change as it happens. */
export class WatchSession {
  readonly #store: ObjectStore;
  readonly #options: WatchOptions;
  #unsubscribe: () => void = () => undefined;
  /** A silent session keeps its connection and hears nothing, as behind a network that forgot it. */
  silent = false;

  /** Throws ApiError 410 where the log does not reach back to the resourceVersion. */
  constructor(store: ObjectStore, options: WatchOptions) {
    this.#store = store;
    this.#options = options;
    const { resourceVersion } = options;
    if (resourceVersion !== undefined) store.eventsAfter(resourceVersion);
  }

  /** Sends what is there already, and from now on whatever happens. */
  start(): void {
    const { path, matches, resourceVersion } = this.#options;
    if (resourceVersion === undefined) {
      const objects = this.#store.list(path.type, path.namespace).filter(matches);
      for (const object of objects) this.#send({ type: 'ADDED', object });
    } else {
      for (const event of this.#store.eventsAfter(resourceVersion)) this.#onEvent(event);
    }
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
  }

  /** Tells the watcher that it has seen everything up to now. */
  bookmark(): void {
    const { type, version } = this.#options.path;
    const metadata = { resourceVersion: String(this.#store.resourceVersion), creationTimestamp: null };
    const object = { kind: type.kind, apiVersion: apiVersionOf(type.group, version), metadata };
    if (!this.silent) this.#options.send({ type: 'BOOKMARK', object });
  }

  end(): void {
    this.#unsubscribe();
  }

  #onEvent(event: StoredEvent): void {
    const { path, matches } = this.#options;
    if (event.type !== path.type) return;
    if (path.namespace !== undefined && event.object.metadata.namespace !== path.namespace) return;
    const visible = visibleEvent(event, matches);
    if (visible !== undefined && !this.silent) this.#send(visible);
  }

  #send({ type, object }: WatchEvent): void {
    const { path } = this.#options;
    this.#options.send({ type, object: { ...object, apiVersion: apiVersionOf(path.type.group, path.version) } });
  }
}
