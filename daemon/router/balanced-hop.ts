import type { EndpointLoad } from '../balancer/endpoint-load.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { Http1Pool } from '../client/http1-pool.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import type { EndpointGate } from '../policy/endpoint-gate.ts';
import type { Hop } from './hop.ts';

/** A pod did not fail by having left, nor by a policy, and a daemon that is starting, stopping or overloaded says nothing
 * of its pods; nor does a caller's short patience. */
const NO_FAULT: ReadonlySet<ProxyErrorCode> = new Set([
  'endpoint_gone',
  'policy_denied',
  'draining',
  'not_synced',
  'overloaded',
  'deadline_exceeded',
]);

/** What every hop is made of. */
export interface HopWiring {
  readonly pool: Http1Pool;
  readonly load: EndpointLoad;
  readonly gate?: EndpointGate | undefined;
}

/** What all hops have in common: the balancer's view of the pod that they lead to. */
export abstract class BalancedHop implements Hop {
  abstract readonly fieldLines: string;
  abstract readonly peer: boolean;
  abstract readonly proxy: boolean;
  abstract readonly answerFilter: FieldFilter;
  readonly address: ServerAddress;
  readonly pool: Http1Pool;
  readonly gate: EndpointGate | undefined;
  protected readonly endpoint: EndpointLoad;

  constructor(address: ServerAddress, { pool, load, gate }: HopWiring) {
    this.address = address;
    this.pool = pool;
    this.endpoint = load;
    this.gate = gate;
  }

  callerLine(_source: CallerSource): string {
    return '';
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

  begin(): void {
    this.endpoint.begin();
  }

  answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    this.endpoint.answered(status, latencyMs, now, failed);
  }

  lost(code: ProxyErrorCode, _byPeer: boolean, now: number): void {
    if (!NO_FAULT.has(code)) this.endpoint.lost(now);
  }

  end(_status: number, _latencyMs: number, _failed: boolean): void {
    this.endpoint.end();
  }
}
