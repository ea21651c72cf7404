import type { EndpointLoad } from '../balancer/endpoint-load.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import type { Hop } from './hop.ts';

/** A pod did not fail by having left, and a daemon that is starting, stopping or overloaded says nothing
 * of its pods; nor does a caller's short patience. */
const NO_FAULT: ReadonlySet<ProxyErrorCode> = new Set([
  'endpoint_gone',
  'endpoint_out',
  'endpoint_busy',
  'draining',
  'not_synced',
  'overloaded',
  'deadline_exceeded',
]);

/** What all hops have in common: the balancer's view of the pod that they lead to. */
export abstract class BalancedHop implements Hop {
  abstract readonly peer: boolean;
  abstract readonly proxy: boolean;
  abstract readonly answerFilter: FieldFilter;
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  protected readonly endpoint: EndpointLoad;

  constructor(address: ServerAddress, pool: Http1Pool, endpoint: EndpointLoad) {
    this.address = address;
    this.pool = pool;
    this.endpoint = endpoint;
  }

  get outstanding(): number {
    return this.endpoint.outstanding;
  }

  get out(): boolean {
    return this.endpoint.accrual.out;
  }

  load(now: number): number {
    return this.endpoint.load(now);
  }

  warmUp(now: number): void {
    this.endpoint.warmUp(now);
  }

  warmth(now: number): number {
    return this.endpoint.warmth(now);
  }

  takeProbe(now: number): boolean {
    const { accrual } = this.endpoint;
    if (!accrual.probeDue(now)) return false;
    accrual.beginProbe(now);
    return true;
  }

  begin(now: number): void {
    this.endpoint.begin(now);
  }

  fieldLines(_insist: boolean): string {
    return '';
  }

  answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    this.endpoint.answered(status, latencyMs, now, failed);
  }

  lost(code: ProxyErrorCode, _byPeer: boolean, now: number): void {
    if (!NO_FAULT.has(code)) this.endpoint.lost(now);
  }

  leaveOut(_ms: number, _now: number): void {}

  end(_status: number, _latencyMs: number, _failed: boolean, unansweredSince: number | undefined): void {
    this.endpoint.end(unansweredSince);
  }
}
