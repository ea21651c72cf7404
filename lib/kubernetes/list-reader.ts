import type { ListMetadata } from './types.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
/** 1 for each byte that has a meaning outside of strings. */
const STRUCTURAL = new Uint8Array(256);
for (const byte of [QUOTE, OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET]) STRUCTURAL[byte] = 1;
/** Stands for an object in what is around the objects. */
const ITEM_MARK = Buffer.from('0');
/** Depth within the list's own array: list object, array. */
const ITEMS_DEPTH = 2;
/** The array that begins here is the list's. */
const ITEMS_KEY = /[{,]\s*"items"\s*:\s*$/;
/** Longer than that key with any white space that a server may write. */
const KEY_BYTES = 64;
/** etcd holds no object larger than 1.5 MiB; one with a few times that is none of Kubernetes'. */
const MAX_ITEM_BYTES = 16 * 1024 * 1024;
const START_BYTES = 100;
const MAX_ENVELOPE_BYTES = 4 * 1024 * 1024;

/**
 * Reads a Kubernetes list as its bytes come, cut anywhere, and gives each object's text as soon as it is whole: the whole list is
 * never held, nor parsed at once. What is around the objects stays, with a 0 in the place of each, and is parsed at the end, so
 * that what is no JSON is found there or by whoever parses the objects.
 */
export class ListReader {
  readonly #take: (text: string) => void;
  /** A character a byte, until it is parsed. */
  #envelope = '';
  /** Its end. */
  #tail = '';
  /** What has come of an object that goes on. */
  #item: Buffer[] = [];
  #itemBytes = 0;
  #count = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #inItems = false;
  #inItem = false;

  /** `take` gets the text of each object. What it throws, `push` does. */
  constructor(take: (text: string) => void) {
    this.#take = take;
  }

  /** The next bytes. Throws an Error where an object, or what is around them, is too large. */
  push(bytes: Buffer): void {
    let inString = this.#inString;
    let from = 0;
    let i = this.#escaped ? 1 : 0;
    for (;;) {
      i = inString ? skipString(bytes, i) : skipPlain(bytes, i);
      if (i >= bytes.length) break;
      if (inString || bytes[i] === QUOTE) inString = !inString;
      else if (bytes[i] === OPEN_BRACE || bytes[i] === OPEN_BRACKET) from = this.#open(bytes, from, i);
      else from = this.#close(bytes, from, i);
      i += 1;
    }
    this.#inString = inString;
    this.#escaped = i > bytes.length;
    if (this.#inItem) this.#keep(bytes.subarray(from));
    else this.#surround(bytes.subarray(from));
  }

  /**
   * After the last byte: what the list says of itself. Throws a SyntaxError where it is no JSON, or not whole; undefined for JSON
   * that is no list.
   */
  end(): ListMetadata | undefined {
    const { metadata, items } = (JSON.parse(Buffer.from(this.#envelope, 'latin1').toString()) ?? {}) as {
      metadata?: { resourceVersion?: string; continue?: string };
      items?: unknown;
    };
    const { resourceVersion, continue: token } = metadata ?? {};
    const whole = items === null ? this.#count === 0 : Array.isArray(items) && items.length === this.#count;
    if (!whole || typeof resourceVersion !== 'string' || resourceVersion === '') return undefined;
    return { resourceVersion, continue: token ?? '' };
  }

  /** What came so far outside of objects: to say what it is, where it is no list. */
  get start(): string {
    return Buffer.from(this.#envelope.slice(0, START_BYTES), 'latin1').toString();
  }

  /** A brace or bracket that opens; gives from where bytes are not dealt with yet. */
  #open(bytes: Buffer, from: number, at: number): number {
    const depth = this.#depth;
    this.#depth += 1;
    const listBegins = depth === ITEMS_DEPTH - 1 && bytes[at] === OPEN_BRACKET;
    const itemBegins = depth === ITEMS_DEPTH && this.#inItems && bytes[at] === OPEN_BRACE;
    if (!listBegins && !itemBegins) return from;
    this.#surround(bytes.subarray(from, at));
    if (listBegins) this.#inItems = ITEMS_KEY.test(this.#tail);
    else this.#inItem = true;
    return at;
  }

  /** One that closes. */
  #close(bytes: Buffer, from: number, at: number): number {
    this.#depth -= 1;
    if (this.#depth < ITEMS_DEPTH) this.#inItems = false;
    if (this.#depth !== ITEMS_DEPTH || !this.#inItem) return from;
    this.#endItem(bytes.subarray(from, at + 1));
    return at + 1;
  }

  #endItem(last: Buffer): void {
    this.#keep(last);
    const text = (this.#item.length === 1 ? last : Buffer.concat(this.#item)).toString();
    this.#item = [];
    this.#itemBytes = 0;
    this.#inItem = false;
    this.#count += 1;
    this.#surround(ITEM_MARK);
    this.#take(text);
  }

  #keep(bytes: Buffer): void {
    this.#item.push(bytes);
    this.#itemBytes += bytes.length;
    if (this.#itemBytes > MAX_ITEM_BYTES)
      throw new Error(`an object of the list is larger than ${MAX_ITEM_BYTES} bytes`);
  }

  #surround(bytes: Buffer): void {
    this.#envelope += bytes.toString('latin1');
    this.#tail = (this.#tail + bytes.subarray(-KEY_BYTES).toString('latin1')).slice(-KEY_BYTES);
    if (this.#envelope.length > MAX_ENVELOPE_BYTES)
      throw new Error(`the answer has more than ${MAX_ENVELOPE_BYTES} bytes that belong to no object of a list`);
  }
}

/** The index of the next byte that is a quote, a brace or a bracket, or the length. */
function skipPlain(bytes: Buffer, begin: number): number {
  let i = begin;
  while (i < bytes.length && STRUCTURAL[bytes[i] as number] === 0) i += 1;
  return i;
}

/** The index of the quote that ends a string, or the length; one more where the next byte is escaped. */
function skipString(bytes: Buffer, begin: number): number {
  let i = begin;
  for (;;) {
    while (i < bytes.length && bytes[i] !== QUOTE && bytes[i] !== BACKSLASH) i += 1;
    if (i >= bytes.length || bytes[i] === QUOTE) return i;
    i += 2;
  }
}
