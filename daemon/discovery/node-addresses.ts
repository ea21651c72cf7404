import { BlockList, isIP } from 'node:net';
import type { Node } from '../../lib/kubernetes/node.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';
import { canonicalAddress } from '../http/request-target.ts';

/** Where nodes are: which addresses are theirs, whether or not a daemon runs there, and their zones. Addresses are asked for in their canonical spelling. */
export class NodeAddresses {
  readonly #nodes = new Map<string, Node>();
  /** Node by address. */
  #ips: ReadonlyMap<string, string> = new Map();
  #podNetworks = blockList([]);
  #podNetworkOfNode: readonly (readonly [node: string, BlockList])[] = [];

  apply(changes: readonly ObjectChange<Node>[]): void {
    if (changes.every(({ object, previous }) => samePlace(object, previous))) return; // most say that a node lives
    for (const { key, object } of changes) {
      if (object === undefined) this.#nodes.delete(key);
      else this.#nodes.set(key, object);
    }
    const nodes = [...this.#nodes];
    this.#ips = new Map(nodes.flatMap(([node, { ips }]) => ips.map((ip) => [canonicalAddress(ip), node] as const)));
    this.#podNetworks = blockList(nodes.flatMap(([, { podCIDRs }]) => podCIDRs));
    this.#podNetworkOfNode = nodes.map(([node, { podCIDRs }]) => [node, blockList(podCIDRs)]);
  }

  zoneOf(nodeName: string): string | undefined {
    return this.#nodes.get(nodeName)?.zone;
  }

  has(address: string): boolean {
    return this.#ips.has(address);
  }

  /** Whether it is an address of a node's pods, or one by which a node is reached from its pods. */
  inPodNetwork(address: string): boolean {
    return isIP(address) !== 0 && this.#podNetworks.check(address, family(address));
  }

  /** Whose own address it is. */
  nodeAt(address: string): string | undefined {
    return this.#ips.get(address);
  }

  /** The node in whose pod network an address is. */
  podNetworkOf(address: string): string | undefined {
    if (!this.inPodNetwork(address)) return undefined;
    return this.#podNetworkOfNode.find(([, network]) => network.check(address, family(address)))?.[0];
  }
}

function blockList(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix] = cidr.split('/');
    if (isIP(network) !== 0) list.addSubnet(network, Number(prefix), family(network));
  }
  return list;
}

function samePlace(one: Node | undefined, other: Node | undefined): boolean {
  return (
    one?.ips.join() === other?.ips.join() &&
    one?.podCIDRs.join() === other?.podCIDRs.join() &&
    one?.zone === other?.zone
  );
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
