import type { Exchange } from '../http/exchange.ts';
import type { FieldFilter } from '../http/fields.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { type RequestTarget, splitRequestTarget } from '../http/request-target.ts';
import type { EgressBinding, EgressNames } from '../naming/egress-names.ts';
import type { Binding } from '../naming/endpoint.ts';
import { reflectLoopback } from '../naming/identifier.ts';
import type { Resolver } from '../naming/resolver.ts';
import type { CallerSources } from '../policy/caller-sources.ts';
import type { Callers, KnownCaller } from '../policy/callers.ts';
import type { DaemonMetrics } from '../telemetry/daemon-metrics.ts';
import { askedDeadline } from './deadline.ts';
import type { Destination } from './destination.ts';
import { forwardedHead, refuseLoop } from './forwarded-head.ts';
import { Forwarding, type ForwardingRules } from './forwarding.ts';
import { answeredAsLastHop } from './max-forwards.ts';
import { RouterObserver } from './router-observer.ts';

const MAX_RESOLUTIONS = 4_096;
const MAX_DESTINATIONS = 1_000;
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
  readonly requestFilter: FieldFilter;
  readonly rules: ForwardingRules;
  readonly metrics: DaemonMetrics;
}

interface Target {
  readonly destination: Destination;
  readonly observer: RouterObserver;
  /** The request is asked of the parent proxy. */
  readonly viaParent: boolean;
}

/** From a pod of this node to wherever its request goes: caller, name, endpoints, balancer, forwarding (DESIGN §5). */
export class OutgoingRouter {
  readonly #options: OutgoingRouterOptions;
  readonly #refused: RouterObserver;
  readonly #targets = new Map<string, Target>();
  readonly #resolutions = new Map<string, Target>();
  #resolutionsVersion = -1;

  constructor(options: OutgoingRouterOptions) {
    this.#options = options;
    this.#refused = new RouterObserver(options.metrics, 'outgoing', undefined);
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
    const { request } = exchange;
    const namespace = caller.namespace ?? namespaceOfProxyUser(request.fields.value('proxy-authorization'));
    const { authority, path } = splitRequestTarget(request.method, request.target, request.host);
    refuseLoop(request, this.#options.pseudonym);
    if (answeredAsLastHop(exchange)) return;
    // A pod without a namespace is none that is known by its address.
    const reflected = caller.namespace === undefined ? undefined : reflectLoopback(authority, exchange.caller.address);
    const target = this.#resolve(reflected ?? authority, namespace);
    if (target instanceof Promise) {
      this.#whenSettled(exchange, target, (found) => this.#forward(exchange, found, { authority, path }));
    } else {
      this.#forward(exchange, target, { authority, path });
    }
  }

  #forward(exchange: Exchange, target: Target, { authority, path }: RequestTarget): void {
    const { destination, observer, viaParent } = target;
    const { pseudonym, requestFilter, rules, sources } = this.#options;
    // A proxy is asked in absolute form (RFC 9112 §3.2.2).
    const asked =
      viaParent && exchange.request.method !== 'CONNECT' ? `http://${authority}${path === '*' ? '' : path}` : path;
    const headText = forwardedHead(exchange.request, { authority, path: asked }, pseudonym, requestFilter);
    const deadline = askedDeadline(exchange.request, false);
    const source = sources?.at(exchange.caller.address);
    observer.started();
    new Forwarding(exchange, destination, { headText, deadline, source }, { rules, observer }).start();
  }

  #resolve(authority: string, namespace: string | undefined): Target | Promise<Target> {
    const { resolver, egress } = this.#options;
    if (resolver.version !== this.#resolutionsVersion || this.#resolutions.size >= MAX_RESOLUTIONS) {
      this.#resolutions.clear();
      this.#resolutionsVersion = resolver.version;
    }
    const key = namespace === undefined ? authority : `${namespace} ${authority}`;
    const known = this.#resolutions.get(key);
    if (known !== undefined) return known;
    const named = resolver.resolve(authority, namespace);
    if (named.kind === 'egress') {
      if (!this.#options.synced())
        throw new ProxyError('not_synced', `whether "${named.host}" is a Service is not known`);
      return egress.find(named.host, named.port).then((binding) => this.#target(binding, binding.viaParent));
    }
    const target = this.#target(named.binding, false);
    // An address may pass to another pod without any name's changing.
    if (!named.binding.key.startsWith('address/')) this.#resolutions.set(key, target);
    return target;
  }

  #target(binding: Binding | EgressBinding, viaParent: boolean): Target {
    const known = this.#targets.get(binding.key);
    if (known !== undefined) return known;
    const { metrics, makeDestination } = this.#options;
    const service = metrics.service('outgoing', binding.namespace, binding.service);
    const target = {
      destination: makeDestination(binding),
      observer: new RouterObserver(metrics, 'outgoing', service),
      viaParent,
    };
    if (this.#targets.size >= MAX_DESTINATIONS) {
      const [oldest] = this.#targets.keys();
      if (oldest !== undefined) this.#targets.delete(oldest);
    }
    this.#targets.set(binding.key, target);
    return target;
  }

  /** Goes on once `waited` settles, unless the caller has gone away meanwhile. */
  #whenSettled<T>(exchange: Exchange, waited: Promise<T>, goOn: (value: T) => void): void {
    let gone = false;
    exchange.watcher = {
      onCallerGone() {
        gone = true;
      },
      onCallerWritable() {},
    };
    waited
      .then((value) => {
        if (!gone) goOn(value);
      })
      .catch((error: unknown) => {
        if (!gone) this.#refuse(exchange, error);
      });
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
