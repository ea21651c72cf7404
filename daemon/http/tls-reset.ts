import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * Gives a TLS socket a reset, which belongs to TCP: through the connection below it, so that an answer that was cut off never
 * looks complete (Node's own throws).
 */
export function resetThrough(secure: TLSSocket, raw: Socket): void {
  secure.resetAndDestroy = () => {
    if (!raw.destroyed) raw.resetAndDestroy();
    secure.destroy();
    return secure;
  };
}
