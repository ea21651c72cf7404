import type { CallerTunnel, Exchange, OpenedTunnel } from '../http/exchange.ts';
import { beginsRequest } from '../http/first-bytes.ts';
import type { ResponseHead } from '../http/message-head.ts';
import { splice } from './splice.ts';

export interface UpstreamTunnel {
  readonly head: ResponseHead;
  /** The fields of it that go on. */
  readonly lines: string;
  readonly upstream: OpenedTunnel;
  /** Whether requests inside a CONNECT are looked for. */
  readonly inspect: boolean;
  /** Called once, when the upstream connection is gone. */
  readonly onEnded: () => void;
}

/** Answers an exchange with the tunnel that was opened for it upstream, and joins the two. */
export function openTunnel(exchange: Exchange, { head, lines, upstream, inspect, onEnded }: UpstreamTunnel): void {
  const { method, upgrade } = exchange.request;
  const protocol = `Connection: Upgrade\r\nUpgrade: ${head.fields.value('upgrade') ?? upgrade}\r\n`;
  const caller = exchange.openTunnel(head.status, head.reason, method === 'CONNECT' ? lines : lines + protocol);
  if (method === 'CONNECT' && inspect) openByFirstBytes(caller, upstream, onEnded);
  else splice(caller, upstream, onEnded);
}

/**
 * What becomes of a CONNECT that an application asked for: if the first thing inside is a request of HTTP/1, the connection
 * goes on with requests, each routed by itself, and the one upstream is given up; anything else (TLS, HTTP/2, a server that
 * speaks first) passes as it is. `onEnded` is called once the upstream connection is gone.
 */
function openByFirstBytes(caller: CallerTunnel, upstream: OpenedTunnel, onEnded: () => void): void {
  let seen = caller.early ?? Buffer.alloc(0);
  const settle = (requests: boolean, fromUpstream?: Buffer) => {
    caller.socket.off('data', onData).off('end', onOpaque).off('close', onOpaque);
    upstream.socket.off('data', onUpstreamData).off('end', onOpaque).off('close', onOpaque);
    if (requests) {
      upstream.socket.destroy();
      onEnded();
      caller.readRequests(seen);
      return;
    }
    const early = fromUpstream ?? upstream.early;
    splice(
      { socket: caller.socket, early: seen.length === 0 ? undefined : seen },
      { socket: upstream.socket, early },
      onEnded,
    );
  };
  const decide = () => {
    const requests = beginsRequest(seen);
    if (requests !== undefined) settle(requests);
  };
  const onData = (bytes: Buffer) => {
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes]);
    decide();
  };
  const onUpstreamData = (bytes: Buffer) =>
    settle(false, upstream.early === undefined ? bytes : Buffer.concat([upstream.early, bytes]));
  const onOpaque = () => settle(false);
  caller.socket.on('data', onData).on('end', onOpaque).on('close', onOpaque);
  upstream.socket.on('data', onUpstreamData).on('end', onOpaque).on('close', onOpaque);
  caller.socket.resume();
  upstream.socket.resume();
  if (upstream.early !== undefined) settle(false);
  else decide();
}
