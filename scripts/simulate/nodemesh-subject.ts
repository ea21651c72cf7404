import type { BalancerConfig } from '../../daemon/balancer/balancer.ts';
import { retryDelayMs } from '../../daemon/balancer/retry-backoff.ts';
import type { Http1Pool } from '../../daemon/client/http1-pool.ts';
import type { Preference } from '../../daemon/discovery/locality.ts';
import { readyEndpoints } from '../../daemon/discovery/service-entry.ts';
import { asProxyError, ProxyError } from '../../daemon/http/proxy-error.ts';
import type { Endpoint } from '../../daemon/naming/endpoint.ts';
import { Attempts, type Failure } from '../../daemon/router/attempts.ts';
import { Destination } from '../../daemon/router/destination.ts';
import type { Hop } from '../../daemon/router/hop.ts';
import { HopFactory } from '../../daemon/router/hop-factory.ts';
import { LocalPods } from '../../daemon/router/local-pods.ts';
import { PickedPod } from '../../daemon/router/picked-pod.ts';
import { ResponseClassifier } from '../../daemon/router/response-classifier.ts';
import { DEFAULT_POLICY, type RoutePolicy } from '../../daemon/router/route-policy.ts';
import { DaemonMetrics } from '../../daemon/telemetry/daemon-metrics.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import type { SimulatedHost, SimulatedPod } from './cluster.ts';
import type { Call, Caller, Next, Outcome, Subject, SubjectOptions } from './subject.ts';

const PORT = 80;
/** What a refusal by another daemon costs. */
const ROUND_TRIP_MS = 1;
/** Hops lead to simulated pods: no connection is made. */
const NO_POOL = {} as Http1Pool;
const OF = { namespace: 'shop', service: 'world' };

/** The daemon as it is shipped: its destinations, hops, accrual and retries, with its defaults but for what `balancer` says. */
export function nodemesh(name: string, balancer: Partial<BalancerConfig> = {}): Subject {
  return {
    name,
    ours: true,
    start: (options) => {
      const metrics = new DaemonMetrics(new MetricsRegistry());
      const policy = {
        ...DEFAULT_POLICY,
        classifier: new ResponseClassifier(
          options.retries ? 'io.l5d.http.retryableRead5XX' : 'io.l5d.http.nonRetryable5XX',
        ),
        balancer: { ...DEFAULT_POLICY.balancer, ...balancer },
      };
      const daemons = new Map<string, NodemeshDaemon>();
      return (host) => {
        const daemon = new NodemeshDaemon(host, { policy, metrics, daemons, options });
        daemons.set(host.name, daemon);
        return daemon;
      };
    },
  };
}

interface Mesh {
  readonly policy: RoutePolicy;
  readonly metrics: DaemonMetrics;
  readonly daemons: ReadonlyMap<string, NodemeshDaemon>;
  readonly options: SubjectOptions;
}

/** An attempt as the daemon on the pod's node has it: through its incoming router; none where the pod is the sender's own neighbour. */
type Arrival = { readonly pod: SimulatedPod; readonly incoming: Hop | undefined };

class NodemeshDaemon implements Caller {
  readonly mesh: Mesh;
  readonly destination: Destination;
  readonly #node: string;
  readonly #preference: Preference;
  readonly #hops: HopFactory;
  readonly #podOf = new Map<Hop, SimulatedPod>();
  readonly #picked = new Map<SimulatedPod, PickedPod>();
  #pods = new Map<string, SimulatedPod>();
  #endpoints: readonly Endpoint[] = [];
  #version = 0;

  constructor({ name, zone }: SimulatedHost, mesh: Mesh) {
    const { policy, metrics, options } = mesh;
    const { now, random } = options;
    this.mesh = mesh;
    this.#node = name;
    this.#preference = { place: { nodeName: name, zone }, trafficDistribution: undefined, localOnly: false };
    this.#hops = new HopFactory({
      label: 'outgoing',
      gate: () => undefined,
      podPool: NO_POOL,
      peerPool: NO_POOL,
      metrics,
      answerFilter: { dropL5d: false },
      random,
      workloadAt: () => '',
      localPods: new LocalPods(random),
    });
    const version = () => this.#version;
    this.destination = new Destination({
      binding: {
        ...OF,
        key: 'shop/world:http',
        get version() {
          return version();
        },
        endpoints: () => this.#endpoints,
      },
      policy,
      transform: {
        version: 0,
        apply: (set) => set.map(({ endpoint }) => ({ endpoint, path: this.#path(endpoint.nodeName ?? '') })),
      },
      makeHop: (routed) => {
        const hop = this.#hops.make(routed, OF, policy, true);
        this.#podOf.set(hop, this.#pods.get(routed.endpoint.ip) as SimulatedPod);
        return hop;
      },
      allDropped: () => new ProxyError('no_gateway', 'no endpoint is left'),
      onPanic: () => {},
      now,
      random,
    });
  }

  #path(nodeName: string) {
    if (nodeName === this.#node) return { kind: 'self' } as const;
    return { kind: 'gateway', ip: nodeName, port: 4141, nodeName } as const;
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
    return new NodemeshCall(this);
  }

  /** What becomes of an attempt at the pod's node. Throws ProxyError where the daemon there refuses it. */
  arrive(hop: Hop, lines: string): Arrival {
    const pod = this.#podOf.get(hop) as SimulatedPod;
    if (pod.host.dark || pod.host.name === this.#node) return { pod, incoming: undefined };
    const there = this.mesh.daemons.get(pod.host.name) as NodemeshDaemon;
    return { pod, incoming: there.#admit(pod, lines) };
  }

  /** As daemon/router/incoming-router.ts does it. */
  #admit(pod: SimulatedPod, lines: string): Hop {
    let picked = this.#picked.get(pod);
    if (picked === undefined) {
      const { policy } = this.mesh;
      const { ip, name } = pod;
      const endpoint = { ip, port: PORT, nodeName: this.#node, pod: name, hostname: undefined, zone: undefined };
      picked = new PickedPod(endpoint, this.#hops.toPod(endpoint, OF, policy), policy, {
        isHere: () => true,
        hasOthers: () => this.#pods.size > 1,
        name,
        refusal: '',
      });
      this.#picked.set(pod, picked);
    }
    if (picked.reluctant && !lines.includes('mesh-force')) picked.refuse(this.mesh.options.now());
    const hop = picked.pick();
    hop.begin(this.mesh.options.now());
    return hop;
  }
}

/** As daemon/router/forwarding.ts does it, without bytes. */
class NodemeshCall implements Call {
  readonly #daemon: NodemeshDaemon;
  readonly #attempts: Attempts;
  #hop: Hop | undefined;
  #incoming: Hop | undefined;
  #startedAt = 0;
  #refused = false;

  constructor(daemon: NodemeshDaemon) {
    this.#daemon = daemon;
    this.#attempts = new Attempts('GET', daemon.destination, true);
    daemon.destination.requested();
  }

  attempt(now: number): SimulatedPod | number | undefined {
    let hop: Hop | undefined;
    try {
      hop = this.#attempts.pick();
      if (hop === undefined && this.#refused) hop = this.#attempts.pick();
    } catch (error) {
      if (error instanceof ProxyError) return undefined; // the name has no endpoints
      throw error;
    }
    if (hop === undefined) return retryDelayMs(Math.max(2, this.#attempts.count + 1), this.#daemon.mesh.options.random);
    this.#attempts.count += 1;
    this.#hop = hop;
    this.#startedAt = now;
    hop.begin(now);
    try {
      const { pod, incoming } = this.#daemon.arrive(hop, hop.fieldLines(this.#attempts.insisting));
      this.#refused = false;
      this.#incoming = incoming;
      return pod;
    } catch (cause) {
      const { code, outMs } = asProxyError(cause);
      this.#refused = true;
      hop.lost(code, true, now);
      if (outMs !== undefined) hop.leaveOut(outMs, now);
      hop.end(0, ROUND_TRIP_MS, true, now);
      if (this.#attempts.after({ cause: code, untouched: true }, true) === undefined) return undefined;
      this.#attempts.exclude(hop);
      return ROUND_TRIP_MS;
    }
  }

  ended(outcome: Outcome, _latencyMs: number, now: number): Next {
    const hop = this.#hop as Hop;
    const latencyMs = now - this.#startedAt;
    if (this.#incoming !== undefined && outcome !== 'unreachable') {
      this.#tell(this.#incoming, outcome, { latencyMs, now, byPeer: false });
    }
    this.#incoming = undefined;
    const failure = this.#tell(hop, outcome, { latencyMs, now, byPeer: outcome === 'refused' });
    if (failure === undefined || this.#attempts.after(failure, true) === undefined) return 'over';
    this.#attempts.exclude(hop);
    return 'again';
  }

  /** Tells a hop; gives a failure that may be tried again. */
  #tell(
    hop: Hop,
    outcome: Outcome,
    { latencyMs, now, byPeer }: { latencyMs: number; now: number; byPeer: boolean },
  ): Failure | undefined {
    const { classifier } = this.#daemon.mesh.policy;
    const status = typeof outcome === 'number' ? outcome : 0;
    const failed = classifier.isFailure(status);
    if (status === 0) hop.lost('connect_failed', byPeer, now);
    else hop.answered(status, latencyMs, now, failed);
    hop.end(status, latencyMs, failed, status === 0 ? now - latencyMs : undefined);
    if (status === 0) return { cause: 'connect_failed', untouched: true };
    return failed && classifier.mayRetry('GET') ? { cause: 'failure_answered', untouched: false, status } : undefined;
  }
}
