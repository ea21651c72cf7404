import { ChunkedDecoder } from './chunked-decoder.ts';
import type { FieldList } from './fields.ts';
import type { Framing } from './message-head.ts';

const NO_TRAILERS: FieldList = [];

/** Finds the end of one message's body by its framing (RFC 9112 §6.3) while handing its bytes on, unbuffered. */
export class BodyReader {
  readonly #chunked: ChunkedDecoder | undefined;
  readonly #untilClose: boolean;
  #remaining: number;

  constructor(framing: Framing) {
    this.#chunked = framing.kind === 'chunked' ? new ChunkedDecoder() : undefined;
    this.#untilClose = framing.kind === 'close';
    this.#remaining = framing.kind === 'length' ? framing.length : 0;
  }

  get done(): boolean {
    if (this.#chunked !== undefined) return this.#chunked.done;
    return !this.#untilClose && this.#remaining === 0;
  }

  /** Whether the connection's end is this body's proper end; anywhere else it is a truncation (RFC 9112 §8). */
  get endsWithConnection(): boolean {
    return this.#untilClose;
  }

  get trailers(): FieldList {
    return this.#chunked?.trailers ?? NO_TRAILERS;
  }

  /**
   * Takes bytes from `offset` on and calls `onData` with each piece of the body.
   * Gives the offset of the first byte after the message. Throws ProxyError on a malformed chunk.
   */
  read(bytes: Buffer, offset: number, onData: (piece: Buffer) => void): number {
    if (this.#chunked !== undefined) return this.#chunked.decode(bytes, offset, onData);
    const end = this.#untilClose ? bytes.length : Math.min(bytes.length, offset + this.#remaining);
    if (end > offset) {
      this.#remaining -= this.#untilClose ? 0 : end - offset;
      onData(offset === 0 && end === bytes.length ? bytes : bytes.subarray(offset, end));
    }
    return end;
  }
}
