import type { Binding } from '../naming/endpoint.ts';
import { type Gateway, gatewaysByNode } from '../naming/transformers/daemonset.ts';
import type { GatewaySource } from '../naming/transformers/transform.ts';

/** The daemons of a cluster as the endpoints of their own Service's incoming port, arranged by node when they change. */
export class Gateways implements GatewaySource {
  readonly #binding: Binding;
  #seenVersion: number | undefined;
  #byNode: ReadonlyMap<string, Gateway> = new Map();
  #addresses: ReadonlySet<string> = new Set();

  constructor(binding: Binding) {
    this.#binding = binding;
  }

  get version(): number {
    return this.#binding.version;
  }

  byNode(): ReadonlyMap<string, Gateway> {
    this.#refresh();
    return this.#byNode;
  }

  /** Whether an address is a daemon's. */
  has(address: string): boolean {
    this.#refresh();
    return this.#addresses.has(address);
  }

  #refresh(): void {
    const { version } = this.#binding;
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    this.#byNode = gatewaysByNode(this.#binding.endpoints());
    this.#addresses = new Set([...this.#byNode.values()].map((gateway) => gateway.ip));
  }
}
