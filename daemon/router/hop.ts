import type { ServerAddress } from '../client/http1-client-connection.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyError } from '../http/proxy-error.ts';

/** Where one attempt goes: a server to connect to, and what the request must carry there. */
export interface Hop {
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  /** Field lines that this hop adds to the request. */
  readonly fieldLines: string;
  /** Whether the answer comes from a daemon of the mesh, whose `mesh-*` and `l5d-*` fields are believed. */
  readonly peer: boolean;
  /** Which context fields of the answer go on to the caller. */
  readonly answerFilter: FieldFilter;
  /** Requests under way to it; the balancer's measure. */
  outstanding: number;
  /** An attempt on it begins. */
  begin(): void;
  /** The attempt ended: `status` of its answer, 0 where none was complete, so many ms after it began. */
  end(status: number, latencyMs: number): void;
}

/** Chooses the hops of one exchange, one an attempt. */
export interface Route {
  /** The next hop, none of those tried before; once all have been tried, undefined. Throws ProxyError where there is no hop at all. */
  pick(tried: ReadonlySet<Hop>): Hop | undefined;
}

/** What a router tells of an exchange that it forwards. */
export interface ForwardingObserver {
  retried(reason: string): void;
  failed(error: ProxyError): void;
  /** The exchange ended: `status` of the answer that the caller got, 0 where it got no complete one. */
  ended(status: number, latencyMs: number): void;
}
