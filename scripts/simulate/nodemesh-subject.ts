import type { BalancerConfig } from '../../daemon/balancer/balancer.ts';
import { EndpointLoad } from '../../daemon/balancer/endpoint-load.ts';
import { FailureAccrual, GATEWAY_ACCRUAL } from '../../daemon/balancer/failure-accrual.ts';
import { retryDelayMs } from '../../daemon/balancer/retry-backoff.ts';
import type { Http1Pool } from '../../daemon/client/http1-pool.ts';
import type { Preference } from '../../daemon/discovery/locality.ts';
import { readyEndpoints } from '../../daemon/discovery/service-entry.ts';
import { ProxyError } from '../../daemon/http/proxy-error.ts';
import type { Endpoint } from '../../daemon/naming/endpoint.ts';
import { Attempts, type Failure } from '../../daemon/router/attempts.ts';
import { Destination } from '../../daemon/router/destination.ts';
import { GatewayHop, type GatewayState } from '../../daemon/router/gateway-hop.ts';
import type { Hop } from '../../daemon/router/hop.ts';
import { ResponseClassifier } from '../../daemon/router/response-classifier.ts';
import { DEFAULT_POLICY } from '../../daemon/router/route-policy.ts';
import type { SimulatedHost, SimulatedPod } from './cluster.ts';
import type { Call, Caller, Next, Outcome, Subject, SubjectOptions } from './subject.ts';

const PORT = 80;
/** Hops lead to simulated pods: no connection is made. */
const NO_POOL = {} as Http1Pool;
const OF = { namespace: 'shop', service: 'world' };

/** The daemon as it is shipped: its destinations, hops, accrual and retries, with its defaults but for the balancer's `kind`. */
export function nodemesh(name: string, kind: BalancerConfig['kind']): Subject {
  return {
    name,
    ours: true,
    start: (options) => (host) => new NodemeshCaller(host, kind, options),
  };
}

class NodemeshCaller implements Caller {
  readonly #preference: Preference;
  readonly #destination: Destination;
  readonly #options: SubjectOptions;
  readonly #gateways = new Map<string, GatewayState>();
  readonly #podOf = new Map<Hop, SimulatedPod>();
  #pods = new Map<string, SimulatedPod>();
  #endpoints: readonly Endpoint[] = [];
  #version = 0;

  constructor({ name, zone }: SimulatedHost, balancer: BalancerConfig['kind'], options: SubjectOptions) {
    const { retries, now, random } = options;
    this.#options = options;
    this.#preference = { place: { nodeName: name, zone }, trafficDistribution: undefined, localOnly: false };
    const version = () => this.#version;
    const kind = retries ? 'io.l5d.http.retryableRead5XX' : 'io.l5d.http.nonRetryable5XX';
    this.#destination = new Destination({
      binding: {
        ...OF,
        key: 'shop/world:http',
        get version() {
          return version();
        },
        endpoints: () => this.#endpoints,
      },
      policy: {
        ...DEFAULT_POLICY,
        classifier: new ResponseClassifier(kind),
        balancer: { ...DEFAULT_POLICY.balancer, kind: balancer },
      },
      transform: { version: 0, apply: (set) => set },
      makeHop: ({ endpoint }) => this.#makeHop(endpoint),
      allDropped: () => new ProxyError('no_gateway', 'no endpoint is left'),
      onPanic: () => {},
      now,
      random,
    });
  }

  discovered(pods: readonly SimulatedPod[]): void {
    this.#version += 1;
    this.#pods = new Map(pods.map((pod) => [pod.ip, pod]));
    const addresses = pods.map(({ ip, name, host }) => ({
      ip,
      nodeName: host.name,
      pod: name,
      hostname: undefined,
      zone: host.zone,
      forZones: undefined,
      forNodes: undefined,
      ready: true,
      serving: true,
      terminating: false,
    }));
    const groups = [{ ports: [{ name: 'http', port: PORT, appProtocol: undefined }], addresses }];
    this.#endpoints = readyEndpoints(groups, { kind: 'named', name: 'http' }, undefined, false, this.#preference);
  }

  call(): Call {
    return new NodemeshCall(this.#destination, this.#podOf, this.#options);
  }

  #makeHop(endpoint: Endpoint): Hop {
    const { random } = this.#options;
    const node = endpoint.nodeName ?? '';
    let gateway = this.#gateways.get(node);
    if (gateway === undefined) {
      gateway = { address: { ip: node, port: 4141, node }, accrual: new FailureAccrual(GATEWAY_ACCRUAL, random) };
      this.#gateways.set(node, gateway);
    }
    const hop = new GatewayHop(gateway, endpoint, OF, { pool: NO_POOL, load: new EndpointLoad(random), random });
    this.#podOf.set(hop, this.#pods.get(endpoint.ip) as SimulatedPod);
    return hop;
  }
}

/** As daemon/router/forwarding.ts does it, without bytes. */
class NodemeshCall implements Call {
  readonly #destination: Destination;
  readonly #podOf: ReadonlyMap<Hop, SimulatedPod>;
  readonly #options: SubjectOptions;
  readonly #attempts: Attempts;
  #hop: Hop | undefined;

  constructor(destination: Destination, podOf: ReadonlyMap<Hop, SimulatedPod>, options: SubjectOptions) {
    this.#destination = destination;
    this.#podOf = podOf;
    this.#options = options;
    this.#attempts = new Attempts('GET', destination, true);
    destination.requested();
  }

  attempt(): SimulatedPod | number | undefined {
    let hop: Hop | undefined;
    try {
      hop = this.#attempts.pick();
    } catch (error) {
      if (error instanceof ProxyError) return undefined; // the name has no endpoints
      throw error;
    }
    if (hop === undefined) return retryDelayMs(Math.max(2, this.#attempts.count + 1), this.#options.random);
    this.#attempts.count += 1;
    this.#hop = hop;
    hop.begin();
    return this.#podOf.get(hop);
  }

  ended(outcome: Outcome, latencyMs: number, now: number): Next {
    const hop = this.#hop as Hop;
    const failure = this.#tell(hop, outcome, latencyMs, now);
    hop.end(typeof outcome === 'number' ? outcome : 0, latencyMs, failure !== undefined);
    if (failure === undefined) return 'over';
    if (this.#attempts.after(failure, true) === undefined) return 'over';
    this.#attempts.exclude(hop);
    return 'again';
  }

  /** Tells the hop; gives a failure that may be tried again. */
  #tell(hop: Hop, outcome: Outcome, latencyMs: number, now: number): Failure | undefined {
    if (typeof outcome !== 'number') {
      hop.lost('connect_failed', outcome === 'refused', now);
      return { cause: 'connect_failed', untouched: true };
    }
    const { classifier } = this.#destination.policy;
    const failed = classifier.isFailure(outcome);
    hop.answered(outcome, latencyMs, now, failed);
    return failed && classifier.mayRetry('GET')
      ? { cause: 'failure_answered', untouched: false, status: outcome }
      : undefined;
  }
}
