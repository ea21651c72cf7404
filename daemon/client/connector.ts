import type { OnReadOpts, Socket } from 'node:net';
import { ProxyError } from '../http/proxy-error.ts';
import { PatientSocket } from './patient-socket.ts';

/** linkerd2's connect timeout of the outbound side: a node that is down does not refuse, it says nothing. */
const CONNECT_TIMEOUT_MS = 1_000;

/**
 * linkerd's `hostConnectionPool` and `clientSession`: of the connections to one server. Times in ms; Infinity: without limit.
 */
export interface ConnectionLimits {
  /** Idle ones are kept up to this number, whatever `idleMs` says. */
  readonly minSize: number;
  /** No more are open at a time: further requests wait for one. */
  readonly maxSize: number;
  /** No more requests wait. */
  readonly maxWaiters: number;
  /** Undefined: as the pool has it. */
  readonly idleMs: number | undefined;
  /** The same, of all connections. */
  readonly sessionIdleMs: number;
  /** From its opening on, after which a connection serves no further request. */
  readonly lifeMs: number;
}

export interface ServerAddress {
  readonly ip: string;
  readonly port: number;
  /** The node whose daemon it must be; undefined where it is no daemon. */
  readonly node?: string | undefined;
  /** Its connections are limited, and are kept and counted apart from those of other groups. */
  readonly limited?: { readonly group: string; readonly limits: ConnectionLimits } | undefined;
}

/** What whoever asks for a connection hears of it. */
export interface ConnectionEvents {
  /** Called once when it stands, and leads to whom it is meant for; what is written before waits. */
  onReady(): void;
  /** Called when it should serve no request more than the one under way, since a new one would be better. */
  onStale?: (() => void) | undefined;
  /** Where what arrives is read into, if the connector can; else the socket gives 'data' events. */
  readonly onread?: OnReadOpts | undefined;
}

export interface ShownServer {
  readonly secure: boolean;
  /** Of its certificate, ms since 1970. */
  readonly notAfter: number | undefined;
}

/** Makes connections to servers. */
export interface Connector {
  /** Begins a connection. */
  connect(address: ServerAddress, events: ConnectionEvents): Socket;
  /** Why a connection never became ready: the error that its socket ended with, for the person who reads the answer. */
  explain(address: ServerAddress, cause: Error | undefined): ProxyError;
  /** What a server has shown of itself, for people; undefined where it has not been connected to. */
  shown?(address: ServerAddress): ShownServer | undefined;
  /** Whether whom a connection leads to is trusted no more, so that it must end at once. */
  revoked?(address: ServerAddress): boolean;
}

/** Without TLS. */
export const PLAINTEXT: Connector = {
  connect({ ip, port }, { onReady, onread }) {
    const reading = onread === undefined ? {} : { onread };
    const options = { host: ip, port, noDelay: true, keepAlive: true, allowHalfOpen: true, ...reading };
    const socket = new PatientSocket(options).connect(options);
    const timer = setTimeout(() => socket.destroy(new Error('connection timed out')), CONNECT_TIMEOUT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      onReady();
    });
    socket.once('close', () => clearTimeout(timer));
    return socket;
  },
  explain(address, cause) {
    const why = cause?.message ?? 'closed';
    return new ProxyError('connect_failed', `no connection to ${addressText(address)} (${why})`);
  },
};

/** `10.0.0.1:80`, IPv6 in brackets. */
export function addressText({ ip, port }: ServerAddress): string {
  return `${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
}
