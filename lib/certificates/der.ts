/** As much of DER (X.690 §10) as certificates and requests for them need. */

const TAG = { boolean: 0x01, integer: 0x02, bitString: 0x03, octetString: 0x04, null: 0x05, oid: 0x06, utf8: 0x0c };
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;

/** One element: its tag byte, its contents, and all of its bytes. */
export interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  readonly whole: Buffer;
}

/** An element of any one-byte tag around contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  return Buffer.concat([Buffer.from([tag, ...lengthBytes(content.length)]), content]);
}

export const sequence = (...contents: readonly Uint8Array[]): Buffer => der(SEQUENCE, ...contents);
export const set = (...contents: readonly Uint8Array[]): Buffer => der(SET, ...contents);
export const octetString = (...contents: readonly Uint8Array[]): Buffer => der(TAG.octetString, ...contents);
export const utf8String = (text: string): Buffer => der(TAG.utf8, Buffer.from(text, 'utf8'));
export const NULL: Buffer = der(TAG.null);
export const TRUE: Buffer = der(TAG.boolean, Buffer.from([0xff]));

/** `[n]`, constructed. */
export const context = (n: number, ...contents: readonly Uint8Array[]): Buffer => der(0xa0 | n, ...contents);
/** `[n] IMPLICIT` of a string. */
export const contextString = (n: number, content: Uint8Array): Buffer => der(0x80 | n, content);

/** A non-negative integer, its bytes from the most significant. */
export function integer(bytes: Uint8Array): Buffer {
  let at = 0;
  while (at < bytes.length - 1 && bytes[at] === 0) at += 1;
  const significant = bytes.subarray(at);
  const sign = ((significant[0] ?? 0) & 0x80) === 0 ? [] : [0];
  return der(TAG.integer, Buffer.from(sign), significant);
}

/** Bits in whole bytes, the last `unused` of them not counted. */
export function bitString(bytes: Uint8Array, unused = 0): Buffer {
  return der(TAG.bitString, Buffer.from([unused]), bytes);
}

/** An object identifier from its dotted form. */
export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const sevens = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) sevens.unshift((left & 0x7f) | 0x80);
    return sevens;
  });
  return der(TAG.oid, Buffer.from(bytes));
}

/** A time in whole seconds, ms since 1970; in the form that RFC 5280 §4.1.2.5 wants for its year. */
export function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return new Date(ms).getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(digits.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(digits));
}

/** The elements that follow each other in `bytes`. Throws Error where they do not fill it exactly. */
export function readDer(bytes: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at] as number;
    const { length, from } = readLength(bytes, at + 1);
    if ((tag & 0x1f) === 0x1f || from + length > bytes.length) throw new Error('not valid DER');
    elements.push({ tag, content: bytes.subarray(from, from + length), whole: bytes.subarray(at, from + length) });
    at = from + length;
  }
  return elements;
}

/** What is inside a sequence or set. Throws Error where `element` is undefined, or is none. */
export function inside(element: DerElement | undefined): DerElement[] {
  if (element === undefined || (element.tag & 0x20) === 0) throw new Error('not valid DER: a sequence is missing');
  return readDer(element.content);
}

/** A DER structure out of its PEM. Throws Error where there is none of that label. */
export function fromPem(pem: string, label: string): Buffer {
  const match = new RegExp(`-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----`).exec(pem);
  if (match === null) throw new Error(`no ${label} in PEM form`);
  return Buffer.from(match[1] ?? '', 'base64');
}

/** A DER structure as PEM (RFC 7468). */
export function toPem(bytes: Buffer, label: string): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let left = length; left > 0; left >>>= 8) bytes.unshift(left & 0xff);
  return [0x80 | bytes.length, ...bytes];
}

function readLength(bytes: Buffer, at: number): { length: number; from: number } {
  const first = bytes[at] ?? 0x80;
  if (first < 0x80) return { length: first, from: at + 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 3 || at + 1 + count > bytes.length) throw new Error('not valid DER');
  return { length: bytes.readUIntBE(at + 1, count), from: at + 1 + count };
}
