import type { Exchange } from '../http/exchange.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { type RequestTarget, splitRequestTarget } from '../http/request-target.ts';
import type { EgressBinding, EgressNames } from '../naming/egress-names.ts';
import type { Binding } from '../naming/endpoint.ts';
import { reflectLoopback } from '../naming/identifier.ts';
import type { Resolver } from '../naming/resolver.ts';
import { AdaptiveLimit, type Place } from '../policy/adaptive-limit.ts';
import type { CallerSources } from '../policy/caller-sources.ts';
import type { Callers, KnownCaller } from '../policy/callers.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { MAX_TIMER_MS } from './call-time.ts';
import { askedDeadline, type DeadlineReading, deadlineExceeded } from './deadline.ts';
import type { Destination } from './destination.ts';
import { type ContextRules, forwardedHead, refuseLoop } from './forwarded-head.ts';
import { Forwarding } from './forwarding.ts';
import { answeredAsLastHop } from './max-forwards.ts';
import { RouterObserver } from './router-observer.ts';
import type { ForwardingRules } from './sending.ts';

const MAX_RESOLUTIONS = 4_096;
const MAX_DESTINATIONS = 1_000;
const MAX_OBSERVERS = 4_096;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

export interface OutgoingRouterOptions {
  readonly callers: Callers;
  /** Undefined where nobody asks who calls. */
  readonly sources: CallerSources | undefined;
  readonly resolver: Resolver;
  readonly egress: EgressNames;
  readonly makeDestination: (binding: Binding | EgressBinding) => Destination;
  /** Whether the cluster has been read, so that a name that is not found does not exist. */
  readonly synced: () => boolean;
  readonly pseudonym: string;
  readonly context: ContextRules;
  readonly rules: ForwardingRules;
  readonly metrics: DaemonMetrics;
}

/** What is shared by all who ask for a name. */
interface Target {
  readonly destination: Destination;
  /** The request is asked of the parent proxy. */
  readonly viaParent: boolean;
  /** Where the policy wants one. */
  readonly limit: AdaptiveLimit | undefined;
}

/** Where one workload's requests for a name go. */
interface Resolution {
  readonly target: Target;
  readonly observer: RouterObserver;
}

/** From a pod of this node to wherever its request goes: caller, name, endpoints, balancer, forwarding (DESIGN §5). */
export class OutgoingRouter {
  readonly #options: OutgoingRouterOptions;
  readonly #refused: RouterObserver;
  readonly #targets = new Map<string, Target>();
  /** By the caller's workload, or its namespace where that is all that is known, and the authority. */
  readonly #resolutions = new Map<string, Resolution>();
  /** By workload and name, the oldest first. */
  readonly #observers = new Map<string, RouterObserver>();
  #resolutionsVersion = -1;
  readonly #reading: DeadlineReading;

  constructor(options: OutgoingRouterOptions) {
    this.#options = options;
    const { context, rules } = options;
    this.#reading = { peer: false, dropL5d: context.filter.dropL5d, clocks: rules };
    options.metrics.onCollect(() => this.#collect());
    this.#refused = new RouterObserver(options.metrics, 'outgoing');
  }

  /** Takes one exchange and answers it, now or later. Never throws. */
  readonly handle = (exchange: Exchange): void => {
    try {
      const caller = this.#options.callers.known(exchange.caller.address);
      if (caller === undefined) this.#handleStranger(exchange);
      else this.#route(exchange, caller);
    } catch (error) {
      this.#refuse(exchange, error);
    }
  };

  #handleStranger(exchange: Exchange): void {
    this.#whenSettled(exchange, this.#options.callers.appear(exchange.caller.address), (caller) =>
      this.#route(exchange, caller),
    );
  }

  #route(exchange: Exchange, caller: KnownCaller): void {
    const { request, record } = exchange;
    record?.from(caller.namespace, caller.workload, caller.name);
    const namespace = caller.namespace ?? namespaceOfProxyUser(request.fields.value('proxy-authorization'));
    const { authority, path } = splitRequestTarget(request.method, request.target, request.host);
    refuseLoop(request, this.#options.pseudonym);
    if (answeredAsLastHop(exchange)) return;
    // A pod without a namespace is none that is known by its address.
    const reflected = caller.namespace === undefined ? undefined : reflectLoopback(authority, exchange.caller.address);
    const resolution = this.#resolve(reflected ?? authority, namespace, caller);
    if (resolution instanceof Promise) {
      this.#whenSettled(exchange, resolution, (found) => this.#forward(exchange, found, { authority, path }));
    } else {
      this.#forward(exchange, resolution, { authority, path });
    }
  }

  #forward(exchange: Exchange, { target, observer }: Resolution, { authority, path }: RequestTarget): void {
    const { destination, viaParent } = target;
    exchange.record?.destined(destination.binding.namespace, destination.binding.service);
    const { pseudonym, context, rules, sources } = this.#options;
    // A proxy is asked in absolute form (RFC 9112 §3.2.2).
    const asked =
      viaParent && exchange.request.method !== 'CONNECT' ? `http://${authority}${path === '*' ? '' : path}` : path;
    const headText = forwardedHead(exchange, { authority, path: asked }, pseudonym, context);
    const deadline = askedDeadline(exchange, this.#reading);
    const source = sources?.at(exchange.caller.address);
    const place = target.limit === undefined ? undefined : takePlace(target.limit, exchange, target);
    observer.started();
    new Forwarding(exchange, destination, { headText, deadline, source }, { rules, observer, place }).start();
  }

  #resolve(authority: string, namespace: string | undefined, caller: KnownCaller): Resolution | Promise<Resolution> {
    const { resolver, egress } = this.#options;
    if (resolver.version !== this.#resolutionsVersion || this.#resolutions.size >= MAX_RESOLUTIONS) {
      this.#resolutions.clear();
      this.#resolutionsVersion = resolver.version;
    }
    const of = caller.workloadKey ?? namespace;
    const key = of === undefined ? authority : `${of} ${authority}`;
    const known = this.#resolutions.get(key);
    if (known !== undefined) return known;
    const named = resolver.resolve(authority, namespace);
    if (named.kind === 'egress') {
      if (!this.#options.synced())
        throw new ProxyError('not_synced', `whether "${named.host}" is a Service is not known`);
      return egress.find(named.host, named.port).then((binding) => ({
        target: this.#target(binding, binding.viaParent),
        observer: this.#observer(binding, caller),
      }));
    }
    const { binding } = named;
    const resolution = { target: this.#target(binding, false), observer: this.#observer(binding, caller) };
    // An address may pass to another pod without any name's changing.
    if (!binding.key.startsWith('address/')) this.#resolutions.set(key, resolution);
    return resolution;
  }

  #observer(binding: Binding, { namespace, workload, workloadKey = '' }: KnownCaller): RouterObserver {
    const key = `${workloadKey} ${binding.key}`;
    const known = this.#observers.get(key);
    if (known !== undefined) return known;
    const observer = new RouterObserver(this.#options.metrics, 'outgoing', {
      srcNamespace: namespace ?? '',
      srcWorkload: workload ?? '',
      dstNamespace: binding.namespace,
      dstService: binding.service,
    });
    if (this.#observers.size >= MAX_OBSERVERS) {
      const [oldest] = this.#observers.keys();
      if (oldest !== undefined) this.#observers.delete(oldest);
    }
    this.#observers.set(key, observer);
    return observer;
  }

  #target(binding: Binding | EgressBinding, viaParent: boolean): Target {
    const known = this.#targets.get(binding.key);
    if (known !== undefined) return known;
    const destination = this.#options.makeDestination(binding);
    const target = { destination, limit: this.#limit(destination), viaParent };
    if (this.#targets.size >= MAX_DESTINATIONS) {
      const [oldest] = this.#targets.keys();
      if (oldest !== undefined) this.#targets.delete(oldest);
    }
    this.#targets.set(binding.key, target);
    return target;
  }

  #limit({ policy: { adaptiveConcurrency } }: Destination): AdaptiveLimit | undefined {
    if (adaptiveConcurrency === undefined) return undefined;
    return new AdaptiveLimit(adaptiveConcurrency, this.#options.rules.random);
  }

  #collect(): void {
    const { adaptiveLimit, endpointState } = this.#options.metrics;
    for (const { destination, limit } of this.#targets.values()) {
      const { namespace, service } = destination.binding;
      if (limit !== undefined) adaptiveLimit.with(namespace, service).add(limit.limit);
      for (const [state, count] of Object.entries(destination.states())) {
        endpointState.with(namespace, service, state).add(count);
      }
    }
  }

  /** Of the names that requests have gone to. */
  get destinations(): readonly Destination[] {
    return [...this.#targets.values()].map(({ destination }) => destination);
  }

  /** What requests to a name go by, or the next one would; nothing of it is kept: for people's questions. */
  peek(binding: Binding | EgressBinding): Destination {
    return this.#targets.get(binding.key)?.destination ?? this.#options.makeDestination(binding);
  }

  /** Goes on once `waited` settles, unless the caller has gone away meanwhile, or its time or the router's for names is over. */
  #whenSettled<T>(exchange: Exchange, waited: Promise<T>, goOn: (value: T) => void): void {
    let over = false;
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      over = true;
      clearTimeout(timer);
    };
    const refuse = (error: unknown) => {
      if (over) return;
      end();
      this.#refuse(exchange, error);
    };
    exchange.watcher = { onCallerGone: end, onCallerWritable() {} };
    waited
      .then((value) => {
        if (over) return;
        clearTimeout(timer);
        goOn(value);
      })
      .catch(refuse);
    try {
      const { error: late, leftMs } = this.#timeToResolve(exchange);
      timer = setTimeout(refuse, Math.min(Math.max(0, leftMs), MAX_TIMER_MS), late);
    } catch (error) {
      refuse(error);
    }
  }

  #timeToResolve(exchange: Exchange): { leftMs: number; error: ProxyError } {
    const { now, bindingTimeoutMs } = this.#options.rules;
    const asked = askedDeadline(exchange, this.#reading);
    const spentMs = now() - exchange.startedAt;
    if (asked !== undefined && asked.leftMs < bindingTimeoutMs) {
      return { leftMs: asked.leftMs - spentMs, error: deadlineExceeded(asked.leftMs) };
    }
    const error = new ProxyError('binding_timeout', `what is asked for was not resolved within ${bindingTimeoutMs} ms`);
    return { leftMs: bindingTimeoutMs - spentMs, error };
  }

  #refuse(exchange: Exchange, cause: unknown): void {
    let error = asProxyError(cause);
    if (error.code === 'unknown_name' && !this.#options.synced()) {
      error = new ProxyError('not_synced', `${error.message}, as far as this daemon knows yet`);
    }
    this.#refused.failed(error);
    exchange.fail(error);
  }
}

/** Throws ProxyError where the Service has as much to do as it can. */
function takePlace(adaptive: AdaptiveLimit, exchange: Exchange, target: Target): Place {
  const { address } = exchange.caller;
  const place = adaptive.take(address, exchange.startedAt);
  if (place !== undefined) return place;
  const { service } = target.destination.binding;
  throw new ProxyError(
    'overloaded',
    `"${service}" has ${adaptive.limit} requests of this node to answer, as many as it can at a time, or ${address} has its share of them`,
  );
}

/**
 * The namespace that the webhook put into the proxy URL as its user (overlay host-port: `http://shop@…`), from the
 * Proxy-Authorization that clients make of it (RFC 7617). Good for names, never for trust.
 */
export function namespaceOfProxyUser(credentials: string | undefined): string | undefined {
  if (credentials === undefined) return undefined;
  const encoded = /^Basic +([0-9A-Za-z+/=]+)$/i.exec(credentials)?.[1];
  if (encoded === undefined) return undefined;
  const user = Buffer.from(encoded, 'base64').toString('latin1').split(':')[0] ?? '';
  return NAMESPACE.test(user) ? user : undefined;
}
