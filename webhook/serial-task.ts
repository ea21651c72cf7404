/**
 * A task of which one run is under way at a time. A request during a run is served by one more run after it, shared by
 * all who ask meanwhile, so that whoever asks gets a run that began after the asking and sees what it saw.
 */
export class SerialTask {
  readonly #run: () => Promise<void>;
  #running: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;

  /** `run` must not reject. */
  constructor(run: () => Promise<void>) {
    this.#run = run;
  }

  /** Settles when a run that began after this call has ended. */
  request(): Promise<void> {
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined;
      this.#running = this.#run();
      return this.#running;
    });
    return this.#waiting;
  }

  /** Settles when nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#waiting;
    await this.#running;
  }
}
