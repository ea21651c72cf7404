import type { FieldList } from './fields.ts';
import { parseTrailers } from './message-facts.ts';
import { ProxyError } from './proxy-error.ts';

/** Longest chunk-size line and largest sum of chunk extensions of one message; both carry nothing that anyone uses. */
const MAX_SIZE_LINE = 4096;
const MAX_EXTENSIONS = 16 * 1024;
const MAX_TRAILERS = 64 * 1024;
const CHUNK_SIZE = /^([0-9a-fA-F]{1,13})(;.*)?$/s;
/** `;name`, `;name=token` or `;name="quoted"`, any number of times (RFC 9112 §7.1.1), without the blanks that it calls bad. */
const EXTENSIONS =
  /^(?:;[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?)+$/;
const NO_TRAILERS: FieldList = [];
const LF = 0x0a;
const CR = 0x0d;

/**
 * Decodes the chunked transfer coding (RFC 9112 §7.1), strictly: CRLF only, no blanks around the size. Chunk extensions are
 * dropped, their sum bounded. Throws ProxyError bad_request on anything malformed.
 */
export class ChunkedDecoder {
  #state: 'size' | 'data' | 'data-end' | 'trailers' | 'done' = 'size';
  #line = '';
  /** The trailer lines so far. */
  #section = '';
  #remaining = 0;
  #extensionBytes = 0;
  #trailers: FieldList = NO_TRAILERS;

  get done(): boolean {
    return this.#state === 'done';
  }

  /** The trailer fields, once done. */
  get trailers(): FieldList {
    return this.#trailers;
  }

  /** Takes bytes from `offset` on, calls `onData` with each piece of the body, gives the offset of the first byte not taken. */
  decode(bytes: Buffer, offset: number, onData: (piece: Buffer) => void): number {
    let at = offset;
    while (at < bytes.length && this.#state !== 'done') {
      if (this.#state === 'data') {
        const end = Math.min(bytes.length, at + this.#remaining);
        onData(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
        this.#remaining -= end - at;
        at = end;
        if (this.#remaining === 0) this.#state = 'data-end';
      } else {
        at = this.#takeLine(bytes, at);
      }
    }
    return at;
  }

  #takeLine(bytes: Buffer, at: number): number {
    const lf = bytes.indexOf(LF, at);
    const end = lf === -1 ? bytes.length : lf + 1;
    this.#line += bytes.toString('latin1', at, end);
    const limit = this.#state === 'trailers' ? MAX_TRAILERS : MAX_SIZE_LINE;
    if (this.#section.length + this.#line.length > limit)
      throw new ProxyError('bad_request', 'a chunk header or the trailers are too long');
    if (lf === -1) return end;
    if (this.#line.charCodeAt(this.#line.length - 2) !== CR) {
      throw new ProxyError('bad_request', 'a line of the chunked body does not end in CRLF');
    }
    this.#endLine();
    return end;
  }

  #endLine(): void {
    if (this.#state === 'data-end') {
      if (this.#line !== '\r\n') throw new ProxyError('bad_request', 'a chunk is longer than its size says');
      this.#state = 'size';
      this.#line = '';
    } else if (this.#state === 'size') {
      this.#startChunk(this.#line.slice(0, -2));
      this.#line = '';
    } else if (this.#line === '\r\n') {
      if (this.#section !== '') this.#trailers = parseTrailers(this.#section.slice(0, -2));
      this.#state = 'done';
    } else {
      this.#section += this.#line;
      this.#line = '';
    }
  }

  #startChunk(line: string): void {
    const match = CHUNK_SIZE.exec(line);
    if (match === null) throw new ProxyError('bad_request', 'a chunk size is not a hexadecimal number');
    if (match[2] !== undefined) this.#passExtensions(match[2]);
    this.#remaining = Number.parseInt(match[1] as string, 16);
    this.#state = this.#remaining === 0 ? 'trailers' : 'data';
  }

  #passExtensions(text: string): void {
    this.#extensionBytes += text.length;
    if (this.#extensionBytes > MAX_EXTENSIONS) throw new ProxyError('bad_request', 'too many chunk extensions');
    if (!EXTENSIONS.test(text)) throw new ProxyError('bad_request', 'a chunk extension is not ";name=value"');
  }
}

/** The last chunk and the trailer section as sent on the wire. */
export function lastChunk(trailers: FieldList): string {
  let text = '0\r\n';
  for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
  return `${text}\r\n`;
}
