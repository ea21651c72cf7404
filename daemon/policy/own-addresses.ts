import type { NetworkInterfaceInfo } from 'node:os';

/** Interfaces come and go (a pod network's bridge is made for the first pod), and are looked at again after this long. */
const FRESH_MS = 5_000;

/** This host's own addresses, as its interfaces have them now. */
export class OwnAddresses {
  readonly #nodeIp: string | undefined;
  readonly #interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>;
  readonly #now: () => number;
  #addresses: ReadonlySet<string> = new Set();
  #freshUntil = Number.NEGATIVE_INFINITY;

  /** `now` in ms, monotonic. */
  constructor(nodeIp: string | undefined, interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]>, now: () => number) {
    this.#nodeIp = nodeIp;
    this.#interfaces = interfaces;
    this.#now = now;
  }

  has(address: string): boolean {
    const now = this.#now();
    if (now >= this.#freshUntil) {
      this.#freshUntil = now + FRESH_MS;
      const found = Object.values(this.#interfaces()).flatMap((all) => (all ?? []).map((one) => one.address));
      this.#addresses = new Set(this.#nodeIp === undefined ? found : [this.#nodeIp, ...found]);
    }
    return this.#addresses.has(address);
  }
}
