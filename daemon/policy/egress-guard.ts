import { BlockList, isIP } from 'node:net';
import { canonicalAddress, dotted } from '../http/request-target.ts';

/**
 * Addresses that a pod must not reach through its node's proxy although the proxy could: the host's own loopback, link-local
 * (which holds the clouds' metadata services), the unspecified address, multicast. The daemon is on the host's network, so
 * without this each of them would be opened to every pod.
 */
const NEVER: readonly (readonly [string, number, 'ipv4' | 'ipv6', string])[] = [
  ['127.0.0.0', 8, 'ipv4', 'a loopback address of the node'],
  ['::1', 128, 'ipv6', 'a loopback address of the node'],
  ['169.254.0.0', 16, 'ipv4', 'a link-local or cloud metadata address'],
  ['fe80::', 10, 'ipv6', 'a link-local address'],
  ['100.100.100.200', 32, 'ipv4', 'a cloud metadata address'], // Alibaba
  ['168.63.129.16', 32, 'ipv4', 'a cloud metadata address'], // Azure's host agent
  ['192.0.0.192', 32, 'ipv4', 'a cloud metadata address'], // Oracle, classic
  ['fd00:ec2::', 32, 'ipv6', 'a cloud metadata address'], // AWS: ::254, and ::23 for pod identity
  ['fd20:ce::254', 128, 'ipv6', 'a cloud metadata address'], // Google
  ['fd00:c1::a9fe:a9fe', 128, 'ipv6', 'a cloud metadata address'], // Oracle
  ['fd00:42::42', 128, 'ipv6', 'a cloud metadata address'], // Scaleway
  ['0.0.0.0', 8, 'ipv4', 'not a destination'],
  ['::', 96, 'ipv6', 'not a destination'],
  ['224.0.0.0', 3, 'ipv4', 'a multicast or reserved address'],
  ['ff00::', 8, 'ipv6', 'a multicast address'],
];

const GUARDED = NEVER.map(([address, prefix, family, why]) => {
  const list = new BlockList();
  list.addSubnet(address, prefix, family);
  return { list, why };
});

/** What listens on every node for the cluster's own use (Kubernetes, "Ports and Protocols"). */
const NODE_AGENT_PORTS: ReadonlyMap<number, string> = new Map([
  [10248, "the kubelet's health port"],
  [10249, "kube-proxy's metrics port"],
  [10250, "the kubelet's port"],
  [10255, "the kubelet's read-only port"],
  [10256, "kube-proxy's health port"],
]);
/** Where Services of type NodePort are reached; the API server's default for --service-node-port-range. */
const NODE_PORTS = { first: 30_000, last: 32_767 };

/** What a port of a node is that the mesh opens for nobody by itself; undefined for any other. */
export function nodePortPurpose(port: number): string | undefined {
  if (port >= NODE_PORTS.first && port <= NODE_PORTS.last) return 'in the range of node ports';
  return NODE_AGENT_PORTS.get(port);
}

/** Which addresses are nodes', in their canonical spelling. */
export interface NodeLookup {
  has(address: string): boolean;
  /** Nodes are reached from their pods by addresses of the pods' network, too. */
  inPodNetwork(address: string): boolean;
}

const NO_NODES: NodeLookup = { has: () => false, inPodNetwork: () => false };

/** What the config says of destinations outside the cluster. */
export interface EgressConfig {
  /** For names and addresses that are not listed. */
  readonly default: 'allow' | 'deny';
  /** Names (`api.example.com`, `*.example.com`) and networks (addresses or CIDRs). */
  readonly allow: readonly string[];
  /** The proxy that everything outside is reached through. */
  readonly parentProxy?: { readonly host: string; readonly port: number } | undefined;
}

/** Decides which destinations outside the cluster a pod may reach through its node's daemon. */
export class EgressGuard {
  readonly #default: 'allow' | 'deny';
  readonly #names = new Set<string>();
  readonly #suffixes: string[] = [];
  readonly #networks = new BlockList();
  readonly #isDaemon: (address: string) => boolean;
  readonly #nodes: NodeLookup;

  /** `isDaemon`: whether an address is this host's own, or another daemon's: their listeners and kubelets are no destinations. */
  constructor(config: EgressConfig, isDaemon: (address: string) => boolean, nodes: NodeLookup = NO_NODES) {
    this.#default = config.default;
    this.#isDaemon = isDaemon;
    this.#nodes = nodes;
    for (const entry of config.allow) {
      const [address = '', prefix] = entry.toLowerCase().split('/');
      if (isIP(address) !== 0)
        this.#networks.addSubnet(address, prefix === undefined ? bits(address) : Number(prefix), family(address));
      else if (address.startsWith('*.')) this.#suffixes.push(address.slice(1));
      else this.#names.add(address);
    }
  }

  /** Why a name may not be asked for at all; undefined where it may, or where its addresses decide. */
  refusesName(host: string): string | undefined {
    if (this.#default === 'allow' || isIP(host) !== 0 || this.#listed(host)) return undefined;
    return 'it is no Service, and the config does not list it under egress.allow';
  }

  /**
   * Why an address may not be connected to for a pod that asked for `host`; undefined where it may. To be asked of the
   * address that is connected to, after DNS, so that a name that resolves to a guarded one is refused as well.
   */
  refusesAddress(host: string, address: string, port: number): string | undefined {
    const plain = innermost(canonicalAddress(address));
    if (this.#networks.check(plain, family(plain))) return undefined;
    const guarded = GUARDED.find(({ list }) => list.check(plain, family(plain)));
    if (guarded !== undefined) return `${plain} is ${guarded.why}`;
    if (this.#isDaemon(plain)) return `${plain} is the address of a node`;
    const onNode = this.#nodes.has(plain)
      ? nodePortPurpose(port)
      : this.#nodes.inPodNetwork(plain)
        ? NODE_AGENT_PORTS.get(port)
        : undefined;
    if (onNode !== undefined) return `${plain} is the address of a node, and ${port} is ${onNode}`;
    if (this.#default === 'allow' || this.#listed(host)) return undefined;
    return `${plain} is not among the networks under egress.allow`;
  }

  #listed(host: string): boolean {
    return this.#names.has(host) || this.#suffixes.some((suffix) => host.endsWith(suffix));
  }
}

/** What a NAT64 gateway makes of an address with its well-known prefix (RFC 6052 §2.1); any other address as it is. */
function innermost(address: string): string {
  const translated = /^64:ff9b::([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address);
  return translated === null ? address : dotted(translated[1] as string, translated[2] as string);
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}

function bits(address: string): number {
  return isIP(address) === 6 ? 128 : 32;
}
