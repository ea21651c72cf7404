/** Bytes of heads, for whoever reads them without making text of them first. */

export const CR = 0x0d;
export const LF = 0x0a;
export const SP = 0x20;
export const TAB = 0x09;
export const COLON = 0x3a;
export const ZERO = 0x30;
export const TO_LOWER = 0x20;

export const NAME_BYTES = tableOf("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
export const VALUE_BYTES = tableWhere((byte) => byte === TAB || (byte >= SP && byte !== 0x7f));

/** Whether a line ends at `at`. */
export function isLineEnd(bytes: Buffer, at: number): boolean {
  return bytes[at] === CR && bytes[at + 1] === LF;
}

/** A blank of RFC 9110 section 5.6.3. */
export function isBlankByte(byte: number): boolean {
  return byte === SP || byte === TAB;
}

/** What Buffer's toString does for 'latin1', without its search for the encoding. */
export function latin1(bytes: Buffer, from: number, to: number): string {
  return (bytes as Buffer & { latin1Slice(from: number, to: number): string }).latin1Slice(from, to);
}

/** A table of all bytes, 1 for those of `characters`. */
function tableOf(characters: string): Uint8Array {
  return tableWhere((byte) => characters.includes(String.fromCharCode(byte)));
}

/** The same, 1 for those that `holds` takes. */
export function tableWhere(holds: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}
