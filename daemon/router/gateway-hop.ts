import type { FailureAccrual } from '../balancer/failure-accrual.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import { BalancedHop, type HopWiring } from './balanced-hop.ts';

/** A peer has stripped what its application must not say; its own `l5d-err` goes on to the caller. */
const KEEP_L5D: FieldFilter = { dropL5d: false };

/** What says nothing of the pods behind a daemon. */
const GATEWAYS_FAULT: ReadonlySet<ProxyErrorCode> = new Set(['connect_failed', 'peer_not_trusted', 'peer_refused']);

/** A daemon that pods are reached through: what it and its pods fail by is kept apart. */
export interface GatewayState {
  readonly address: ServerAddress;
  readonly accrual: FailureAccrual;
}

/** Through the daemon on a pod's node, which is told which pod was picked (`mesh-endpoint`) and for which Service. */
export class GatewayHop extends BalancedHop {
  readonly fieldLines: string;
  readonly peer = true;
  readonly proxy = true;
  readonly answerFilter = KEEP_L5D;
  readonly #gateway: FailureAccrual;

  constructor(
    gateway: GatewayState,
    endpoint: Endpoint,
    of: { readonly namespace: string; readonly service: string },
    wiring: HopWiring,
  ) {
    super(gateway.address, wiring);
    this.#gateway = gateway.accrual;
    this.fieldLines = `mesh-endpoint: ${endpointKey(endpoint)}\r\nmesh-service: ${of.service}.${of.namespace}\r\n`;
  }

  override callerLine(source: CallerSource): string {
    return source.peerLine;
  }

  override get out(): boolean {
    return this.#gateway.out || super.out;
  }

  override takeProbe(now: number): boolean {
    if (!this.#gateway.out) return super.takeProbe(now);
    if (!this.#gateway.probeDue(now) || (super.out && !super.takeProbe(now))) return false;
    this.#gateway.beginProbe(now);
    return true;
  }

  override answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    this.#gateway.succeeded();
    super.answered(status, latencyMs, now, failed);
  }

  /** A daemon that cannot be connected to is no fault of the pod, and a connection that breaks need be neither's. */
  override lost(code: ProxyErrorCode, byPeer: boolean, now: number): void {
    if (byPeer && code !== 'peer_refused') {
      this.#gateway.succeeded();
      super.lost(code, byPeer, now);
    } else if (GATEWAYS_FAULT.has(code)) {
      this.#gateway.failed(now);
    } else if (code === 'attempt_timeout' || code === 'total_timeout') {
      super.lost(code, byPeer, now); // whose silence it is cannot be told; the pod's is the likelier one
    }
  }
}
