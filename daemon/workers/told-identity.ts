import type { Identity, IdentitySource } from '../identity/identity.ts';

/** The daemon's identity as another thread has obtained it. */
export class ToldIdentity implements IdentitySource {
  readonly #listeners: (() => void)[] = [];
  #current: Identity | undefined;

  get current(): Identity | undefined {
    return this.#current;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  set(identity: Identity | undefined): void {
    this.#current = identity;
    for (const listener of this.#listeners) listener();
  }
}
