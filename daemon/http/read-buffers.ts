const READ_BYTES = 64 * 1024;
const MAX_SPARE = 16;
const spare: Buffer[] = [];

/**
 * Where the next read goes of every connection that has no buffer of its own: libuv wants a place before it knows that there is
 * something to read, and thousands of connections may wait. Whoever reads into it takes its bytes out at once.
 */
export const LANDING = Buffer.allocUnsafeSlow(READ_BYTES);

/**
 * A buffer of READ_BYTES with whatever in it. Fresh ones would be garbage by the next read, 64 MB before V8 looks for it, so a
 * few go from hand to hand.
 */
export function takeBuffer(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
}

/** Takes back a buffer that nobody looks at any more. */
export function giveBack(buffer: Buffer): void {
  if (spare.length < MAX_SPARE) spare.push(buffer);
}
