import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import { labelEnables } from './mutation.ts';

/** A review waits no longer for the API server than this; an API server gives a webhook seconds, a user's pod less. */
const LOOK_UP_TIMEOUT_MS = 500;

/** RFC 1123 label. An API server knows no other. */
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export interface NamespaceState {
  readonly name: string;
  /** Whether it carries `mesh-inject=enabled`. */
  readonly enabled: boolean;
}

/** A Namespace as far as injection goes. */
export function trimNamespace(namespace: KubernetesObject): NamespaceState {
  return { name: namespace.metadata.name, enabled: labelEnables(namespace.metadata.labels) };
}

/**
 * Says whether a namespace is labelled, from a watch's copy where that says yes. Where the copy says no, or does not know
 * the namespace, the label may be newer than the copy (linkerd2#5548: namespace and pod created together), so the API
 * server is asked, once for all reviews that wait. Where it does not answer in time, the copy decides; undefined where
 * the copy has nothing either. Never rejects: an API server's outage must not keep pods from being answered for.
 */
export class NamespaceLabels {
  readonly #api: KubernetesApi;
  readonly #log: Log;
  readonly #known: (name: string) => NamespaceState | undefined;
  readonly #asking = new Map<string, Promise<boolean | undefined>>();

  constructor(api: KubernetesApi, log: Log, known: (name: string) => NamespaceState | undefined) {
    this.#api = api;
    this.#log = log;
    this.#known = known;
  }

  async enabled(name: string): Promise<boolean | undefined> {
    const known = this.#known(name)?.enabled;
    if (known === true || !NAMESPACE.test(name)) return known;
    let asking = this.#asking.get(name);
    if (asking === undefined) {
      asking = this.#ask(name).finally(() => this.#asking.delete(name));
      this.#asking.set(name, asking);
    }
    return (await asking) ?? known;
  }

  async #ask(name: string): Promise<boolean | undefined> {
    try {
      const path = `/api/v1/namespaces/${encodeURIComponent(name)}`;
      const answer = await this.#api.request({ method: 'GET', path, timeoutMs: LOOK_UP_TIMEOUT_MS });
      return trimNamespace(answer as KubernetesObject).enabled;
    } catch (error) {
      // A namespace that the asked API server does not know yet is no fault: another one of them does.
      const missing = error instanceof KubernetesError && error.status === 404;
      const why = error instanceof Error ? error.message : String(error);
      this.#log[missing ? 'debug' : 'warn']({ namespace: name }, `a namespace could not be looked up: ${why}`);
      return undefined;
    }
  }
}
