import type { FailureAccrual } from '../balancer/failure-accrual.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import { BalancedHop, type HopWiring } from './balanced-hop.ts';
import type { HopState } from './hop.ts';

/** A peer has stripped what its application must not say; its own `l5d-err` goes on to the caller. */
const KEEP_L5D: FieldFilter = { dropL5d: false };

/** What says nothing of the pods behind a daemon. */
const GATEWAYS_FAULT: ReadonlySet<ProxyErrorCode> = new Set(['connect_failed', 'peer_not_trusted', 'peer_refused']);

/** A daemon that pods are reached through: what it and its pods fail by is kept apart. */
export interface GatewayState {
  readonly address: ServerAddress;
  readonly accrual: FailureAccrual;
}

/** Says that there is nobody else to ask: see `PickedPod`. */
const FORCE = 'mesh-force: true\r\n';

/**
 * Through the daemon on a pod's node, which is told which pod was picked (`mesh-endpoint`) and for which Service. That daemon sees
 * the requests of all senders; the pod is out for as long as it says, besides what its answers here are.
 */
export class GatewayHop extends BalancedHop {
  readonly peer = true;
  readonly proxy = true;
  readonly answerFilter = KEEP_L5D;
  readonly #gateway: FailureAccrual;
  readonly #lines: string;
  readonly #forcingLines: string;
  /** Its daemon has refused it, and it cannot be left out. */
  #refused = false;
  /** The attempt that is about to begin is to find out whether the pod has recovered. */
  #probing = false;
  #forced = false;

  constructor(
    gateway: GatewayState,
    endpoint: Endpoint,
    of: { readonly namespace: string; readonly service: string },
    wiring: HopWiring,
  ) {
    super(gateway.address, wiring);
    this.#gateway = gateway.accrual;
    this.#lines = `mesh-endpoint: ${endpointKey(endpoint)}\r\nmesh-service: ${of.service}.${of.namespace}\r\n`;
    this.#forcingLines = this.#lines + FORCE;
  }

  override describe(now: number): HopState {
    const state = super.describe(now);
    if (!this.#gateway.out) return state;
    return { ...state, outForMs: this.#gateway.outForMs(now), trouble: 'its daemon cannot be connected to' };
  }

  override callerLine(source: CallerSource): string {
    return source.peerLine;
  }

  override get out(): boolean {
    return this.#gateway.out || super.out;
  }

  override takeProbe(now: number): boolean {
    const gateway = this.#gateway;
    if (gateway.out && !gateway.probeDue(now)) return false;
    if (super.out && !super.takeProbe(now)) return false;
    if (gateway.out) gateway.beginProbe(now);
    this.#probing = true;
    return true;
  }

  override leaveOut(ms: number, now: number): void {
    const { accrual } = this.endpoint;
    accrual.putOut(ms, now);
    this.#refused = !accrual.out;
  }

  override begin(now: number): void {
    super.begin(now);
    // Picked although it is out, and as no probe: the balancer has found nobody else.
    this.#forced = this.#refused || (!this.#probing && this.out);
    this.#probing = false;
  }

  override fieldLines(insist: boolean): string {
    return insist || this.#forced ? this.#forcingLines : this.#lines;
  }

  override answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    this.#gateway.succeeded(now);
    if (!failed) this.#refused = false;
    super.answered(status, latencyMs, now, failed);
  }

  /** A daemon that cannot be connected to is no fault of the pod, and a connection that breaks need be neither's. */
  override lost(code: ProxyErrorCode, byPeer: boolean, now: number): void {
    if (byPeer && code !== 'peer_refused') {
      this.#gateway.succeeded(now);
      super.lost(code, byPeer, now);
    } else if (GATEWAYS_FAULT.has(code)) {
      this.#gateway.failed(now);
    } else if (code === 'attempt_timeout' || code === 'total_timeout') {
      super.lost(code, byPeer, now); // whose silence it is cannot be told; the pod's is the likelier one
    }
  }
}
