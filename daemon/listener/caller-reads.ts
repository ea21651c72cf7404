import { giveBack, LANDING, takeBuffer } from '../http/read-buffers.ts';

/**
 * Where the reads of one accepted connection go: for heads, which are worked through before the next read, to the place that
 * all share; for a body that one read does not hold, to a buffer that is the connection's as long.
 */
export class CallerReads {
  #buffer: Buffer = LANDING;
  /** A piece of the last read is still in use, until the caller is read on. */
  lent = false;

  /** The first `length` bytes of the last read. */
  take(length: number): Buffer {
    return this.#buffer.subarray(0, length);
  }

  /** Where the next read goes; `inBody`: more of a body is to come, `unpaused`: though what is in use is not free yet. */
  next(inBody: boolean, unpaused: boolean): Buffer {
    if (!inBody) this.giveBack();
    else if (this.#buffer === LANDING || (unpaused && this.lent)) this.#buffer = takeBuffer();
    return this.#buffer;
  }

  /** What is still in use is not given back: whoever read next would overwrite it. */
  giveBack(): void {
    if (this.#buffer === LANDING) return;
    if (!this.lent) giveBack(this.#buffer);
    this.#buffer = LANDING;
  }

  /** Whether the next read may overwrite them. */
  holds(bytes: Buffer): boolean {
    return bytes.buffer === this.#buffer.buffer;
  }

  /** What follows `offset`, as it stays. */
  keep(bytes: Buffer, offset: number): Buffer {
    const rest = offset === 0 ? bytes : bytes.subarray(offset);
    return this.holds(bytes) ? Buffer.from(rest) : rest;
  }
}
