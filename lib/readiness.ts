/**
 * Readiness as a set of named blockers: ready when none is left, and an unready answer says what it waits for.
 * Passed in, never global, so that a test or the playground can run several processes' worth in one.
 */
export class Readiness {
  readonly #blockers = new Map<string, string | (() => string)>();
  readonly #waiters: (() => void)[] = [];

  /**
   * Adds (or renames the reason of) a blocker. `why` is read by a person: what is missing and what to look at. A function is
   * asked each time, for reasons that change.
   */
  block(name: string, why: string | (() => string)): void {
    this.#blockers.set(name, why);
  }

  /** Blocks with a reason; without one, clears. */
  report(name: string, why: string | undefined): void {
    if (why === undefined) this.clear(name);
    else this.block(name, why);
  }

  /** Removes a blocker; unknown names are ignored. */
  clear(name: string): void {
    if (!this.#blockers.delete(name) || this.#blockers.size > 0) return;
    for (const wake of this.#waiters.splice(0)) wake();
  }

  get ready(): boolean {
    return this.#blockers.size === 0;
  }

  /** What is still waited for, one `name: why` a line, in the order in which the blockers were added. */
  pending(): string[] {
    return [...this.#blockers].map(([name, why]) => `${name}: ${typeof why === 'function' ? why() : why}`);
  }

  /** Settles when no blocker is left (at once if there is none now). */
  whenReady(): Promise<void> {
    if (this.ready) return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}
