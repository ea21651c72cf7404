import type { Counter } from '../../lib/metrics.ts';
import type { Siblings } from '../balancer/endpoint-load.ts';
import type { ServerAddress } from '../client/connector.ts';
import type { FieldFilter } from '../http/fields.ts';
import type { ProxyErrorCode } from '../http/proxy-error.ts';
import { type Endpoint, endpointKey } from '../naming/endpoint.ts';
import type { CallerSource } from '../policy/caller-sources.ts';
import { type DaemonMetrics, ServiceMetrics } from '../telemetry/daemon-metrics.ts';
import { BalancedHop, type HopWiring, isPodsFault } from './balanced-hop.ts';
import type { HopState } from './hop.ts';
import type { LocalPod } from './local-pods.ts';

interface ServiceOfHop {
  readonly namespace: string;
  readonly service: string;
}

/** What every hop to an application is made of, whichever it is. */
export interface PodHopWiring extends HopWiring {
  readonly address: ServerAddress;
  /** For what the application answers. */
  readonly answerFilter: FieldFilter;
}

interface LocalPodHopWiring extends PodHopWiring {
  /** By the requests of all routers, whoever sends them. */
  readonly known: LocalPod;
  /** The pod's; '' where its watch has not shown it. */
  readonly workload: string;
}

/** Load of a pod that has as much to do as it bears. */
const FULL = 1e9;

/** To a pod of this node: the last step of every request, whichever router takes it. Counted as the incoming router's. */
export class LocalPodHop extends BalancedHop {
  readonly peer = false;
  readonly proxy = false;
  readonly answerFilter: FieldFilter;
  readonly #service: ServiceMetrics;
  readonly #requests: Counter;
  readonly #known: LocalPod;

  constructor(endpoint: Endpoint, of: ServiceOfHop, wiring: LocalPodHopWiring, metrics: DaemonMetrics) {
    super(wiring.address, wiring);
    this.answerFilter = wiring.answerFilter;
    this.#known = wiring.known;
    const pod = endpoint.pod ?? endpointKey(endpoint);
    const { namespace: dstNamespace, service: dstService } = of;
    const parties = { dstNamespace, dstService, dstWorkload: wiring.workload, dstPod: pod };
    this.#service = new ServiceMetrics(metrics, 'incoming', parties);
    this.#requests = metrics.endpointRequests.with('incoming', of.namespace, of.service, pod);
  }

  override describe(now: number): HopState {
    const state = super.describe(now);
    const full = !state.out && this.full;
    return full ? { ...state, trouble: 'it has as much to do as it bears' } : state;
  }

  override callerLine(source: CallerSource): string {
    return source.clientLine;
  }

  /** Whether it is out for its failures, by what all senders have had of it; `out` is of the router's own choosing. */
  get outForAll(): boolean {
    return this.#known.accrual.out;
  }

  /** Whether a request that comes now may find out whether it has recovered; so does one at most. */
  takeProbeForAll(now: number): boolean {
    const { accrual } = this.#known;
    if (!accrual.probeDue(now)) return false;
    accrual.beginProbe(now);
    return true;
  }

  /** ms until the next such request. */
  outForMs(now: number): number {
    return this.#known.accrual.outForMs(now);
  }

  /** Whether it has as much to do as it bears, for all senders together. */
  get full(): boolean {
    return this.#known.queue.full;
  }

  override load(now: number): number {
    return this.#known.queue.full ? FULL : super.load(now);
  }

  override begin(now: number): void {
    super.begin(now);
    this.#known.queue.begin();
    this.#service.requests.value += 1;
    this.#service.inFlight.value += 1;
    this.#requests.value += 1;
  }

  override answered(status: number, latencyMs: number, now: number, failed: boolean): void {
    super.answered(status, latencyMs, now, failed);
    const { accrual, queue } = this.#known;
    if (failed) {
      this.#failed(now);
      queue.lost();
    } else {
      accrual.succeeded(now);
      queue.answered(latencyMs);
    }
  }

  override lost(code: ProxyErrorCode, byPeer: boolean, now: number): void {
    super.lost(code, byPeer, now);
    if (isPodsFault(code)) this.#failed(now);
  }

  /** What other nodes' requests have shown, this node's own callers need not find out anew. */
  #failed(now: number): void {
    const { accrual, ways } = this.#known;
    const { out } = accrual;
    accrual.failed(now);
    if (out || !accrual.out) return;
    for (const way of ways) way.leaveOut(accrual.outForMs(now), now);
  }

  override leaveOut(ms: number, now: number): void {
    this.endpoint.accrual.putOut(ms, now);
  }

  override join(siblings: Siblings | undefined, now: number): void {
    super.join(siblings, now);
    const { accrual, ways } = this.#known;
    if (siblings === undefined) {
      ways.delete(this);
      return;
    }
    ways.add(this);
    if (accrual.out) this.leaveOut(accrual.outForMs(now), now);
  }

  override takeProbe(now: number): boolean {
    const { accrual } = this.#known;
    if (accrual.out && !accrual.probeDue(now)) return false;
    if (!super.takeProbe(now)) return false;
    if (accrual.out) accrual.beginProbe(now);
    return true;
  }

  override end(status: number, latencyMs: number, failed: boolean, unansweredSince: number | undefined): void {
    super.end(status, latencyMs, failed, unansweredSince);
    if (unansweredSince !== undefined) this.#known.queue.lost();
    this.#service.inFlight.value -= 1;
    this.#service.responded(status, latencyMs, failed);
  }
}

/** Straight to an address: a pod past any daemon, something outside the cluster, or the proxy that leads there. */
export class DirectHop extends BalancedHop {
  readonly peer = false;
  readonly proxy: boolean;
  readonly answerFilter: FieldFilter;
  readonly #counter: Counter | undefined;

  /** `proxy`: the server is the parent proxy. `counter`: of requests that should have had a daemon to go through. */
  constructor(wiring: PodHopWiring, proxy: boolean, counter: Counter | undefined) {
    super(wiring.address, wiring);
    this.proxy = proxy;
    this.answerFilter = wiring.answerFilter;
    this.#counter = counter;
  }

  override begin(now: number): void {
    super.begin(now);
    if (this.#counter !== undefined) this.#counter.value += 1;
  }
}
