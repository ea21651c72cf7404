import type { KubernetesApi } from '../kubernetes/types.ts';

const ACCOUNT = 'nodemesh-viewer';
const LIFE_SECONDS = 600; // the shortest that an API server gives
const RENEW_AFTER_MS = (LIFE_SECONDS * 1_000 * 2) / 3;
/** After a failure. */
const RETRY_MS = 10_000;

/**
 * The token that daemons are shown: of ServiceAccount nodemesh-viewer, by TokenRequest (authentication.k8s.io/v1), for ten
 * minutes. The webhook's own, which may sign certificates, is never sent to a node.
 */
export class ViewerToken {
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #now: () => number;
  #token: string | undefined;
  #due = Number.NEGATIVE_INFINITY;
  #endsAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #failure: string | undefined;

  /** `now`: monotonic, ms. */
  constructor(api: KubernetesApi, namespace: string, now: () => number) {
    this.#api = api;
    this.#namespace = namespace;
    this.#now = now;
  }

  /** Why there is none. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The last one until it ends, where the API server gives no other; undefined where there is none. Never rejects. */
  async get(): Promise<string | undefined> {
    if (this.#now() >= this.#due) this.#asking ??= this.#ask().finally(() => (this.#asking = undefined));
    await this.#asking;
    return this.#token;
  }

  async #ask(): Promise<void> {
    try {
      const answer = (await this.#api.request({
        method: 'POST',
        path: `/api/v1/namespaces/${this.#namespace}/serviceaccounts/${ACCOUNT}/token`,
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: { expirationSeconds: LIFE_SECONDS },
        },
      })) as { readonly status?: { readonly token?: string } };
      this.#token = answer.status?.token;
      this.#failure = undefined;
      this.#due = this.#now() + RENEW_AFTER_MS;
      this.#endsAt = this.#now() + LIFE_SECONDS * 1_000;
    } catch (error) {
      if (this.#now() >= this.#endsAt) this.#token = undefined;
      this.#failure = error instanceof Error ? error.message : String(error);
      this.#due = this.#now() + RETRY_MS;
    }
  }
}
