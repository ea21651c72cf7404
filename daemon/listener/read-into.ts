import { type OnReadOpts, Socket } from 'node:net';

/** What node:net keeps on a socket, and gives its constructor, without documenting it. */
interface Inside {
  _handle: unknown;
  _server: unknown;
  server: unknown;
}

/**
 * Gives an accepted connection to a socket that reads by `onread`, which node:net offers for connections that it makes and
 * not for those that it accepts: without it every read allocates 64 KB. The socket that was accepted is an empty shell
 * afterwards. Gives undefined, and changes nothing, for what is no plain socket, has read already, or where node:net has
 * changed inside: whoever asked then goes on by 'data' events.
 */
export function readInto(accepted: Socket, onread: OnReadOpts): Socket | undefined {
  if (accepted.constructor !== Socket || accepted.destroyed || accepted.bytesRead > 0) return undefined;
  const shell = accepted as unknown as Inside;
  const { _handle: handle, _server: server } = shell;
  if (handle === null || handle === undefined || server === null || server === undefined) return undefined;
  const socket = new Socket({ handle, allowHalfOpen: true, onread } as object);
  const taken = socket as unknown as Inside;
  taken._server = server; // which counts its connections by it
  taken.server = server;
  shell._handle = null;
  shell._server = null;
  shell.server = null;
  return socket;
}
