import { BlockList, isIP } from 'node:net';

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
  ['fd00:ec2::254', 128, 'ipv6', 'a cloud metadata address'],
  ['0.0.0.0', 8, 'ipv4', 'not a destination'],
  ['::', 128, 'ipv6', 'not a destination'],
  ['224.0.0.0', 3, 'ipv4', 'a multicast or reserved address'],
  ['ff00::', 8, 'ipv6', 'a multicast address'],
];

const GUARDED = NEVER.map(([address, prefix, family, why]) => {
  const list = new BlockList();
  list.addSubnet(address, prefix, family);
  return { list, why };
});

export interface EgressRules {
  readonly allowed: boolean;
  /** Addresses of this host: its listeners and those of its kubelet are no destinations for pods. */
  readonly ownAddresses: readonly string[];
}

/**
 * Why an address may not be connected to for a pod; undefined where it may. To be asked of the address that is connected
 * to, after DNS, so that a name that resolves to it is refused as well.
 */
export function egressRefusal(address: string, rules: EgressRules): string | undefined {
  if (!rules.allowed) return 'the config says egress: deny';
  const plain = address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address;
  const family = isIP(plain) === 6 ? 'ipv6' : 'ipv4';
  const guarded = GUARDED.find(({ list }) => list.check(plain, family));
  if (guarded !== undefined) return `${plain} is ${guarded.why}`;
  if (rules.ownAddresses.includes(plain)) return `${plain} is this node's own address`;
  return undefined;
}
