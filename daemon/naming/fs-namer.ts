import type { Disco } from '../discovery/disco-directory.ts';
import type { Authority } from '../http/request-target.ts';
import type { Named, Namer } from './namer.ts';

/**
 * linkerd's io.l5d.fs: a file per name in one directory. The file named as the whole authority (`world:8080`) is taken
 * before the one named as the host alone (`world`). Names without a file are another namer's.
 */
export class FsNamer implements Namer {
  readonly kind = 'io.l5d.fs';
  readonly #disco: Disco;

  constructor(disco: Disco) {
    this.#disco = disco;
  }

  get version(): number {
    return this.#disco.namesVersion;
  }

  name(authority: Authority): Named | undefined {
    const { host, port } = authority;
    const binding =
      (port === undefined ? undefined : this.#disco.binding(`${host}:${port}`)) ?? this.#disco.binding(host);
    return binding === undefined ? undefined : { kind: 'binding', binding };
  }
}
