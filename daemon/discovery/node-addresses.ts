import { BlockList, isIP } from 'node:net';
import type { Node } from '../../lib/kubernetes/node.ts';
import type { ObjectChange } from '../../lib/kubernetes/types.ts';
import { canonicalAddress } from '../http/request-target.ts';

/** Where nodes are: which addresses are theirs, whether or not a daemon runs there, and their zones. Addresses are asked for in their canonical spelling. */
export class NodeAddresses {
  readonly #nodes = new Map<string, Node>();
  #ips: ReadonlySet<string> = new Set();
  #podNetworks = new BlockList();

  apply(changes: readonly ObjectChange<Node>[]): void {
    if (changes.every(({ object, previous }) => samePlace(object, previous))) return; // most say that a node lives
    for (const { key, object } of changes) {
      if (object === undefined) this.#nodes.delete(key);
      else this.#nodes.set(key, object);
    }
    const nodes = [...this.#nodes.values()];
    this.#ips = new Set(nodes.flatMap(({ ips }) => ips.map(canonicalAddress)));
    this.#podNetworks = new BlockList();
    for (const cidr of nodes.flatMap(({ podCIDRs }) => podCIDRs)) {
      const [network = '', prefix] = cidr.split('/');
      if (isIP(network) !== 0) this.#podNetworks.addSubnet(network, Number(prefix), family(network));
    }
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
