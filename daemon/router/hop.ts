import type { Siblings } from '../balancer/endpoint-load.ts';
import type { Balanced } from '../balancer/p2c.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyError, ProxyErrorCode } from '../http/proxy-error.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import type { EndpointGate } from '../policy/endpoint-gate.ts';
import type { RoutePolicy } from './route-policy.ts';

/** Where one attempt goes: a server to connect to, and what the request must carry there. `now`: ms of the router's clock. */
export interface Hop extends Balanced {
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  /** Whether the answer comes from a daemon of the mesh, whose `mesh-*` and `l5d-*` fields are believed. */
  readonly peer: boolean;
  /** Whether the server is a proxy, which takes requests for others and CONNECT. */
  readonly proxy: boolean;
  /** Which context fields of the answer go on to the caller. */
  readonly answerFilter: FieldFilter;
  /** Judges who may send here; undefined where policies are not looked at. */
  readonly gate: EndpointGate | undefined;
  /** Changes nothing. */
  describe(now: number): HopState;
  /** The field lines that tell this hop who calls. */
  callerLine(source: CallerSource): string;
  /** Its pod appeared while others served: its share is to grow for so many ms. */
  warmUp(now: number, windowMs: number): void;
  /** It is one of these pods; undefined: it is none of them any more. */
  join(siblings: Siblings | undefined, now: number): void;
  /** An attempt on it begins. */
  begin(now: number): void;
  /** Field lines that it adds to the request of that attempt. `insist`: it is to get through. */
  fieldLines(insist: boolean): string;
  /** The attempt's answer has begun, `latencyMs` after the attempt. `failed`: whether it counts as a failure. */
  answered(status: number, latencyMs: number, now: number, failed: boolean): void;
  /** Its answer asks for no further request for so many ms (`Retry-After`). */
  waits(ms: number, now: number): void;
  /** The attempt got no answer; `byPeer`: the daemon on the way says so, and is well itself. */
  lost(code: ProxyErrorCode, byPeer: boolean, now: number): void;
  /** The daemon there has the pod out, and lets none but such requests through that have nobody else to ask, for so many ms. */
  leaveOut(ms: number, now: number): void;
  /**
   * The attempt is over: `status` of its answer, 0 where none was complete, so many ms after it began. `unansweredSince`: when that was, if
   * `answered` was not called. Always called, last.
   */
  end(status: number, latencyMs: number, failed: boolean, unansweredSince: number | undefined): void;
}

/** What a hop knows of its pod at one moment: for people. */
export interface HopState {
  readonly queue: number;
  readonly load: number;
  readonly warmth: number;
  readonly latencyMs: number;
  readonly inFlight: number;
  readonly out: boolean;
  /** ms until a probe may go there; 0 where it is not out. */
  readonly outForMs: number;
  /** Why it gets fewer requests, or none; undefined where it gets its share. */
  readonly trouble: string | undefined;
}

/** Chooses the hops of one exchange, one an attempt. */
export interface Route {
  readonly policy: RoutePolicy;
  /** A request is on its way that is no retry. */
  requested(): void;
  /** The next hop, none of those tried before; once all have been tried, undefined. Throws ProxyError where there is no hop at all. */
  pick(tried: ReadonlySet<Hop>): Hop | undefined;
  /** Whether one more attempt may be added to an application's load; takes it out of the budget. */
  withdrawRetry(): boolean;
  /** Whether what no application saw may be sent once more (linkerd's requeue); takes it out of a budget of its own. */
  withdrawRequeue(): boolean;
}

/** What a router tells of an exchange that it forwards. */
export interface ForwardingObserver {
  retried(reason: string): void;
  failed(error: ProxyError): void;
  /** The exchange ended: `status` of the answer that the caller got, 0 where it got no complete one. */
  ended(status: number, latencyMs: number, failed: boolean): void;
}
