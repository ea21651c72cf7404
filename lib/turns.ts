import { setImmediate } from 'node:timers/promises';

/** Work that goes on for longer delays requests by more than they take themselves. */
const TURN_MS = 4;

/** Cuts long work into turns, between which the event loop does what else there is. */
export class Turns {
  #begunAt = performance.now();

  /** Asked between pieces of the work: undefined while the turn lasts, else what to await before the next piece. */
  end(): Promise<void> | undefined {
    return performance.now() - this.#begunAt < TURN_MS ? undefined : this.#next();
  }

  async #next(): Promise<void> {
    await setImmediate();
    this.#begunAt = performance.now();
  }
}
