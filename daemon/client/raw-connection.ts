import type { Socket } from 'node:net';
import type { ResponseSink } from '../http/exchange.ts';
import { NO_FIELDS } from '../http/fields.ts';
import { NO_BODY, type ResponseHead } from '../http/message-head.ts';
import { PLAINTEXT, type ServerAddress } from './connector.ts';
import type { UpstreamConnection } from './http1-client-connection.ts';

/** What a server would say that opens a tunnel, said for one that knows nothing of tunnels. */
const OPENED: ResponseHead = {
  status: 200,
  reason: 'Connection Established',
  minorVersion: 1,
  fields: NO_FIELDS,
  upgrades: false,
  keepAlive: true,
  framing: NO_BODY,
  keepAliveTimeoutS: undefined,
};

/**
 * The end of a CONNECT: a plain connection to its destination. Takes the place of one that speaks HTTP, so that attempts
 * and retries are the same; its answer is that the connection stands.
 */
export class RawConnection implements UpstreamConnection {
  readonly #address: ServerAddress;
  #socket: Socket | undefined;
  #sink: ResponseSink | undefined;
  #failure: Error | undefined;

  constructor(address: ServerAddress) {
    this.#address = address;
  }

  get pending(): boolean {
    return this.#sink !== undefined;
  }

  send(_method: string, _headText: string, _framing: unknown, sink: ResponseSink): void {
    this.#sink = sink;
    const onReady = () => {
      const waiting = this.#sink;
      this.#sink = undefined;
      waiting?.onTunnel(OPENED, { socket, early: undefined });
    };
    const socket = PLAINTEXT.connect(this.#address, { onReady });
    this.#socket = socket;
    socket.pause();
    socket.on('error', (error) => {
      this.#failure = error;
    });
    socket.on('close', () => this.#onClose());
  }

  write(): boolean {
    return true;
  }

  flush(): void {}
  end(): void {}
  resume(): void {}

  abort(): void {
    this.#sink = undefined;
    this.#socket?.destroy();
  }

  #onClose(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    const error = PLAINTEXT.explain(this.#address, this.#failure);
    sink?.onUpstreamError({ error, beforeSending: true, onReusedConnection: false, unread: false });
  }
}
