import { BlockList, isIP } from 'node:net';
import { canonicalAddress } from '../http/request-target.ts';

/** A network as policies write it: a CIDR without some that lie in it. */
export interface IpBlock {
  readonly cidr: string;
  readonly except: readonly string[];
}

/**
 * Makes the question whether an address is in a block. One family's block holds no address of the other. A text that is no CIDR
 * holds nothing; where one under `except` is none, the block holds nothing either, since nobody knows what was to stay out.
 */
export function ipBlock({ cidr, except }: IpBlock): (address: string) => boolean {
  const block = network(cidr);
  const holes = except.map(network);
  return (address) => {
    const plain = canonicalAddress(address);
    return block?.(plain) === true && holes.every((hole) => hole?.(plain) === false);
  };
}

function network(cidr: string): ((address: string) => boolean) | undefined {
  const [written = '', prefix = '', ...rest] = cidr.split('/');
  const family = isIP(written);
  const bits = Number(prefix);
  if (family === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefix) || bits > (family === 4 ? 32 : 128))
    return undefined;
  const list = new BlockList();
  list.addSubnet(written, bits, family === 4 ? 'ipv4' : 'ipv6');
  // A BlockList takes every IPv4 address to be in ::/0.
  return (address) => isIP(address) === family && list.check(address, family === 4 ? 'ipv4' : 'ipv6');
}
