/** What can be out for its failures. */
export interface Ejectable {
  readonly out: boolean;
  /** It is in again, whatever it did. */
  readmit(): void;
}

/**
 * Which pods of one Service are out for their failures: never more than half of them (Envoy's `max_ejection_percent`, 50), and so
 * never the only one. What all pods do alike is not theirs, and putting them out would give the load of all to a few.
 */
export class EjectionLimit {
  readonly #onPanic: () => void;
  readonly #onTurn: (to: 'out' | 'ready') => void;
  readonly #out = new Set<Ejectable>();
  #most = 0;

  /** `onPanic` is told of each pod that stays in, or comes back, for this alone; `onTurn` of each that is put out, and that comes back. */
  constructor(onPanic: () => void, onTurn: (to: 'out' | 'ready') => void = () => {}) {
    this.#onPanic = onPanic;
    this.#onTurn = onTurn;
  }

  /** So many pods there are now; of those that are out, the first ones come back until half are in. */
  resize(pods: number): void {
    this.#most = Math.floor(pods / 2);
    for (const one of this.#out) {
      if (this.#out.size <= this.#most) return;
      one.readmit();
      this.#onPanic();
    }
  }

  /** One more is to be out; gives false where it must stay in. */
  eject(one: Ejectable): boolean {
    if (this.#out.size < this.#most) {
      this.#out.add(one);
      this.#onTurn('out');
      return true;
    }
    this.#onPanic();
    return false;
  }

  /** It is in again, or gone. */
  release(one: Ejectable): void {
    if (this.#out.delete(one) && !one.out) this.#onTurn('ready');
  }
}
