import type { Node } from '../../lib/kubernetes/node.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';

/** Node objects go and come back: by restarts of kubelets that register anew, by hands that err. */
const GRACE_MS = 60_000;
/** Of nodes that are gone, no more are remembered. */
const MAX_DEPARTED = 10_000;

/**
 * Which nodes are gone from the cluster, so that certificates of theirs count no more: deleted a minute ago, or not there a minute
 * after all nodes were read. Times: monotonic, ms.
 */
export class NodePresence {
  readonly #present = new Set<string>();
  readonly #departed = new Map<string, number>();
  #readAt: number | undefined;

  apply(changes: readonly ObjectChange<Node>[], now: number): void {
    for (const { key, object } of changes) {
      if (object !== undefined) {
        this.#present.add(key);
        this.#departed.delete(key);
      } else if (this.#present.delete(key)) {
        this.#departed.set(key, now);
        const [oldest] = this.#departed.keys();
        if (this.#departed.size > MAX_DEPARTED && oldest !== undefined) this.#departed.delete(oldest);
      }
    }
  }

  /** All that are there have been told. */
  read(now: number): void {
    this.#readAt ??= now;
  }

  /** `doubted`: nodes may have come that the API server could not tell of. */
  gone(node: string, now: number, doubted: boolean): boolean {
    if (this.#present.has(node)) return false;
    const departedAt = this.#departed.get(node);
    if (departedAt !== undefined) return now - departedAt >= GRACE_MS;
    return !doubted && this.#readAt !== undefined && now - this.#readAt >= GRACE_MS;
  }
}
