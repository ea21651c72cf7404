import type { Socket } from 'node:net';
import type { OpenedTunnel } from '../http/exchange.ts';

/** Once one side is gone, the other may be this long without taking what still waits for it. */
const LAST_BYTES_TIMEOUT_MS = 300_000;

/**
 * Joins two connections into one: bytes and half-closes pass both ways, each as fast as the other side takes them; when one
 * is gone, so is the other. `onEnded` is called once, when both are.
 */
export function splice(one: OpenedTunnel, other: OpenedTunnel, onEnded: () => void): void {
  let open = 2;
  const closed = () => {
    open -= 1;
    if (open === 0) onEnded();
  };
  pump(one, other.socket, closed);
  pump(other, one.socket, closed);
}

function pump({ socket: from, early }: OpenedTunnel, to: Socket, onClosed: () => void): void {
  from.setKeepAlive(true);
  from.setTimeout(0);
  from.on('data', (bytes: Buffer) => {
    if (!to.write(bytes)) from.pause();
  });
  to.on('drain', () => from.resume());
  from.on('end', () => to.end());
  from.on('close', (broken: boolean) => {
    if (broken) reset(to);
    else letGo(to);
    onClosed();
  });
  if (early !== undefined) to.write(early);
  if (from.destroyed) {
    letGo(to);
    onClosed();
  } else if (from.readableEnded) {
    to.end();
  } else {
    from.resume();
  }
}

/** Closes a connection once it has taken what waits for it. */
function letGo(socket: Socket): void {
  socket.destroySoon();
  if (!socket.destroyed) socket.setTimeout(LAST_BYTES_TIMEOUT_MS, () => reset(socket));
}

/** libuv refuses a reset (EINVAL) while a shutdown is under way, and the socket would never close: a plain end comes anyway then. */
function reset(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished && socket.writableLength === 0) socket.destroy();
  else socket.resetAndDestroy();
}
