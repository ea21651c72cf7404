import { BlockList, isIP } from 'node:net';

/** Who may use an outgoing listener. Built once from `servers[].allowedClients`. */
export interface ClientAccess {
  /** Pods of this node, by their own address. */
  readonly localPods: boolean;
  /** Whether an address is let in whatever it belongs to: loopback or a listed network. */
  admits(address: string): boolean;
}

/**
 * Reads `servers[].allowedClients`: `localPods`, `loopback`, or CIDRs (validated by the config). Where the config does
 * not say: this node's pods under Kubernetes; without it, nobody but this machine itself.
 */
export function clientAccess(allowed: readonly string[] | undefined, kubernetes: boolean): ClientAccess {
  const names = allowed ?? (kubernetes ? ['localPods'] : ['loopback']);
  const networks = new BlockList();
  for (const name of names) {
    if (name === 'loopback') {
      networks.addSubnet('127.0.0.0', 8, 'ipv4');
      networks.addAddress('::1', 'ipv6');
    } else if (name !== 'localPods') {
      const [address, prefix] = name.split('/');
      networks.addSubnet(address ?? '', Number(prefix), isIP(address ?? '') === 6 ? 'ipv6' : 'ipv4');
    }
  }
  const known = new Map<string, boolean>();
  return {
    localPods: names.includes('localPods'),
    admits(address) {
      let answer = known.get(address);
      if (answer === undefined) {
        answer = networks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
        if (known.size < REMEMBERED) known.set(address, answer);
      }
      return answer;
    },
  };
}

/** Callers repeat: as many answers as pods fit on a node many times over. */
const REMEMBERED = 4096;
