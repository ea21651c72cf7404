import { Socket } from 'node:net';

/** What the other side said before it reset the connection is there to be read at once. */
const LAST_WORDS_MS = 500;

type Written = (error?: Error | null) => void;

/**
 * A socket that a failing write does not destroy at once. A server that answers early (413, say) and closes with part of the
 * request unread resets the connection; a write that meets the reset before the answer has been read would lose it. Reading
 * goes on, and its end ends the socket.
 */
export class PatientSocket extends Socket {
  #written: Written | undefined;
  #failed = false;

  override _write(chunk: unknown, encoding: BufferEncoding, written: Written): void {
    this.#written = written; // a stream writes once at a time, so that one function serves all writes
    super._write(chunk, encoding, this.#onWritten);
  }

  override _writev(chunks: { chunk: unknown; encoding: BufferEncoding }[], written: Written): void {
    this.#written = written;
    super._writev?.(chunks, this.#onWritten);
  }

  readonly #onWritten = (error?: Error | null): void => {
    if (error === undefined || error === null || this.destroyed || this.#failed || this.readableEnded) {
      this.#written?.(error);
      return;
    }
    this.#failed = true;
    const timer = setTimeout(() => this.destroy(error), LAST_WORDS_MS);
    this.once('close', () => clearTimeout(timer));
  };
}
