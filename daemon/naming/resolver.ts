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
   * unknown_name or unknown_port. `asked` is told of each namer that is asked, and what it said.
   */
  resolve(
    authority: string,
    callerNamespace: string | undefined,
    asked?: (namer: Namer, named: Named | undefined) => void,
  ): Named {
    const parsed = parseAuthority(authority);
    for (const namer of this.#namers) {
      const named = namer.name(parsed, callerNamespace);
      asked?.(namer, named);
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
