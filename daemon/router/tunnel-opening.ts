import type { CallerTunnel, Exchange, OpenedTunnel } from '../http/exchange.ts';
import { beginsRequest } from '../http/first-bytes.ts';
import type { ResponseHead } from '../http/message-head.ts';
import type { ExchangeRecord } from '../telemetry/exchange-record.ts';
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
  const { record } = exchange;
  const ended = record === undefined ? onEnded : recordingEnd(record, caller, onEnded);
  if (method === 'CONNECT' && inspect) openByFirstBytes(caller, upstream, ended);
  else splice(caller, upstream, ended);
}

/** `onEnded` that also keeps what has passed, by what the caller's socket counts. A tunnel that turned out to be none has passed nothing. */
function recordingEnd(
  record: ExchangeRecord,
  { socket, early }: CallerTunnel,
  onEnded: () => void,
): (none?: boolean) => void {
  const readBefore = socket.bytesRead - (early?.length ?? 0);
  const writtenBefore = socket.bytesWritten;
  return (none = false) => {
    onEnded();
    if (!none) {
      record.requestBytes += socket.bytesRead - readBefore;
      record.responseBytes += socket.bytesWritten - writtenBefore;
    }
    record.end();
  };
}

/**
 * What becomes of a CONNECT that an application asked for: if the first thing inside is a request of HTTP/1, the connection
 * goes on with requests, each routed by itself, and the one upstream is given up; anything else (TLS, HTTP/2, a server that
 * speaks first) passes as it is. `onEnded` is called once the upstream connection is gone.
 */
function openByFirstBytes(caller: CallerTunnel, upstream: OpenedTunnel, onEnded: (none?: boolean) => void): void {
  let seen = caller.early ?? Buffer.alloc(0);
  const settle = (requests: boolean, fromUpstream?: Buffer) => {
    caller.socket.off('data', onData).off('end', onOpaque).off('close', onOpaque);
    upstream.socket.off('data', onUpstreamData).off('end', onOpaque).off('close', onOpaque);
    if (requests) {
      upstream.socket.destroy();
      onEnded(true);
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
