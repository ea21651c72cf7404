import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 50;
const REMIND_MS = 5_000;

/** Says what happens, with the seconds since the start, and waits for things while saying what it waits for. */
export class Steps {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #startedAt: number;

  /** `now` gives milliseconds of any clock that only goes forward. */
  constructor(write: (line: string) => void, now: () => number) {
    this.#write = write;
    this.#now = now;
    this.#startedAt = now();
  }

  get elapsedSeconds(): number {
    return (this.#now() - this.#startedAt) / 1000;
  }

  say(text: string): void {
    this.#write(`${this.elapsedSeconds.toFixed(1).padStart(5)} s  ${text}`);
  }

  /** A further line of the last step. */
  more(text = ''): void {
    this.#write(text === '' ? '' : `         ${text}`);
  }

  /**
   * Waits until `missing` gives undefined; until then it gives what is missing, which is shown now and then. Throws an
   * Error with it after `limitMs`, or at once when `hopeless` gives a reason.
   */
  async wait(
    missing: () => string | undefined,
    limitMs: number,
    hopeless: () => string | undefined = () => undefined,
  ): Promise<void> {
    const from = this.#now();
    let remindAt = from + REMIND_MS;
    for (let what = missing(); what !== undefined; what = missing()) {
      const reason = hopeless();
      if (reason !== undefined) throw new Error(reason);
      const now = this.#now();
      if (now - from > limitMs) throw new Error(`still not there after ${limitMs / 1000} s: ${what}`);
      if (now > remindAt) {
        this.say(`… still waiting: ${what}`);
        remindAt = now + REMIND_MS;
      }
      await delay(POLL_MS);
    }
  }
}
