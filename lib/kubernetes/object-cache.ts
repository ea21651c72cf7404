import { isDeepStrictEqual } from 'node:util';
import type { KubernetesObject, ObjectChange } from './types.ts';

/** So many objects are a millisecond's work for those who are told of them. */
const BATCH = 32;

/** `namespace/name`, or `name` for objects of no namespace. */
export function objectKey({ metadata: { namespace, name } }: KubernetesObject): string {
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The trimmed objects of one resource, and what has changed about them since it was last asked. */
export class ObjectCache<T> {
  readonly #items = new Map<string, T>();
  readonly #changes = new Map<string, ObjectChange<T>>();

  get items(): ReadonlyMap<string, T> {
    return this.#items;
  }

  /** An object's new state; undefined when it is gone. */
  set(key: string, object: T | undefined): void {
    const previous = this.#items.get(key);
    if (object === undefined) this.#items.delete(key);
    else this.#items.set(key, object);
    // Changes of one object become one, from what was told last to what is now.
    const told = this.#changes.has(key) ? this.#changes.get(key)?.previous : previous;
    this.#changes.set(key, { key, object, previous: told });
  }

  /** What is known of an object where that is the same as `object`, so that nothing is kept twice; else `object`. */
  knownAs(key: string, object: T): T {
    const known = this.#items.get(key);
    return isDeepStrictEqual(known, object) ? (known as T) : object;
  }

  /**
   * Everything that there is: what is not in it is gone. Pauses after every few objects, for its changes to be taken: what came or
   * changed first, then what is gone, so that an address that two objects have in turn is never without one.
   */
  *replace(objects: ReadonlyMap<string, T>): Generator<void> {
    let count = 0;
    for (const [key, object] of objects) {
      if (this.#items.get(key) !== object) this.set(key, object);
      count += 1;
      if (count % BATCH === 0) yield;
    }
    for (const key of [...this.#items.keys()]) {
      if (!objects.has(key)) this.set(key, undefined);
      count += 1;
      if (count % BATCH === 0) yield;
    }
  }

  /** The changes since the last call, in the order in which their objects first changed; none where the trimmed object is the same. */
  takeChanges(): ObjectChange<T>[] {
    const changes = [...this.#changes.values()].filter(({ object, previous }) => !isDeepStrictEqual(object, previous));
    this.#changes.clear();
    return changes;
  }
}
