import { jitteredBackoffMs } from '../../lib/backoff.ts';
import type { WatchStatus } from '../../lib/explain.ts';
import { discoverEndpointsResource } from '../../lib/kubernetes/discovery.ts';
import type { PublishedGroups } from '../../lib/kubernetes/endpoints.ts';
import { trimNode } from '../../lib/kubernetes/node.ts';
import { trimPod } from '../../lib/kubernetes/pod.ts';
import { Reflector, type ReflectorOptions } from '../../lib/kubernetes/reflector.ts';
import { trimService } from '../../lib/kubernetes/service.ts';
import type { KubernetesApi, ObjectChange } from '../../lib/kubernetes/types.ts';
import type { Log } from '../../lib/log.ts';
import type { MetricsRegistry } from '../../lib/metrics.ts';
import type { Readiness } from '../../lib/readiness.ts';
import { CLUSTER_KINDS, type ClusterChange, type ClusterKind } from './cluster-state.ts';
import { type PolicyNeeds, PolicyWatch } from './policy-watch.ts';

const BACKOFF = { minMs: 800, maxMs: 10_000 };
/** How often the endpoints' watch is looked at. */
const DOUBT_CHECK_MS = 1_000;
/** After an outage readiness is doubted for this long: kubelets renew every 10 s, and node controllers look every 5 s. */
const DOUBT_MS = 60_000;
const WAITING = 'the first list has not been read yet';

export interface ClusterWatchOptions {
  /** Makes the API client. Rejects with advice where nothing says which API server to use. */
  readonly loadApi: () => Promise<KubernetesApi>;
  readonly nodeName: string;
  readonly policyNeeds: PolicyNeeds;
  /** Takes all that is read, in its order. */
  readonly tell: (change: ClusterChange) => void;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Tells what the API server says: Services, their endpoints, nodes, and this node's pods, one watch each. An API server
 * that cannot be reached, or a missing configuration, is waited for; it never ends the daemon.
 */
export class ClusterWatch {
  readonly #options: ClusterWatchOptions;
  readonly #stops: (() => Promise<void>)[] = [];
  readonly #reflectors: { readonly status: WatchStatus }[] = [];
  #policies: PolicyWatch | undefined;
  #api: KubernetesApi | undefined;
  #stopped = false;
  #retry: NodeJS.Timeout | undefined;
  #failure = 'not asked yet';
  #endpoints: Reflector<PublishedGroups> | undefined;
  #doubtUntil = Number.NEGATIVE_INFINITY;
  #doubted = false;
  #doubtCheck: NodeJS.Timeout | undefined;

  constructor(options: ClusterWatchOptions) {
    this.#options = options;
  }

  start(): void {
    const { readiness } = this.#options;
    readiness.block('kubernetes', () => this.#failure);
    for (const name of CLUSTER_KINDS) readiness.block(name, WAITING);
    this.#begin(0);
    this.#doubtCheck = setInterval(() => this.#checkDoubt(), DOUBT_CHECK_MS);
    this.#doubtCheck.unref();
  }

  /** Of each watch that has begun. */
  get status(): readonly WatchStatus[] {
    return [...this.#reflectors.map(({ status }) => status), ...(this.#policies?.status ?? [])];
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    clearInterval(this.#doubtCheck);
    await Promise.all(this.#stops.map((stop) => stop()));
  }

  #begin(attempt: number): void {
    this.#connect().catch((error: unknown) => this.#again(attempt, error));
  }

  /** Services, nodes and pods need nothing but a client; which endpoints there are, the server must say first. */
  async #connect(): Promise<void> {
    const { loadApi, nodeName, tell, readiness } = this.#options;
    if (this.#api === undefined) {
      const api = await loadApi();
      if (this.#stopped) return;
      this.#api = api;
      this.#watch(api, 'services', { path: '/api/v1/services' }, trimService, (changes) =>
        tell({ kind: 'services', changes }),
      );
      this.#watch(api, 'nodes', { path: '/api/v1/nodes' }, trimNode, (changes) => tell({ kind: 'nodes', changes }));
      const ownNode = { path: '/api/v1/pods', fieldSelector: `spec.nodeName=${nodeName}` };
      this.#watch(api, 'pods', ownNode, trimPod, (changes) => tell({ kind: 'pods', changes }));
      const policies = new PolicyWatch(this.#options, this.#options.policyNeeds);
      this.#policies = policies;
      this.#stops.push(() => policies.stop());
      void policies.start(api);
    }
    const { path, trim } = await discoverEndpointsResource(this.#api);
    if (this.#stopped) return;
    this.#endpoints = this.#watch(this.#api, 'endpoints', { path }, trim, (changes) =>
      tell({ kind: 'endpoints', changes: changes.map(({ key, object }) => ({ key, object })) }),
    );
    readiness.clear('kubernetes');
  }

  #again(attempt: number, error: unknown): void {
    if (this.#stopped) return;
    const { log, random } = this.#options;
    this.#failure = error instanceof Error ? error.message : String(error);
    const delayMs = Math.round(jitteredBackoffMs(attempt, BACKOFF, random));
    log.warn({ delayMs }, `Kubernetes cannot be asked yet: ${this.#failure}`);
    this.#retry = setTimeout(() => this.#begin(attempt + 1), delayMs);
  }

  #watch<T>(
    api: KubernetesApi,
    name: ClusterKind,
    resource: ReflectorOptions<T>['resource'],
    trim: ReflectorOptions<T>['trim'],
    apply: (changes: readonly ObjectChange<T>[]) => void,
  ): Reflector<T> {
    const { tell, readiness, metrics, log, now, random } = this.#options;
    const reflector = new Reflector<T>({ api, resource, trim, metrics, log, now, random });
    reflector.onChange(apply);
    readiness.block(name, () => reflector.failure ?? WAITING);
    reflector.whenSynced().then(
      () => {
        tell({ kind: 'read', what: name });
        readiness.clear(name);
      },
      () => {}, // stopped before it was read
    );
    this.#stops.push(() => reflector.stop());
    this.#reflectors.push(reflector);
    reflector.start();
    return reflector;
  }

  #checkDoubt(): void {
    const { now, tell } = this.#options;
    if (this.#endpoints?.synced === true && this.#endpoints.failure !== undefined) this.#doubtUntil = now() + DOUBT_MS;
    const doubted = now() < this.#doubtUntil;
    if (doubted === this.#doubted) return;
    this.#doubted = doubted;
    tell({ kind: 'doubted', doubted });
  }
}
