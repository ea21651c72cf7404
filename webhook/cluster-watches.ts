import { Reflector } from '../lib/kubernetes/reflector.ts';
import type { KubernetesApi, KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { MetricsRegistry } from '../lib/metrics.ts';
import type { Readiness } from '../lib/readiness.ts';
import { type BundledEntries, CONFIGURATION_NAME, CONFIGURATIONS_PATH, trimConfiguration } from './ca-bundle.ts';
import { type NamespaceState, trimNamespace } from './namespaces.ts';
import { type NodeAddresses, trimNode } from './proxy-address.ts';

export interface ClusterWatchesOptions {
  readonly api: KubernetesApi;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  readonly readiness: Readiness;
  readonly random: () => number;
  /** ms since 1970. */
  readonly now: () => number;
  /** The namespace and the names of Secrets to be told of. */
  readonly namespace: string;
  readonly secrets: readonly string[];
  /** Whether nodes' addresses are wanted. */
  readonly nodes: boolean;
}

export interface ClusterListeners {
  configuration(): void;
  secret(): void;
  nodes(): void;
  /** The first list is there: it may be empty, which is no change. */
  configurationListed(): void;
  nodesListed(): void;
}

/** What the webhook watches of the cluster, each by one reflector: not ready before the first lists of all are there. */
export class ClusterWatches {
  readonly #options: ClusterWatchesOptions;
  readonly #namespaces: Reflector<NamespaceState>;
  readonly #configurations: Reflector<BundledEntries>;
  readonly #nodes: Reflector<NodeAddresses> | undefined;
  /** Told of by their versions alone. */
  readonly #secrets: readonly Reflector<string>[];

  constructor(options: ClusterWatchesOptions) {
    this.#options = options;
    this.#namespaces = this.#watch('/api/v1/namespaces', trimNamespace);
    this.#configurations = this.#watch(CONFIGURATIONS_PATH, trimConfiguration, CONFIGURATION_NAME);
    this.#nodes = options.nodes ? this.#watch('/api/v1/nodes', trimNode) : undefined;
    const path = `/api/v1/namespaces/${options.namespace}/secrets`;
    const versionOf = ({ metadata }: KubernetesObject) => metadata.resourceVersion ?? '';
    this.#secrets = options.secrets.map((name) => this.#watch(path, versionOf, name));
  }

  namespace(name: string): NamespaceState | undefined {
    return this.#namespaces.items.get(name);
  }

  /** How many namespaces ask for the mesh; undefined while they have not been listed. */
  get labelledNamespaces(): number | undefined {
    if (!this.#namespaces.synced) return undefined;
    return [...this.#namespaces.items.values()].filter(({ enabled }) => enabled).length;
  }

  /** The MutatingWebhookConfiguration; undefined where there is none, or it has not been listed yet. */
  get configuration(): BundledEntries | undefined {
    return this.#configurations.items.values().next().value;
  }

  get configurationKnown(): boolean {
    return this.#configurations.synced;
  }

  /** None where they are not wanted. */
  get nodes(): NodeAddresses[] {
    return [...(this.#nodes?.items.values() ?? [])];
  }

  start(listeners: ClusterListeners): void {
    this.#configurations.onChange(() => listeners.configuration());
    for (const secret of this.#secrets) {
      secret.onChange(() => listeners.secret());
      secret.start();
    }
    this.#startBlocking('namespaces', this.#namespaces);
    this.#startBlocking('webhookConfiguration', this.#configurations, () => listeners.configurationListed());
    if (this.#nodes === undefined) return;
    this.#nodes.onChange(() => listeners.nodes());
    this.#startBlocking('nodes', this.#nodes, () => listeners.nodesListed());
  }

  async stop(): Promise<void> {
    const all = [this.#namespaces, this.#configurations, this.#nodes, ...this.#secrets];
    await Promise.all(all.map((one) => one?.stop()));
  }

  #startBlocking<T>(name: string, reflector: Reflector<T>, whenListed: () => void = () => {}): void {
    const { readiness } = this.#options;
    readiness.block(name, () => reflector.failure ?? 'not listed yet');
    reflector.whenSynced().then(
      () => {
        readiness.clear(name);
        whenListed();
      },
      () => {}, // stopped before
    );
    reflector.start();
  }

  /** All of a collection, or the one of that name. */
  #watch<T>(path: string, trim: (object: KubernetesObject) => T, name?: string): Reflector<T> {
    const { api, log, metrics, random, now } = this.#options;
    const resource = { path, ...(name === undefined ? {} : { fieldSelector: `metadata.name=${name}` }) };
    return new Reflector<T>({ api, resource, trim, log, metrics, random, now });
  }
}
