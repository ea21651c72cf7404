/** Something that is counted by who causes it: an address. Addresses with nothing to their account cost nothing. */
export class SourceCounts {
  readonly #counts = new Map<string, number>();

  of(address: string): number {
    return this.#counts.get(address) ?? 0;
  }

  /** Adds, or takes away what is negative. */
  add(address: string, amount: number): void {
    const sum = this.of(address) + amount;
    if (sum > 0) this.#counts.set(address, sum);
    else this.#counts.delete(address);
  }
}
