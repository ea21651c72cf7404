import { type Balancer, makeBalancer } from '../balancer/balancer.ts';
import { EjectionLimit } from '../balancer/ejection-limit.ts';
import type { Siblings } from '../balancer/endpoint-load.ts';
import { RetryBudget } from '../balancer/retry-budget.ts';
import { UsualLatency } from '../balancer/usual-latency.ts';
import { ProxyError } from '../http/proxy-error.ts';
import { type Binding, type Endpoint, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import type { Transform } from '../naming/transformers/transform.ts';
import type { Hop, Route } from './hop.ts';
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
  /** An endpoint was put out for its failures, or is in again. */
  readonly onTurn?: ((to: 'out' | 'ready') => void) | undefined;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

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
  #near: readonly Hop[] = [];
  /** For when no near one is left. */
  #far: readonly Hop[] = [];
  #nearFailed = false;
  #count = 0;
  readonly #budget: RetryBudget;
  readonly #requeues: RetryBudget;
  readonly #balancer: Balancer<Hop>;
  readonly #farBalancer: Balancer<Hop>;
  readonly #siblings: Siblings;

  constructor(options: DestinationOptions) {
    this.binding = options.binding;
    this.policy = options.policy;
    this.#budget = new RetryBudget(options.policy.retryBudget);
    this.#siblings = { ejections: new EjectionLimit(options.onPanic, options.onTurn), usual: new UsualLatency() };
    this.#requeues = new RetryBudget(options.policy.requeueBudget);
    this.#balancer = makeBalancer(options.policy.balancer);
    this.#farBalancer = makeBalancer(options.policy.balancer);
    this.#options = options;
  }

  pick(tried: ReadonlySet<Hop>): Hop | undefined {
    const { binding } = this;
    const { transform, now, random, onPanic } = this.#options;
    if (binding.version !== this.#bindingVersion || transform.version !== this.#transformVersion) this.#refresh();
    if (this.#near.length === 0) throw this.#explainEmpty();
    const at = now();
    if (this.#far.length === 0)
      return this.#balancer({ members: this.#near, now: at, random, onPanic, excluded: tried });
    this.#nearFailed = false;
    const near = this.#balancer({
      members: this.#near,
      now: at,
      random,
      onPanic: this.#onNearFailed,
      excluded: tried,
    });
    if (near !== undefined && !this.#nearFailed) return near;
    return this.#farBalancer({ members: this.#far, now: at, random, onPanic, excluded: tried }) ?? near;
  }

  /** How many of its endpoints are in which state, as of the last request. */
  states(): { ready: number; out: number; warming: number } {
    const now = this.#options.now();
    const states = { ready: 0, out: 0, warming: 0 };
    for (const hop of this.#byKey.values()) {
      if (hop.out) states.out += 1;
      else if (hop.warmth(now) < 1) states.warming += 1;
      else states.ready += 1;
    }
    return states;
  }

  readonly #onNearFailed = (): void => {
    this.#nearFailed = true;
  };

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
    const endpoints = this.binding.endpoints();
    const routed = transform.apply(endpoints.map((endpoint) => ({ endpoint, path: UNROUTED })));
    const pods = new Set(endpoints.map(podKey));
    // The first pods of a name have nobody who could serve meanwhile. One that only changes its path is not new.
    const { slowStartMs } = this.policy.balancer;
    const slowStart = slowStartMs > 0 && [...pods].some((pod) => this.#pods.has(pod));
    const byKey = new Map<string, Hop>();
    const near: Hop[] = [];
    const far: Hop[] = [];
    const added: Hop[] = [];
    for (const one of routed) {
      const pod = podKey(one.endpoint);
      const key = `${pod} ${pathKey(one.path)}`;
      if (byKey.has(key)) continue;
      let hop = this.#byKey.get(key);
      if (hop === undefined) {
        hop = makeHop(one);
        added.push(hop);
      }
      byKey.set(key, hop);
      if (slowStart && !this.#pods.has(pod)) hop.warmUp(now(), slowStartMs);
      (one.endpoint.far === true ? far : near).push(hop);
    }
    for (const [key, hop] of this.#byKey) if (!byKey.has(key)) hop.join(undefined, now());
    this.#siblings.ejections.resize(byKey.size);
    for (const hop of added) hop.join(this.#siblings, now());
    this.#byKey = byKey;
    this.#pods = pods;
    // The near ones may all be on nodes without a daemon.
    this.#near = near.length > 0 ? near : far;
    this.#far = near.length > 0 ? far : [];
    this.#count = endpoints.length;
  }

  #explainEmpty(): ProxyError {
    if (this.#count > 0) return this.#options.allDropped(this.#count);
    const { namespace, service, confinement } = this.binding;
    const of = namespace === '' ? `"${service}"` : `Service "${service}" in namespace "${namespace}"`;
    return new ProxyError(
      'no_endpoints',
      `${of} has no ready endpoints${confinement === undefined ? '' : ` ${confinement}`}`,
    );
  }
}

function podKey(endpoint: Endpoint): string {
  return `${endpointKey(endpoint)} ${endpoint.pod ?? ''}`;
}

function pathKey(path: Path): string {
  return path.kind === 'gateway' ? endpointKey(path) : path.kind;
}
