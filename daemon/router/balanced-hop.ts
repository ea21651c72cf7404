import type { EndpointLoad, Siblings } from '../balancer/endpoint-load.ts';
import type { FailureAccrual } from '../balancer/failure-accrual.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import type { EndpointGate } from '../policy/endpoint-gate.ts';
import type { Hop, HopState } from './hop.ts';

/** A pod did not fail by having left, nor by a policy, and a daemon that is starting, stopping or overloaded says nothing
 * of its pods; nor does a caller's short patience. */
const NO_FAULT: ReadonlySet<ProxyErrorCode> = new Set([
  'endpoint_gone',
  'endpoint_out',
  'endpoint_busy',
  'policy_denied',
  'draining',
  'not_synced',
  'overloaded',
  'deadline_exceeded',
]);

/** Whether an attempt that ended like this counts against the pod. */
export function isPodsFault(code: ProxyErrorCode): boolean {
  return !NO_FAULT.has(code);
}

/** What a hop knows of its pod. */
export interface PodState {
  readonly load: EndpointLoad;
  /** Whether it can be connected to, where that alone puts it out (linkerd's `failFast`); else undefined. */
  readonly reach: FailureAccrual | undefined;
}

/** What every hop is made of. */
export interface HopWiring extends PodState {
  readonly pool: Http1Pool;
  readonly gate?: EndpointGate | undefined;
}

/** What all hops have in common: the balancer's view of the pod that they lead to. */
export abstract class BalancedHop implements Hop {
  abstract readonly peer: boolean;
  abstract readonly proxy: boolean;
  abstract readonly answerFilter: FieldFilter;
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  readonly gate: EndpointGate | undefined;
  protected readonly endpoint: EndpointLoad;
  readonly #reach: FailureAccrual | undefined;

  constructor(address: ServerAddress, { pool, load, reach, gate }: HopWiring) {
    this.address = address;
    this.pool = pool;
    this.endpoint = load;
    this.#reach = reach;
    this.gate = gate;
  }

  callerLine(_source: CallerSource): string {
    return '';
  }

  describe(now: number): HopState {
    const { endpoint, out } = this;
    const outForMs = Math.max(endpoint.accrual.outForMs(now), this.#reach?.outForMs(now) ?? 0);
    return {
      queue: this.queue(now),
      load: this.load(now),
      warmth: this.warmth(now),
      latencyMs: endpoint.latencyMs(now),
      inFlight: endpoint.inFlight,
      out,
      outForMs,
      trouble: out ? 'out for its failures' : undefined,
    };
  }

  queue(now: number): number {
    return this.endpoint.queue(now);
  }

  get out(): boolean {
    return this.endpoint.accrual.out || this.#reach?.out === true;
  }

  load(now: number): number {
    return this.endpoint.load(now);
  }

  warmUp(now: number, windowMs: number): void {
    this.endpoint.warmUp(now, windowMs);
  }

  warmth(now: number): number {
    return this.endpoint.warmth(now);
  }

  join(siblings: Siblings | undefined, _now: number): void {
    this.endpoint.join(siblings);
  }

  takeProbe(now: number): boolean {
    const { accrual } = this.endpoint;
    const reach = this.#reach?.out === true ? this.#reach : undefined;
    if (reach?.probeDue(now) === false || ((accrual.out || reach === undefined) && !accrual.probeDue(now)))
      return false;
    if (accrual.out) accrual.beginProbe(now);
    reach?.beginProbe(now);
    return true;
  }

  begin(now: number): void {
    this.endpoint.begin(now);
  }

  fieldLines(_insist: boolean): string {
    return '';
  }

  answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    this.#reach?.succeeded(now);
    this.endpoint.answered(status, latencyMs, now, failed);
  }

  waits(ms: number, now: number): void {
    this.endpoint.waits(ms, now);
  }

  lost(code: ProxyErrorCode, _byPeer: boolean, now: number): void {
    if (code === 'policy_denied') this.endpoint.denied(now);
    if (!isPodsFault(code)) return;
    if (code === 'connect_failed') this.#reach?.failed(now);
    this.endpoint.lost(now);
  }

  leaveOut(_ms: number, _now: number): void {}

  end(_status: number, _latencyMs: number, _failed: boolean, unansweredSince: number | undefined): void {
    this.endpoint.end(unansweredSince);
  }
}
