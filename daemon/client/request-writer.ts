import type { Socket } from 'node:net';
import { lastChunk } from '../http/chunked-decoder.ts';
import { type BodyPiece, COPIED_BYTES } from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import type { Framing } from '../http/message-head.ts';

/** Writes requests to one connection, one after the other, in as few writes as their pieces allow. */
export class RequestWriter {
  readonly #socket: Socket;
  readonly #onWritable: () => void;
  /** Text that waits to leave together with what follows it. */
  #held = '';
  #chunked = false;
  /** An empty write waits behind the others, to tell when they are done. */
  #telling = false;
  /** Whether the request is complete. */
  sent = false;

  /** `onWritable`: more of the body can be taken, after `write` gave false. It may be called once too often. */
  constructor(socket: Socket, onWritable: () => void) {
    this.#socket = socket;
    this.#onWritable = onWritable;
  }

  /**
   * Begins a request. `headText` is the request line and all fields but the framing's, each line ending in CRLF; the
   * framing's field and the empty line are added here, so that a body is always framed.
   */
  begin(headText: string, framing: Framing): void {
    this.#chunked = framing.kind === 'chunked';
    this.sent = false;
    if (framing.kind === 'length') this.#held = `${headText}Content-Length: ${framing.length}\r\n\r\n`;
    else if (framing.kind === 'chunked') this.#held = `${headText}Transfer-Encoding: chunked\r\n\r\n`;
    else this.#held = `${headText}\r\n`;
  }

  /** Sends a piece of the request's body; gives false when no more should come until `onWritable`. */
  write(piece: BodyPiece): boolean {
    if (typeof piece === 'string') return this.#hold(piece);
    const socket = this.#socket;
    const before = this.#chunked ? `${this.#held}${piece.length.toString(16)}\r\n` : this.#held;
    this.#held = '';
    if (before === '') {
      socket.write(piece);
      return this.#allWritten();
    }
    const after = this.#chunked ? 2 : 0;
    if (piece.length < COPIED_BYTES) {
      const joined = Buffer.allocUnsafe(before.length + piece.length + after);
      joined.write(before, 0, 'latin1');
      piece.copy(joined, before.length);
      if (after > 0) joined.write('\r\n', before.length + piece.length, 'latin1');
      return socket.write(joined);
    }
    socket.cork();
    socket.write(before, 'latin1');
    socket.write(piece);
    if (after > 0) socket.write('\r\n', 'latin1');
    socket.uncork();
    return this.#allWritten();
  }

  /** Sends out a head that is held back for its body, when none has come with it. */
  flush(): void {
    if (this.#held === '') return;
    const text = this.#held;
    this.#held = '';
    this.#socket.write(text, 'latin1');
  }

  /** The request is complete. */
  end(trailers: FieldList): void {
    if (this.#chunked) this.#held += lastChunk(trailers);
    this.flush();
    this.sent = true;
  }

  /** Else `onWritable` follows: 'drain' comes only after more than a high-water mark, an empty write behind all others. */
  #allWritten(): boolean {
    if (this.#socket.writableLength === 0) return true;
    if (!this.#telling) {
      this.#telling = true;
      // An empty write has TLS read on at once, into the place that a read under way is still looked at in.
      if ('encrypted' in this.#socket) setImmediate(() => this.#socket.write('', this.#onWritten));
      else this.#socket.write('', this.#onWritten);
    }
    return false;
  }

  readonly #onWritten = (): void => {
    this.#telling = false;
    if (this.#socket.destroyed) return;
    if (this.#allWritten()) this.#onWritable();
  };

  #hold(text: string): boolean {
    this.#held += this.#chunked ? `${text.length.toString(16)}\r\n${text}\r\n` : text;
    if (this.#held.length > COPIED_BYTES) this.flush();
    return !this.#socket.writableNeedDrain;
  }
}
