import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';

const SHOWN_FAILURES = 5;
/** A server that is behind gets no more until it has answered. */
const MAX_OPEN = 100;

/**
 * A steady stream of pods that are created, in a dry run, which webhooks take part in: at a pace, as far as the server keeps up.
 */
export class PodCreations {
  /** Pods that were admitted with the proxy, and without. */
  injected = 0;
  bare = 0;
  readonly #failures: string[] = [];
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #timer: NodeJS.Timeout;
  readonly #open = new Set<Promise<void>>();
  #count = 0;

  /** `kubeconfig` is the path in KUBECONFIG. */
  constructor(kubeconfig: string, namespace: string, perSecond: number) {
    this.#api = loadKubernetesApi({ env: { KUBECONFIG: kubeconfig }, log: createLog('e2e', 'silent') });
    this.#namespace = namespace;
    this.#timer = setInterval(() => {
      if (this.#open.size >= MAX_OPEN) return;
      const creation = this.#create().finally(() => this.#open.delete(creation));
      this.#open.add(creation);
    }, 1000 / perSecond);
  }

  /** Creations that were answered so far. */
  get answered(): number {
    return this.injected + this.bare + this.#failures.length;
  }

  /** Ends it, waits for the answers that are due, and gives those that were not 201: the first few, and how many there are. */
  async stop(): Promise<string[]> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    if (this.#failures.length <= SHOWN_FAILURES) return this.#failures;
    return [...this.#failures.slice(0, SHOWN_FAILURES), `${this.#failures.length} failures`];
  }

  async #create(): Promise<void> {
    const at = new Date().toISOString();
    this.#count += 1;
    const body = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `creation-${this.#count}` },
      spec: { containers: [{ name: 'app', image: 'app' }] },
    };
    try {
      const path = `/api/v1/namespaces/${this.#namespace}/pods?dryRun=All`;
      const pod = await this.#api.request({ method: 'POST', path, body, timeoutMs: 30_000 });
      if (JSON.stringify(pod).includes('http_proxy')) this.injected += 1;
      else this.bare += 1;
    } catch (error) {
      this.#failures.push(`${at}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}
