import type { BodyPiece } from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';

/** Bodies up to this size are kept for a further attempt (linkerd2's limit). */
export const REPLAY_BYTES = 64 * 1024;
/** Up to this size a piece is kept and sent as text: cheaper than a buffer of its own, and it leaves with its head. */
const TEXT_BYTES = 8 * 1024;

/** What has come of a request's body, for a further attempt. */
export class ReplayBuffer {
  #pieces: BodyPiece[] | undefined;
  /** It is too large, or nothing will be sent again. */
  #forgotten = false;
  #bytes = 0;
  #trailers: FieldList | undefined;

  /** Whether the whole body so far is at hand. */
  get replayable(): boolean {
    return !this.#forgotten;
  }

  get ended(): boolean {
    return this.#trailers !== undefined;
  }

  /** Whether no more should come for now. */
  get full(): boolean {
    return this.#bytes >= REPLAY_BYTES;
  }

  /**
   * Keeps a piece as long as the body may be sent again; `sent`: it goes out at the same time, else it is kept whatever its
   * size. `lent`: it is overwritten afterwards. Gives what to send, which is lent as well where it is the piece itself.
   */
  add(piece: Buffer, sent: boolean, lent: boolean): BodyPiece {
    this.#bytes += piece.length;
    if (this.#bytes > REPLAY_BYTES && sent) this.forget();
    if (piece.length <= TEXT_BYTES) return this.#keep(piece.toString('latin1'));
    return this.#keep(lent && !this.#forgotten ? Buffer.from(piece) : piece);
  }

  #keep(piece: BodyPiece): BodyPiece {
    if (this.#forgotten) return piece;
    this.#pieces ??= [];
    this.#pieces.push(piece);
    return piece;
  }

  end(trailers: FieldList): void {
    this.#trailers = trailers;
  }

  /** The answer has begun: nothing will be sent again. */
  forget(): void {
    this.#forgotten = true;
    this.#pieces = undefined;
  }

  /** Sends all of it so far. */
  replay(into: { write(piece: BodyPiece): boolean; end(trailers: FieldList): void; flush(): void }): void {
    for (const piece of this.#pieces ?? []) into.write(piece);
    if (this.#trailers === undefined) into.flush();
    else into.end(this.#trailers);
  }
}
