import type { Pod } from '../../lib/kubernetes/pod.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';

/** Pods by their own addresses, which pass from one to the next. */
export class PodsByAddress<T extends Pick<Pod, 'uid' | 'ips' | 'namespace' | 'name'>> {
  readonly #byAddress = new Map<string, T>();

  get size(): number {
    return this.#byAddress.size;
  }

  get(address: string): T | undefined {
    return this.#byAddress.get(address);
  }

  /** Looks at all of them: for people's questions. */
  named(namespace: string, name: string): T | undefined {
    for (const pod of this.#byAddress.values()) if (pod.name === name && pod.namespace === namespace) return pod;
    return undefined;
  }

  /** Each once for each of its addresses. */
  values(): Iterable<T> {
    return this.#byAddress.values();
  }

  apply(changes: readonly ObjectChange<T>[]): void {
    for (const { object, previous } of changes) {
      // The end of a pod may be told after the beginning of the one that has its address now.
      for (const ip of previous?.ips ?? []) {
        if (this.#byAddress.get(ip)?.uid === previous?.uid) this.#byAddress.delete(ip);
      }
      for (const ip of object?.ips ?? []) this.#byAddress.set(ip, object as T);
    }
  }
}
