import type { FieldList } from '../http/fields.ts';

/** Bodies up to this size are kept for a further attempt (linkerd2's limit). */
export const REPLAY_BYTES = 64 * 1024;

/** What has come of a request's body, for a further attempt. */
export class ReplayBuffer {
  /** Undefined once it is too large or nothing will be sent again. */
  #pieces: Buffer[] | undefined = [];
  #bytes = 0;
  #trailers: FieldList | undefined;

  /** Whether the whole body so far is at hand. */
  get replayable(): boolean {
    return this.#pieces !== undefined;
  }

  get ended(): boolean {
    return this.#trailers !== undefined;
  }

  /** `sent`: the piece goes out at the same time; else it must be kept whatever its size. Gives false when no more should come. */
  add(piece: Buffer, sent: boolean): boolean {
    if (this.#pieces !== undefined) {
      this.#bytes += piece.length;
      if (this.#bytes > REPLAY_BYTES && sent) this.#pieces = undefined;
      else this.#pieces.push(piece);
    }
    return this.#bytes < REPLAY_BYTES;
  }

  end(trailers: FieldList): void {
    this.#trailers = trailers;
  }

  /** The answer has begun: nothing will be sent again. */
  forget(): void {
    this.#pieces = undefined;
  }

  /** Sends all of it so far. */
  replay(into: { write(piece: Buffer): boolean; end(trailers: FieldList): void; flush(): void }): void {
    for (const piece of this.#pieces ?? []) into.write(piece);
    if (this.#trailers === undefined) into.flush();
    else into.end(this.#trailers);
  }
}
