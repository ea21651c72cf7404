import { isIP } from 'node:net';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import type { EgressGuard } from '../policy/egress-guard.ts';
import type { Binding, Endpoint } from './endpoint.ts';

/** Time for which an answer of DNS is used; the system's resolver does not say how long it may be. */
const FRESH_MS = 5_000;
const MAX_NAMES = 4_096;

export interface EgressNamesOptions {
  /** All addresses of a name. Rejects with the resolver's error. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly guard: EgressGuard;
  /** The proxy that everything outside is reached through, where there is one. */
  readonly parentProxy: { readonly host: string; readonly port: number } | undefined;
  readonly now: () => number;
}

/** Something outside the cluster, and whether it is asked of the parent proxy instead of itself. */
export interface EgressBinding extends Binding {
  /** What was asked for; undefined where the parent proxy is one for all. */
  readonly outside: { readonly host: string; readonly port: number } | undefined;
  readonly viaParent: boolean;
}

/** An address that a name outside leads to. */
export interface EgressAddress {
  readonly ip: string;
  /** Why the guard does not let it be connected to; undefined where it does, or where that is the parent proxy's to decide. */
  readonly refusal: string | undefined;
}

export interface EgressFinding {
  readonly addresses: readonly EgressAddress[];
  /** ProxyError where no address may be connected to. */
  readonly binding: EgressBinding | ProxyError;
}

/** Names outside the cluster: DNS, then the egress guard over what it answered, so that no name leads to a guarded address. */
export class EgressNames {
  readonly #options: EgressNamesOptions;
  readonly #known = new Map<string, { readonly until: number; readonly binding: Promise<EgressBinding> }>();

  constructor(options: EgressNamesOptions) {
    this.#options = options;
  }

  /** Rejects with ProxyError egress_refused or unknown_name. */
  find(host: string, port: number): Promise<EgressBinding> {
    const key = keyOf(host, port);
    const now = this.#options.now();
    const known = this.#known.get(key);
    if (known !== undefined && known.until > now) return known.binding;
    if (this.#known.size >= MAX_NAMES) this.#known.clear();
    const binding = this.#lookUp(key, host, port);
    this.#known.set(key, { until: now + FRESH_MS, binding });
    return binding;
  }

  /**
   * What `find` finds, with every address that DNS gave, refused or not. Nothing of it is kept. Rejects as `find` does, but where
   * it is the addresses that are refused.
   */
  async explain(host: string, port: number): Promise<EgressFinding> {
    const addresses = await this.#addresses(host, port);
    try {
      return { addresses, binding: this.#bind(keyOf(host, port), host, port, addresses) };
    } catch (error) {
      return { addresses, binding: asProxyError(error) };
    }
  }

  async #lookUp(key: string, host: string, port: number): Promise<EgressBinding> {
    return this.#bind(key, host, port, await this.#addresses(host, port));
  }

  #bind(key: string, host: string, port: number, found: readonly EgressAddress[]): EgressBinding {
    const { parentProxy } = this.#options;
    const open = found.filter(({ refusal }) => refusal === undefined).map(({ ip }) => ip);
    if (parentProxy !== undefined) return egressBinding('egress/parent', open, parentProxy.port, undefined);
    if (open.length === 0) {
      throw new ProxyError('egress_refused', `"${host}": ${found[0]?.refusal ?? 'it has no address'}`);
    }
    return egressBinding(key, open, port, { host, port });
  }

  /** Of the name, or of the parent proxy. */
  async #addresses(host: string, port: number): Promise<readonly EgressAddress[]> {
    const { guard, parentProxy } = this.#options;
    const refusal = guard.refusesName(host) ?? (isIP(host) === 0 ? undefined : guard.refusesAddress(host, host, port));
    if (refusal !== undefined) throw new ProxyError('egress_refused', `"${host}": ${refusal}`);
    if (parentProxy !== undefined) {
      // What a name resolves to is the parent's to find out: its own rules guard what it can reach.
      const addresses = isIP(parentProxy.host) === 0 ? await this.#resolve(parentProxy.host) : [parentProxy.host];
      return addresses.map((ip) => ({ ip, refusal: undefined }));
    }
    const addresses = isIP(host) === 0 ? await this.#resolve(host) : [host];
    return addresses.map((ip) => ({ ip, refusal: guard.refusesAddress(host, ip, port) }));
  }

  async #resolve(host: string): Promise<readonly string[]> {
    try {
      return await this.#options.resolve(host);
    } catch (error) {
      const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      throw new ProxyError('unknown_name', `"${host}" is no Service, and DNS does not know it (${why})`);
    }
  }
}

function keyOf(host: string, port: number): string {
  return `egress/${host}:${port}`;
}

function egressBinding(
  key: string,
  addresses: readonly string[],
  port: number,
  outside: EgressBinding['outside'],
): EgressBinding {
  const endpoints: readonly Endpoint[] = addresses.map((ip) => ({
    ip,
    port,
    nodeName: undefined,
    pod: undefined,
    hostname: undefined,
    zone: undefined,
  }));
  const full = `${key}/${addresses.join()}`;
  return {
    key: full,
    namespace: '',
    service: 'egress',
    version: 0,
    endpoints: () => endpoints,
    outside,
    viaParent: outside === undefined,
  };
}
