import type { Log } from '../lib/log.ts';
import { decideProxyAddress, hostIpFamily, type NodeAddresses, type ProxyAddress } from './proxy-address.ts';
import { SerialTask } from './serial-task.ts';

/** DNS changes without the nodes changing: an unresolved name is asked for again soon, resolved ones now and then. */
const RECHECK_UNRESOLVED_MS = 60_000;
const RECHECK_RESOLVED_MS = 600_000;
/** Look-ups at a time; getaddrinfo has four threads. */
const BATCH = 4;

export interface AutoProxyAddressOptions {
  /** All addresses of a name as a pod's libc finds them; rejects where there are none. */
  readonly lookup: (name: string) => Promise<readonly string[]>;
  readonly nodes: () => readonly NodeAddresses[];
  /** The address of this process's own pod. */
  readonly ownIp: string | undefined;
  readonly log: Log;
}

/**
 * `proxyAddress: auto`: looks every node's name up and keeps the decision current as nodes come and go. Until the first
 * look-ups are done, the host IP is used, which serves everywhere.
 */
export class AutoProxyAddress {
  readonly #options: AutoProxyAddressOptions;
  /** What each node's name resolved to, by `name ips`; forgotten at each recheck. */
  #resolved = new Map<string, readonly string[]>();
  readonly #task = new SerialTask(() => this.#decide());
  #current: ProxyAddress;
  #decided = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: AutoProxyAddressOptions) {
    this.#options = options;
    this.#current = { by: 'hostIP', family: hostIpFamily([], options.ownIp) };
  }

  get current(): ProxyAddress {
    return this.#current;
  }

  /** Decides anew; settles when that is done. Call it whenever nodes have changed. */
  check(): Promise<void> {
    return this.#task.request();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #decide(): Promise<void> {
    if (this.#stopped) return;
    const nodes = this.#options.nodes();
    const found = await this.#lookUp(nodes);
    if (this.#stopped) return;
    const { address, why } = decideProxyAddress(nodes, found, this.#options.ownIp);
    if (!this.#decided || address.by !== this.#current.by) {
      this.#options.log.info({ ...address, why }, 'how pods address the proxy of their node');
    }
    this.#current = address;
    this.#decided = true;
    clearTimeout(this.#timer);
    const delay = address.by === 'nodeName' ? RECHECK_RESOLVED_MS : RECHECK_UNRESOLVED_MS;
    this.#timer = setTimeout(() => {
      this.#resolved.clear();
      void this.check();
    }, delay);
    this.#timer.unref();
  }

  /** Asks for the names in order and stops at the first batch that decides against names. */
  async #lookUp(nodes: readonly NodeAddresses[]): Promise<Map<string, readonly string[]>> {
    const found = new Map<string, readonly string[]>();
    const kept = new Map<string, readonly string[]>();
    for (let i = 0; i < nodes.length && !this.#stopped; i += BATCH) {
      const batch = nodes.slice(i, i + BATCH);
      await Promise.all(
        batch.map(async (node) => {
          const key = `${node.name} ${node.internalIps.join(' ')}`;
          const ips = this.#resolved.get(key) ?? (await this.#options.lookup(node.name).catch(() => []));
          found.set(node.name, ips);
          if (ips.length > 0) kept.set(key, ips);
        }),
      );
      if (decideProxyAddress(batch, found, this.#options.ownIp).address.by === 'hostIP') break;
    }
    this.#resolved = kept;
    return found;
  }
}
