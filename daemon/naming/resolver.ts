import { ProxyError } from '../http/proxy-error.ts';
import { parseAuthority } from '../http/request-target.ts';
import { egressName, type Named, type Namer } from './namer.ts';

/** Asks a router's namers in turn what an authority means. */
export class Resolver {
  readonly #namers: readonly Namer[];

  constructor(namers: readonly Namer[]) {
    this.#namers = namers;
  }

  /** Changes whenever a name may mean something else than it did. */
  get version(): number {
    let sum = 0;
    for (const namer of this.#namers) sum += namer.version;
    return sum;
  }

  /**
   * What an authority means to a caller of that namespace: endpoints, or a name outside. Throws ProxyError bad_authority,
   * unknown_name or unknown_port.
   */
  resolve(authority: string, callerNamespace: string | undefined): Named {
    const parsed = parseAuthority(authority);
    for (const namer of this.#namers) {
      const named = namer.name(parsed, callerNamespace);
      if (named !== undefined) return named;
    }
    if (!parsed.isAddress && !parsed.host.includes('.')) {
      throw new ProxyError(
        'unknown_name',
        `no namer knows "${parsed.host}", and a name without a dot has no place outside`,
      );
    }
    return egressName(parsed);
  }
}
