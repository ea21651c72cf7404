/** How many series all families of a registry may have together. */
export class Room {
  used = 0;
  /** How often there was none. */
  refused = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** Whether there is room for one more. */
  take(): boolean {
    if (this.used < this.#max) return true;
    this.refused += 1;
    return false;
  }
}
