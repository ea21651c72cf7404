import type { Resolution, ResolutionStep, ResolvedEndpoint, StepKind } from '../../lib/explain.ts';
import type { ClusterState } from '../discovery/cluster-state.ts';
import type { PublishedEndpoint } from '../discovery/service-entry.ts';
import { asProxyError, ProxyError } from '../http/proxy-error.ts';
import { type Authority, parseAuthority } from '../http/request-target.ts';
import type { EgressBinding } from '../naming/egress-names.ts';
import { type Binding, endpointKey, type Path, type RoutedEndpoint } from '../naming/endpoint.ts';
import { namePath, reflectLoopback, serviceNames } from '../naming/identifier.ts';
import type { Named } from '../naming/namer.ts';
import { type Destination, type RoutedState, unrouted } from '../router/destination.ts';
import { type FoundCaller, findCaller } from './caller.ts';
import { endpointRow, refusedRow } from './endpoint-row.ts';
import { policyVerdict } from './policy-verdict.ts';
import type { RouterParts } from './router-parts.ts';

export interface ResolveOptions {
  readonly nodeName: string;
  readonly clusterDomain: string;
  /** Of how many this thread is the first. */
  readonly threads: number;
  readonly state: ClusterState;
  readonly parts: RouterParts;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

type Question = Pick<Resolution, 'asked'>['asked'];

/**
 * `/resolve`: the way of a request to `host` (`name[:port]`) from `from` (a pod's IP, `namespace/pod` or a namespace), by the very parts that requests
 * pass, which keep nothing of it. `method` and `path` are for MeshPolicies. Never rejects: what goes wrong is the outcome.
 */
export async function resolve(query: URLSearchParams, options: ResolveOptions): Promise<Resolution> {
  const asked = {
    host: query.get('host') ?? '',
    from: query.get('from'),
    method: query.get('method') ?? 'GET',
    path: query.get('path') ?? '/',
  };
  const walk = new Walk(asked, options);
  try {
    await walk.go();
  } catch (cause) {
    let error = asProxyError(cause);
    if (error.code === 'unknown_name' && !options.parts.synced()) {
      error = new ProxyError('not_synced', `${error.message}, as far as this daemon knows yet`);
    }
    walk.fail(error);
  }
  return walk.resolution();
}

class Walk {
  readonly #asked: Question;
  readonly #options: ResolveOptions;
  readonly #found: FoundCaller;
  readonly #steps: ResolutionStep[] = [];
  #name: string | null = null;
  #binding: Binding | undefined;
  #endpoints: ResolvedEndpoint[] = [];
  #outcome: Resolution['outcome'] = { ok: false, error: null, text: '' };

  constructor(asked: Question, options: ResolveOptions) {
    this.#asked = asked;
    this.#options = options;
    const { nodeName, state, parts } = options;
    this.#found = findCaller(asked.from ?? undefined, { callers: parts.callers, state, nodeName });
  }

  async go(): Promise<void> {
    const { caller } = this.#found;
    const who = caller.pod === null ? (caller.ip ?? caller.namespace ?? 'nobody') : `${caller.namespace}/${caller.pod}`;
    this.#step('caller', who, caller.why, caller.known);
    const authority = this.#identify();
    const named = this.#nameIt(authority);
    if (named.kind === 'egress') await this.#goOut(named.host, named.port);
    else this.#goTo(named.binding);
  }

  fail(error: ProxyError): void {
    this.#outcome = { ok: false, error: error.code, text: error.message };
  }

  resolution(): Resolution {
    const { nodeName, threads, wallClock } = this.#options;
    const { refusal } = this.#found;
    const binding = this.#binding;
    return {
      node: nodeName,
      at: wallClock(),
      thread: `0 of ${threads}`,
      asked: this.#asked,
      caller: this.#found.caller,
      steps: this.#steps,
      name: this.#name,
      service:
        binding === undefined || binding.namespace === '' || binding.service === ''
          ? null
          : { namespace: binding.namespace, name: binding.service, port: binding.portName ?? null },
      binding: binding?.key ?? null,
      endpoints: this.#endpoints,
      // It is the first thing that a request is refused for.
      outcome: refusal === undefined ? this.#outcome : { ok: false, error: refusal.code, text: this.#found.caller.why },
    };
  }

  #step(step: StepKind, title: string, detail: string, ok = true): void {
    this.#steps.push({ step, title, detail, ok });
  }

  /** The authority as the router takes it, which means a pod's own address where it says loopback. */
  #identify(): string {
    const { host } = this.#asked;
    const { address, namespace } = this.#found;
    const parsed = parseAuthority(host);
    this.#name = namePath(parsed);
    if (address === undefined && reflectLoopback(host, '') !== undefined) {
      throw new ProxyError('unknown_name', `"${host}" is the calling pod itself: say which, as from=<namespace>/<pod>`);
    }
    const reflected = address === undefined || namespace === undefined ? undefined : reflectLoopback(host, address);
    if (reflected !== undefined) this.#step('identifier', this.#name, `the calling pod itself: ${reflected}`);
    else this.#step('identifier', this.#name, this.#candidates(parsed));
    return reflected ?? host;
  }

  #candidates({ host, isAddress }: Authority): string {
    if (isAddress) return 'an address';
    const callerNamespace = this.#found.namespace;
    const names = serviceNames(host, { callerNamespace, clusterDomain: this.#options.clusterDomain });
    if (names.length === 0) return 'no name of a Service';
    const which = names.map(({ namespace, service, hostname }) =>
      hostname === undefined ? `Service ${namespace}/${service}` : `pod ${hostname} of Service ${namespace}/${service}`,
    );
    return `may be ${which.join(', or ')}`;
  }

  #nameIt(authority: string): Named {
    const { resolver } = this.#options.parts;
    try {
      return resolver.resolve(authority, this.#found.namespace, ({ kind }, named) => {
        const known = named?.kind === 'binding' ? named.binding.key : `an ExternalName: ${named?.host}`;
        this.#step('namer', kind, named === undefined ? 'does not know it' : known);
      });
    } catch (error) {
      this.#step('namer', 'io.l5d.k8s', asProxyError(error).message, false);
      throw error;
    }
  }

  async #goOut(host: string, port: number): Promise<void> {
    const { parts } = this.#options;
    if (!parts.synced()) throw new ProxyError('not_synced', `whether "${host}" is a Service is not known`);
    const title = `${host}:${port}`;
    const { addresses, binding } = await parts.egress.explain(host, port).catch((error: unknown) => {
      this.#step('egress', title, asProxyError(error).message, false);
      throw error;
    });
    const refused = binding instanceof ProxyError;
    for (const { ip, refusal } of addresses)
      this.#step('egress', title, refusal ?? `${ip}: allowed`, refusal === undefined);
    const closed = addresses.filter(({ refusal }) => refusal !== undefined);
    const dropped = closed.map(({ ip, refusal }) => refusedRow(ip, port, refusal));
    if (refused) {
      this.#endpoints = dropped;
      throw binding;
    }
    if (binding.viaParent) this.#step('egress', title, 'asked of the parent proxy, which decides what it reaches');
    this.#goTo(binding);
    this.#endpoints.push(...dropped);
  }

  #goTo(binding: Binding | EgressBinding): void {
    const destination = this.#options.parts.router.peek(binding);
    const outside = 'viaParent' in binding;
    this.#binding = binding;
    const { endpoints, routed, problem } = destination.describe();
    const why = outside ? new Map<string, string>() : this.#transform(binding);
    const byKey = new Map(routed.map((one) => [endpointKey(one.routed.endpoint), one]));
    const all: readonly PublishedEndpoint[] =
      binding.published?.() ?? endpoints.map((endpoint) => ({ ...endpoint, ready: true, why: undefined }));
    this.#endpoints = all.map((one) => {
      const found = byKey.get(endpointKey(one));
      const path = found?.routed.path ?? { kind: 'direct' };
      return endpointRow(one, found, why.get(endpointKey(one)), this.#policy(one, path));
    });
    if (!outside) this.#tellGateways(routed);
    this.#tellBalancer(destination, routed);
    this.#tellPolicy();
    if (problem !== undefined) throw problem;
    this.#conclude(binding, routed);
  }

  /** What each transformer drops, and why. */
  #transform(binding: Binding): ReadonlyMap<string, string> {
    const why = new Map<string, string>();
    let set: readonly RoutedEndpoint[] = unrouted(binding.endpoints());
    for (const step of this.#options.parts.transform.steps ?? []) {
      const left = step.apply(set);
      const kept = new Set(left.map(({ endpoint }) => endpoint));
      for (const { endpoint } of set) if (!kept.has(endpoint)) why.set(endpointKey(endpoint), step.why(endpoint));
      this.#step('transformer', step.kind, `${left.length} of ${set.length} endpoints stay`, left.length > 0);
      set = left;
    }
    return why;
  }

  #policy({ ip, port, nodeName }: PublishedEndpoint, path: Path): ResolvedEndpoint['policy'] {
    const { parts, state } = this.#options;
    const { address } = this.#found;
    const gate = parts.gate({ ip, port, nodeName }, path.kind);
    if (gate === undefined || parts.sources === undefined) return { verdict: 'allowed', by: 'none' };
    if (state.policies.idle) return { verdict: 'allowed', by: 'none' };
    if (address === undefined) return { verdict: 'unknown', by: 'which pod calls is not said' };
    const { method, path: target, host } = this.#asked;
    const request = { method, target: method === 'CONNECT' ? host : target, host, upgrade: undefined };
    const findings = gate.explain(parts.sources.at(address), request);
    return policyVerdict(findings, path.kind === 'gateway' ? path.nodeName : undefined);
  }

  #tellGateways(routed: readonly RoutedState[]): void {
    const ways = new Map<string, number>();
    for (const { routed: one } of routed) {
      const { path, endpoint } = one;
      const way =
        path.kind === 'gateway'
          ? `${path.nodeName} by ${endpointKey(path)}`
          : path.kind === 'self'
            ? `${this.#options.nodeName}: in process`
            : `${endpoint.nodeName ?? 'no known node'}: straight, without a daemon`;
      ways.set(way, (ways.get(way) ?? 0) + 1);
    }
    for (const [way, count] of ways) this.#step('gateway', way, `${count} of ${routed.length} endpoints`);
  }

  #tellBalancer({ policy }: Destination, routed: readonly RoutedState[]): void {
    const out = routed.filter(({ state }) => state?.out === true).length;
    const far = routed.filter(({ routed: { endpoint } }) => endpoint.far === true).length;
    const used = routed.some(({ state }) => state !== undefined);
    const parts = [
      `${routed.length} to draw from`,
      ...(far === 0 ? [] : [`${far} of them far`]),
      ...(out === 0 ? [] : [`${out} out for failures`]),
      ...(used ? [] : ['none was asked yet']),
    ];
    this.#step('balancer', policy.balancer.kind, parts.join(', '), routed.length > out);
  }

  #tellPolicy(): void {
    const texts = new Map<string, boolean>();
    for (const { policy, dropped } of this.#endpoints) {
      if (dropped === null) texts.set(`${policy.verdict}: ${policy.by}`, policy.verdict !== 'denied');
    }
    for (const [text, ok] of texts) {
      const [verdict = '', by = ''] = text.split(/: (.*)/s);
      this.#step('policy', verdict, by, ok);
    }
  }

  #conclude({ namespace, service }: Binding, routed: readonly RoutedState[]): void {
    const drawn = this.#endpoints.filter(({ weight, dropped }) => dropped === null && weight !== 0);
    const denied = drawn.filter(({ policy }) => policy.verdict === 'denied');
    if (drawn.length > 0 && denied.length === drawn.length) {
      this.fail(new ProxyError('policy_denied', `policies forbid it: ${denied[0]?.policy.by}`));
      return;
    }
    const of = namespace === '' || service === '' ? this.#asked.host : `Service ${namespace}/${service}`;
    const all = drawn.length === 0 ? `all ${routed.length} are out, and one is asked all the same` : undefined;
    const some = denied.length === 0 ? '' : `; ${denied.length} of them refuse it by policy`;
    const count = drawn.length === 1 ? 'the only endpoint' : `one of ${drawn.length} endpoints`;
    this.#outcome = { ok: true, error: null, text: all ?? `goes to ${count} of ${of} that take requests now${some}` };
  }
}
