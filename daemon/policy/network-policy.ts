import { type LabelSelector, unmetRequirement } from '../../lib/kubernetes/label-selector.ts';
import type { NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule } from '../../lib/kubernetes/network-policy.ts';
import type { PolicyPod } from '../../lib/kubernetes/policy-pod.ts';
import { ipBlock } from './ip-block.ts';

/**
 * networking.k8s.io/v1 NetworkPolicy as its API reference and the page "Network Policies" define it, for TCP. Pods that a policy
 * selects are isolated for the directions that it names; then what any of their policies allows is allowed, and no more.
 */

export type Direction = 'ingress' | 'egress';

/** One end of a connection. */
export interface FlowEnd {
  readonly ip: string;
  /** Undefined for whatever is no pod with an address of its own: nodes, pods on their network, the world outside. */
  readonly pod: PolicyPod | undefined;
}

/** A connection as it would be without the mesh, after Services have become pods. */
export interface Flow {
  readonly source: FlowEnd;
  readonly destination: FlowEnd;
  /** Of the destination. */
  readonly port: number;
  /** One end is the node that the other one's pod runs on: no policy stands between them. */
  readonly withinNode: boolean;
}

/** What policies say of one direction. `policies`: `namespace/name` of what decided, none where the pod is not isolated. */
export interface Verdict {
  readonly allowed: boolean;
  readonly policies: readonly string[];
}

/** A namespace's labels; undefined where it is not known. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>> | undefined;

/** A policy's texts read once. */
export interface CompiledPolicy {
  readonly namespace: string;
  /** `namespace/name`. */
  readonly key: string;
  readonly podSelector: LabelSelector;
  readonly ingress: readonly CompiledRule[] | undefined;
  readonly egress: readonly CompiledRule[] | undefined;
}

type PeerTest = (peer: FlowEnd, labelsOf: NamespaceLabels) => boolean;

interface CompiledRule {
  readonly peers: readonly PeerTest[];
  readonly ports: readonly PolicyPort[];
}

/** Reads a policy's networks and prepares its rules. */
export function compilePolicy(policy: NetworkPolicy): CompiledPolicy {
  const { namespace, name, podSelector } = policy;
  const compile = ({ peers, ports }: PolicyRule): CompiledRule => ({
    peers: peers.map((peer) => peerTest(peer, namespace)),
    ports,
  });
  const [ingress, egress] = [policy.ingress?.map(compile), policy.egress?.map(compile)];
  return { namespace, key: `${namespace}/${name}`, podSelector, ingress, egress };
}

/** All policies of a cluster at one time. What isolates a pod is found once a pod and direction. */
export class NetworkPolicySet {
  readonly #byNamespace = new Map<string, CompiledPolicy[]>();
  readonly #ingress = new WeakMap<PolicyPod, readonly CompiledPolicy[]>();
  readonly #egress = new WeakMap<PolicyPod, readonly CompiledPolicy[]>();

  constructor(policies: Iterable<CompiledPolicy>) {
    for (const policy of policies) {
      const beside = this.#byNamespace.get(policy.namespace);
      if (beside === undefined) this.#byNamespace.set(policy.namespace, [policy]);
      else beside.push(policy);
    }
    for (const policies of this.#byNamespace.values()) policies.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** The policies that select a pod and name a direction. A pod without any takes, or sends, everything. */
  isolating(pod: PolicyPod, direction: Direction): readonly CompiledPolicy[] {
    const known = direction === 'ingress' ? this.#ingress : this.#egress;
    let found = known.get(pod);
    if (found === undefined) {
      found = (this.#byNamespace.get(pod.namespace) ?? []).filter(
        (policy) => policy[direction] !== undefined && selects(policy.podSelector, pod.labels),
      );
      known.set(pod, found);
    }
    return found;
  }

  /**
   * What the policies of the destination (ingress) or of the source (egress) say of a connection; it takes both to allow it. Pods
   * cannot be kept from themselves, nor from the node that they run on.
   */
  judge(direction: Direction, flow: Flow, labelsOf: NamespaceLabels): Verdict {
    const { source, destination } = flow;
    const [own, peer] = direction === 'ingress' ? [destination, source] : [source, destination];
    if (own.pod === undefined || flow.withinNode || isSame(own.pod, peer.pod)) return NOT_ISOLATED;
    const policies = this.isolating(own.pod, direction);
    if (policies.length === 0) return NOT_ISOLATED;
    const allowing = policies.find((policy) =>
      policy[direction]?.some((rule) => allowsPort(rule, flow) && allowsPeer(rule, peer, labelsOf)),
    );
    return allowing === undefined
      ? { allowed: false, policies: policies.map(({ key }) => key) }
      : { allowed: true, policies: [allowing.key] };
  }
}

const NOT_ISOLATED: Verdict = { allowed: true, policies: [] };

/** A verdict in words, for those who run the mesh: it names policies. */
export function explainVerdict(direction: Direction, { allowed, policies }: Verdict): string {
  if (policies.length === 0) return `no NetworkPolicy isolates the pod for ${direction}`;
  if (allowed) return `allowed by ${policies[0]}`;
  return `isolated for ${direction} by ${policies.join(', ')}; none allows it`;
}

function allowsPeer({ peers }: CompiledRule, peer: FlowEnd, labelsOf: NamespaceLabels): boolean {
  return peers.length === 0 || peers.some((test) => test(peer, labelsOf));
}

/** A named port is one of the destination's containers, whichever the direction. */
function allowsPort({ ports }: CompiledRule, { destination, port: asked }: Flow): boolean {
  if (ports.length === 0) return true;
  return ports.some(({ protocol, port, endPort }) => {
    if (protocol !== 'TCP') return false;
    if (port === undefined) return true;
    if (typeof port === 'number') return asked >= port && asked <= (endPort ?? port);
    return destination.pod?.ports.some((named) => named.name === port && named.port === asked) === true;
  });
}

/** Of an address block whatever has such an address, pods too; of selectors pods alone, and without a namespaceSelector the policy's neighbours. */
function peerTest({ podSelector, namespaceSelector, ipBlock: block }: PolicyPeer, namespace: string): PeerTest {
  if (block !== undefined) {
    const holds = ipBlock(block);
    return ({ ip }) => holds(ip);
  }
  if (podSelector === undefined && namespaceSelector === undefined) return () => false;
  return ({ pod }, labelsOf) => {
    if (pod === undefined || (podSelector !== undefined && !selects(podSelector, pod.labels))) return false;
    if (namespaceSelector === undefined) return pod.namespace === namespace;
    const labels = labelsOf(pod.namespace);
    return labels !== undefined && selects(namespaceSelector, labels);
  };
}

function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  return unmetRequirement(selector, labels) === undefined;
}

function isSame(one: PolicyPod, other: PolicyPod | undefined): boolean {
  return other !== undefined && one.namespace === other.namespace && one.name === other.name;
}
