import type { OnReadOpts, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** What node:net keeps on a socket without documenting it. */
interface Inside {
  readonly _handle?: { useUserBuffer?(buffer: Uint8Array): void } | null;
  [key: symbol]: unknown;
}

interface Keys {
  readonly buffer: symbol;
  readonly next: symbol;
  readonly callback: symbol;
}

let known: Keys | undefined;

/**
 * Makes a TLS socket whose handshake is done read by `onread`, which node:tls offers only where it opens the connection itself.
 * Without it each record is an ArrayBuffer and an event more, and the garbage of large answers took a quarter of the
 * CPU. Unlike over TCP, pausing does not hold back what has been decrypted already: more reads may follow, and `buffer` must
 * give another place for them. Gives false, and changes nothing, where node:net has changed inside: 'data' events go on.
 */
export function readTlsInto(socket: TLSSocket, { buffer, callback }: OnReadOpts): boolean {
  const inside = socket as unknown as Inside;
  known ??= keysOf(socket);
  const handle = inside._handle;
  if (known === undefined || typeof buffer !== 'function' || typeof handle?.useUserBuffer !== 'function') return false;
  const first = buffer();
  inside[known.buffer] = first;
  inside[known.next] = buffer;
  inside[known.callback] = callback;
  handle.useUserBuffer(first);
  return true;
}

function keysOf(socket: Socket): Keys | undefined {
  const symbols = Object.getOwnPropertySymbols(socket);
  const find = (name: string) => symbols.find(({ description }) => description === name);
  const [buffer, next, callback] = [find('kBuffer'), find('kBufferGen'), find('kBufferCb')];
  return buffer === undefined || next === undefined || callback === undefined ? undefined : { buffer, next, callback };
}
