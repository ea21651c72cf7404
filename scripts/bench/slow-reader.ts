import type { Socket } from 'node:net';

const BYTES_PER_SECOND = 128 * 1024 * 1024;
/** At first nothing is read at all, so that whatever is between fills up. */
const STALL_MS = 1_000;
const NAP_MS = 10;

/** Gives a function to be told of each read's bytes; it pauses the socket whenever they come faster than they are wanted. */
export function readSlowly(socket: Socket): (bytes: number) => void {
  const startsAt = performance.now() + STALL_MS;
  let taken = 0;
  return (bytes) => {
    taken += bytes;
    const ahead = startsAt + (taken / BYTES_PER_SECOND) * 1_000 - performance.now();
    if (ahead < NAP_MS) return;
    socket.pause();
    setTimeout(() => socket.resume(), ahead);
  };
}
