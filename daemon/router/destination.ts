import { EjectionLimit } from '../balancer/ejection-limit.ts';
import type { Siblings } from '../balancer/endpoint-load.ts';
import { RetryBudget } from '../balancer/retry-budget.ts';
import { drawnShares } from '../balancer/shares.ts';
import { TieredBalancer } from '../balancer/tiered-balancer.ts';
import { UsualLatency } from '../balancer/usual-latency.ts';
import { ProxyError } from '../http/proxy-error.ts';
import { type Binding, type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { Transform } from '../naming/transformers/transform.ts';
import type { Hop, HopState, Route } from './hop.ts';
import type { RoutePolicy } from './route-policy.ts';

const UNROUTED: Path = { kind: 'direct' };

export interface DestinationOptions {
  readonly binding: Binding;
  readonly policy: RoutePolicy;
  readonly transform: Transform;
  readonly makeHop: (routed: RoutedEndpoint) => Hop;
  /** Why no endpoint is left after the transformers, though the name has `count` of them. */
  readonly allDropped: (count: number) => ProxyError;
  /** So many endpoints are out for their failures that one is used all the same. */
  readonly onPanic: () => void;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/** One endpoint that may be picked now, for people. */
export interface RoutedState {
  readonly routed: RoutedEndpoint;
  /** Undefined where no request has gone there yet. */
  readonly state: HopState | undefined;
  /** Of the draws, 0 to 1; undefined where the balancer cannot say. */
  readonly share: number | undefined;
}

/** What the next request would choose from. */
export interface DestinationState {
  /** Those of the binding, before the transformers. */
  readonly endpoints: readonly Endpoint[];
  readonly routed: readonly RoutedState[];
  /** What the next request would be refused with, where nothing is left to choose from. */
  readonly problem: ProxyError | undefined;
}

/** Of a hop that is made for its first request. */
const UNUSED = { queue: 0, load: 0, warmth: 1, out: false };

/**
 * What a router keeps of one name between requests: one hop a pod, retained as long as the pod and its path stay, so that
 * requests under way still count against it after an unrelated change.
 */
export class Destination implements Route {
  readonly binding: Binding;
  readonly policy: RoutePolicy;
  readonly #options: DestinationOptions;
  #bindingVersion: number | undefined;
  #transformVersion: number | undefined;
  #byKey = new Map<string, Hop>();
  #pods: ReadonlySet<string> = new Set();
  #count = 0;
  readonly #budget: RetryBudget;
  readonly #requeues: RetryBudget;
  readonly #balancer: TieredBalancer<Hop>;
  readonly #siblings: Siblings;

  constructor(options: DestinationOptions) {
    this.binding = options.binding;
    this.policy = options.policy;
    this.#budget = new RetryBudget(options.policy.retryBudget);
    this.#siblings = { ejections: new EjectionLimit(options.onPanic), usual: new UsualLatency() };
    this.#requeues = new RetryBudget(options.policy.requeueBudget);
    this.#balancer = new TieredBalancer(options.policy.balancer);
    this.#options = options;
  }

  pick(tried: ReadonlySet<Hop>): Hop | undefined {
    const { binding } = this;
    const { transform, now, random, onPanic } = this.#options;
    if (binding.version !== this.#bindingVersion || transform.version !== this.#transformVersion) this.#refresh();
    if (this.#balancer.empty) throw this.#explainEmpty(this.#count);
    return this.#balancer.pick(now(), random, onPanic, tried);
  }

  /**
   * What the next request would choose from, as it is now, with the `shares` of each where they are wanted (a millisecond). Changes
   * nothing: hops are made by requests alone.
   */
  describe(wantsShares = true): DestinationState {
    const now = this.#options.now();
    const { endpoints, routed } = this.#route();
    const found = new Map(routed.map((one) => [keyOf(one), one]));
    const states = [...found].map(([key, one]) => ({ routed: one, state: this.#byKey.get(key)?.describe(now) }));
    const members = states.map(({ routed, state }) => ({ ...(state ?? UNUSED), far: routed.endpoint.far === true }));
    const shares = wantsShares ? drawnShares(this.policy.balancer, members) : undefined;
    return {
      endpoints,
      routed: states.map((one, i) => ({ ...one, share: shares?.[i] })),
      problem: states.length > 0 ? undefined : this.#explainEmpty(endpoints.length),
    };
  }

  #route(): { endpoints: readonly Endpoint[]; routed: readonly RoutedEndpoint[] } {
    const endpoints = this.binding.endpoints();
    return { endpoints, routed: this.#options.transform.apply(unrouted(endpoints)) };
  }

  requested(): void {
    const now = this.#options.now();
    this.#budget.deposit(now);
    this.#requeues.deposit(now);
  }

  withdrawRetry(): boolean {
    return this.#budget.withdraw(this.#options.now());
  }

  withdrawRequeue(): boolean {
    return this.#requeues.withdraw(this.#options.now());
  }

  #refresh(): void {
    const { transform, makeHop, now } = this.#options;
    this.#bindingVersion = this.binding.version;
    this.#transformVersion = transform.version;
    const { endpoints, routed } = this.#route();
    const pods = new Set(endpoints.map(podKey));
    // The first pods of a name have nobody who could serve meanwhile. One that only changes its path is not new.
    const { slowStartMs } = this.policy.balancer;
    const slowStart = slowStartMs > 0 && [...pods].some((pod) => this.#pods.has(pod));
    const byKey = new Map<string, Hop>();
    const near: Hop[] = [];
    const far: Hop[] = [];
    const added: Hop[] = [];
    for (const one of routed) {
      const key = keyOf(one);
      if (byKey.has(key)) continue;
      let hop = this.#byKey.get(key);
      if (hop === undefined) {
        hop = makeHop(one);
        added.push(hop);
      }
      byKey.set(key, hop);
      if (slowStart && !this.#pods.has(podKey(one.endpoint))) hop.warmUp(now(), slowStartMs);
      (one.endpoint.far === true ? far : near).push(hop);
    }
    for (const [key, hop] of this.#byKey) if (!byKey.has(key)) hop.join(undefined, now());
    this.#siblings.ejections.resize(byKey.size);
    for (const hop of added) hop.join(this.#siblings, now());
    this.#byKey = byKey;
    this.#pods = pods;
    this.#balancer.set(near, far);
    this.#count = endpoints.length;
  }

  #explainEmpty(count: number): ProxyError {
    if (count > 0) return this.#options.allDropped(count);
    const { namespace, service, confinement } = this.binding;
    const of = namespace === '' ? `"${service}"` : `Service "${service}" in namespace "${namespace}"`;
    return new ProxyError(
      'no_endpoints',
      `${of} has no ready endpoints${confinement === undefined ? '' : ` ${confinement}`}`,
    );
  }
}

/** Endpoints as they come to a router's transformers. */
export function unrouted(endpoints: readonly Endpoint[]): RoutedEndpoint[] {
  return endpoints.map((endpoint) => ({ endpoint, path: UNROUTED }));
}

/** What of an endpoint, and of the way to it, makes it the same one after a change. */
function keyOf({ endpoint, path }: RoutedEndpoint): string {
  return `${podKey(endpoint)} ${pathKey(path)}`;
}

function podKey(endpoint: Endpoint): string {
  return `${endpointKey(endpoint)} ${endpoint.pod ?? ''}`;
}

function pathKey(path: Path): string {
  return path.kind === 'gateway' ? endpointKey(path) : path.kind;
}
