import { trimNamespace } from '../../lib/kubernetes/namespace.ts';
import { trimNetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import { policyPodTrim } from '../../lib/kubernetes/policy-pod.ts';
import { Reflector, type ReflectorOptions } from '../../lib/kubernetes/reflector.ts';
import type { KubernetesApi, ObjectChange } from '../../lib/kubernetes/types.ts';
import { OWN_POLICY, type PolicyKind } from '../policy/policy-view.ts';
import type { ClusterWatchOptions } from './cluster-watch.ts';

const BLOCKER = 'policies';

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
 * Tells the cluster's NetworkPolicies, and from the first one on what they speak of: namespaces, and the pods of all nodes. A
 * cluster without policies so costs no memory. Once begun, these watches last.
 */
export class PolicyWatch {
  readonly #options: ClusterWatchOptions;
  readonly #needs: PolicyNeeds;
  readonly #reflectors: Pick<Reflector<unknown>, 'synced' | 'failure' | 'stop'>[] = [];
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
    if (policies) {
      const resource = { path: '/apis/networking.k8s.io/v1/networkpolicies' };
      await this.#watch(api, 'networkpolicies', resource, trimNetworkPolicy, (changes) => {
        this.#options.tell({ kind: 'networkpolicies', changes });
        if (changes.some(({ key, object }) => object !== undefined && key !== OWN_POLICY)) this.#watchPeers(api);
      });
    }
    await this.#peers;
    this.#options.readiness.clear(BLOCKER);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.stop()));
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
    return this.#reflectors.find(({ synced }) => !synced)?.failure ?? 'the first list has not been read yet';
  }
}
