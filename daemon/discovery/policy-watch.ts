import { setTimeout as delay } from 'node:timers/promises';
import { jitteredBackoffMs } from '../../lib/backoff.ts';
import type { WatchStatus } from '../../lib/explain.ts';
import { trimMeshPolicy } from '../../lib/kubernetes/mesh-policy.ts';
import { trimNamespace } from '../../lib/kubernetes/namespace.ts';
import { trimNetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import { policyPodTrim } from '../../lib/kubernetes/policy-pod.ts';
import { Reflector, type ReflectorOptions } from '../../lib/kubernetes/reflector.ts';
import { type KubernetesApi, KubernetesError, type ObjectChange } from '../../lib/kubernetes/types.ts';
import { OWN_POLICY, type PolicyKind } from '../policy/policy-view.ts';
import type { ClusterWatchOptions } from './cluster-watch.ts';

const BLOCKER = 'policies';
const MESH_GROUP = '/apis/nodemesh.dev/v1alpha1';
const BACKOFF = { minMs: 800, maxMs: 10_000 };
/** A server without MeshPolicies is asked again after this long: their definition may come with an update. */
const LOOK_AGAIN_MS = 60_000;

/** What a daemon's config asks of the cluster for policies' sake. */
export interface PolicyNeeds {
  /** Policies are looked at. */
  readonly policies: boolean;
  /** Nothing isolated is let through before they have been read: the daemon is not ready until then. */
  readonly enforced: boolean;
  /** Pods of all nodes are known, whether or not there is a policy. */
  readonly pods: boolean;
}

/**
 * Tells the cluster's NetworkPolicies and MeshPolicies, and from the first one on what they speak of: namespaces, and the pods of
 * all nodes. A cluster without policies so costs no memory. Once begun, these watches last.
 */
export class PolicyWatch {
  readonly #options: ClusterWatchOptions;
  readonly #needs: PolicyNeeds;
  readonly #reflectors: Pick<Reflector<unknown>, 'synced' | 'failure' | 'stop' | 'status'>[] = [];
  readonly #abort = new AbortController();
  #failure: string | undefined;
  #peers: Promise<unknown> | undefined;

  constructor(options: ClusterWatchOptions, needs: PolicyNeeds) {
    this.#options = options;
    this.#needs = needs;
  }

  /** Begins to read. Settles when what is there has been read once, or when stopped. */
  async start(api: KubernetesApi): Promise<void> {
    const { enforced, policies, pods } = this.#needs;
    if (enforced) this.#options.readiness.block(BLOCKER, () => this.#waitingFor());
    if (pods) this.#watchPeers(api);
    if (policies) await Promise.all([this.#watchNetworkPolicies(api), this.#findMeshPolicies(api)]);
    await this.#peers;
    this.#options.readiness.clear(BLOCKER);
  }

  get status(): readonly WatchStatus[] {
    return this.#reflectors.map(({ status }) => status);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
  }

  #watchNetworkPolicies(api: KubernetesApi): Promise<void> {
    const resource = { path: '/apis/networking.k8s.io/v1/networkpolicies' };
    return this.#watch(api, 'networkpolicies', resource, trimNetworkPolicy, (changes) => {
      this.#options.tell({ kind: 'networkpolicies', changes });
      if (changes.some(({ key, object }) => object !== undefined && key !== OWN_POLICY)) this.#watchPeers(api);
    });
  }

  /** Settles when MeshPolicies have been read, or the server says that it has none: then it is asked again from time to time. */
  async #findMeshPolicies(api: KubernetesApi): Promise<void> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt += 1) {
      const served = await this.#servesMeshPolicies(api);
      if (served === true) return this.#watchMeshPolicies(api);
      if (served === false) {
        this.#options.tell({ kind: 'read', what: 'meshpolicies' });
        void this.#findLater(api);
        return;
      }
      await this.#pause(jitteredBackoffMs(attempt, BACKOFF, this.#options.random));
    }
  }

  async #findLater(api: KubernetesApi): Promise<void> {
    while (!this.#abort.signal.aborted) {
      await this.#pause(LOOK_AGAIN_MS);
      if ((await this.#servesMeshPolicies(api)) === true) return this.#watchMeshPolicies(api);
    }
  }

  #watchMeshPolicies(api: KubernetesApi): Promise<void> {
    return this.#watch(api, 'meshpolicies', { path: `${MESH_GROUP}/meshpolicies` }, trimMeshPolicy, (changes) => {
      this.#options.tell({ kind: 'meshpolicies', changes });
      this.#watchPeers(api);
    });
  }

  /** Undefined where the server does not say. */
  async #servesMeshPolicies(api: KubernetesApi): Promise<boolean | undefined> {
    try {
      const { signal } = this.#abort;
      const { resources } = (await api.request({ method: 'GET', path: MESH_GROUP, signal })) as {
        resources?: readonly { readonly name: string }[];
      };
      return resources?.some(({ name }) => name === 'meshpolicies') === true;
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      return error instanceof KubernetesError && error.status === 404 ? false : undefined;
    }
  }

  #pause(ms: number): Promise<void> {
    return delay(ms, undefined, { signal: this.#abort.signal, ref: false }).catch(() => {});
  }

  #watchPeers(api: KubernetesApi): void {
    this.#peers ??= Promise.all([
      this.#watch(api, 'namespaces', { path: '/api/v1/namespaces' }, trimNamespace, (changes) =>
        this.#options.tell({ kind: 'namespaces', changes }),
      ),
      this.#watch(api, 'clusterpods', { path: '/api/v1/pods', name: 'clusterpods' }, policyPodTrim(), (changes) =>
        this.#options.tell({ kind: 'clusterpods', changes }),
      ),
    ]);
  }

  /** Settles when all has been told once, or when stopped. */
  async #watch<T>(
    api: KubernetesApi,
    what: PolicyKind,
    resource: ReflectorOptions<T>['resource'],
    trim: ReflectorOptions<T>['trim'],
    apply: (changes: readonly ObjectChange<T>[]) => void,
  ): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { tell, metrics, log, now, random } = this.#options;
    const reflector = new Reflector<T>({ api, resource, trim, metrics, log, now, random });
    this.#reflectors.push(reflector);
    reflector.onChange(apply);
    reflector.start();
    const synced = await reflector.whenSynced().then(
      () => true,
      () => false,
    );
    if (synced) tell({ kind: 'read', what });
  }

  #waitingFor(): string {
    return (
      this.#reflectors.find(({ synced }) => !synced)?.failure ?? this.#failure ?? 'the first list has not been read yet'
    );
  }
}
