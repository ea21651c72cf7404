import type { MeshPolicy } from '../../lib/kubernetes/mesh-policy.ts';
import type { Namespace } from '../../lib/kubernetes/namespace.ts';
import type { NetworkPolicy } from '../../lib/kubernetes/network-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';
import { PodsByAddress } from '../discovery/pods-by-address.ts';
import { MeshPolicySet, type RequestRules } from './mesh-policy.ts';
import {
  type CompiledPolicy,
  compilePolicy,
  type Direction,
  type Flow,
  NetworkPolicySet,
  type Verdict,
} from './network-policy.ts';

/** What is read of the cluster for policies' sake, beside what every daemon reads. */
export const POLICY_KINDS = ['networkpolicies', 'meshpolicies', 'namespaces', 'clusterpods'] as const;
export type PolicyKind = (typeof POLICY_KINDS)[number];

/** As ClusterChange: plain values, which a thread can send to another. */
export type PolicyChange =
  | { readonly kind: 'networkpolicies'; readonly changes: readonly ObjectChange<NetworkPolicy>[] }
  | { readonly kind: 'meshpolicies'; readonly changes: readonly ObjectChange<MeshPolicy>[] }
  | { readonly kind: 'namespaces'; readonly changes: readonly ObjectChange<Namespace>[] }
  /** Pods of all nodes. */
  | { readonly kind: 'clusterpods'; readonly changes: readonly ObjectChange<PolicyPod>[] };

/**
 * The policy that every installation has, for the webhook (manifests/): it allows whatever listens there. Alone it gives nobody
 * cause to look.
 */
export const OWN_POLICY = 'nodemesh/nodemesh-webhook';

/** The policies of the cluster, and the pods that they speak of, as they were last told. */
export class PolicyView {
  readonly #localPod: (ip: string) => PolicyPod | undefined;
  readonly #pods = new PodsByAddress<PolicyPod>();
  readonly #namespaces = new Map<string, Namespace>();
  readonly #policies = new Map<string, CompiledPolicy>();
  readonly #meshPolicies = new Map<string, MeshPolicy>();
  readonly #unread = new Set<string>(POLICY_KINDS);
  #set: NetworkPolicySet | undefined;
  #meshSet: MeshPolicySet | undefined;
  #version = 0;
  #idle = false;

  /** `localPod`: a pod of this node by its address, of which this node hears first. */
  constructor(localPod: (ip: string) => PolicyPod | undefined) {
    this.#localPod = localPod;
  }

  /** Changes whenever policies or namespaces say something else of the same two pods. */
  get version(): number {
    return this.#version;
  }

  /** There is no policy that anything could depend on, and that is known. */
  get idle(): boolean {
    return this.#idle;
  }

  /** A pod of the cluster by its own address; of other nodes once those have been read. */
  pod(ip: string): PolicyPod | undefined {
    return this.#localPod(ip) ?? this.#pods.get(ip);
  }

  /** A pod of another node by its name, once those have been read. */
  podNamed(namespace: string, name: string): PolicyPod | undefined {
    return this.#pods.named(namespace, name);
  }

  apply(change: PolicyChange): void {
    if (change.kind === 'clusterpods') {
      this.#pods.apply(change.changes); // whoever keeps a verdict keeps the pods with it
      return;
    }
    this.#version += 1;
    if (change.kind === 'namespaces') {
      for (const { key, object } of change.changes) put(this.#namespaces, key, object);
      return;
    }
    if (change.kind === 'meshpolicies') {
      this.#meshSet = undefined;
      for (const { key, object } of change.changes) put(this.#meshPolicies, key, object);
    } else {
      this.#set = undefined;
      for (const { key, object } of change.changes) {
        put(this.#policies, key, object === undefined ? undefined : compilePolicy(object));
      }
    }
    this.#noteIdle();
  }

  /** All of one kind has been read once. */
  read(kind: string): void {
    if (this.#unread.delete(kind)) this.#version += 1;
    this.#noteIdle();
  }

  #noteIdle(): void {
    const others = this.#policies.size - (this.#policies.has(OWN_POLICY) ? 1 : 0) + this.#meshPolicies.size;
    this.#idle = others === 0 && !this.#unread.has('networkpolicies') && !this.#unread.has('meshpolicies');
  }

  /** What the policies say of one direction; undefined where that cannot be known yet. */
  judge(direction: Direction, flow: Flow): Verdict | undefined {
    if (this.#unread.has('networkpolicies')) return undefined;
    this.#set ??= new NetworkPolicySet(this.#policies.values());
    const { pod } = direction === 'ingress' ? flow.destination : flow.source;
    const isolated = pod !== undefined && this.#set.isolating(pod, direction).length > 0;
    if (isolated && (this.#unread.has('clusterpods') || this.#unread.has('namespaces'))) return undefined;
    return this.#set.judge(direction, flow, (name) => this.#namespaces.get(name)?.labels);
  }

  /**
   * What MeshPolicies let a source ask of a pod: 'all' where none selects it, undefined where that cannot be known yet.
   * `serves`: whether the pod is one of a Service's, by `namespace/name`.
   */
  requestRules(
    { destination, source }: Pick<Flow, 'destination' | 'source'>,
    serves: (service: string) => boolean,
  ): RequestRules | 'all' | undefined {
    if (this.#unread.has('meshpolicies')) return undefined;
    if (this.#meshPolicies.size === 0 || destination.pod === undefined) return 'all';
    this.#meshSet ??= new MeshPolicySet(this.#meshPolicies.values());
    const rules = this.#meshSet.rulesFor(destination.pod, source.pod, serves);
    if (rules === undefined) return 'all';
    return this.#unread.has('clusterpods') ? undefined : rules;
  }

  /** Whether verdicts depend on which pods are a Service's. */
  get asksServices(): boolean {
    return this.#meshPolicies.size > 0;
  }
}

function put<T>(map: Map<string, T>, key: string, value: T | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
