/** What a daemon tells of its decisions, as JSON: `/resolve`, `/endpoints`, `/peers`, `/config` of its admin port. */

export type StepKind = 'caller' | 'identifier' | 'namer' | 'transformer' | 'gateway' | 'balancer' | 'policy' | 'egress';

/** One thing that happened on the way of a name, in words for people. */
export interface ResolutionStep {
  readonly step: StepKind;
  readonly title: string;
  readonly detail: string;
  readonly ok: boolean;
}

/** Who calls. `why`: how that is known, or why it is not, and what to do then. */
export interface ResolvedCaller {
  readonly ip: string | null;
  readonly namespace: string | null;
  readonly pod: string | null;
  readonly workload: string | null;
  readonly node: string | null;
  readonly known: boolean;
  readonly why: string;
}

export interface PolicyVerdict {
  readonly verdict: 'allowed' | 'denied' | 'unknown';
  /** `NetworkPolicy shop/deny-all (ingress)`, `MeshPolicy shop/readers`, `none`, or who knows. */
  readonly by: string;
}

export interface ResolvedEndpoint {
  /** `ip:port`. */
  readonly address: string;
  readonly pod: string | null;
  readonly node: string | null;
  readonly zone: string | null;
  readonly ready: boolean;
  /** `ip:port` of the daemon that it is reached through; null: straight, or in process where it is on this node. */
  readonly gateway: string | null;
  /** The share of the draws, 0 to 1, that it gets now; null where it gets none, or the balancer cannot say. */
  readonly weight: number | null;
  /** What one more request is expected to cost, as the balancer compares it; null where nothing was sent there yet. */
  readonly load: number | null;
  readonly latencyMs: number | null;
  readonly inFlight: number | null;
  /** For its failures. */
  readonly out: boolean;
  /** Why it is not used; null where it is. */
  readonly dropped: string | null;
  readonly policy: PolicyVerdict;
}

/** The way of one request from its caller's words to a pod, as it would be now. */
export interface Resolution {
  readonly node: string;
  /** ms since 1970. */
  readonly at: number;
  /** Which of a daemon's threads says so: balancers are each thread's own. */
  readonly thread: string;
  readonly asked: {
    readonly host: string;
    readonly from: string | null;
    readonly method: string;
    readonly path: string;
  };
  readonly caller: ResolvedCaller;
  readonly steps: readonly ResolutionStep[];
  /** As linkerd writes names: `/svc/world.shop`. */
  readonly name: string | null;
  readonly service: { readonly namespace: string; readonly name: string; readonly port: string | null } | null;
  readonly binding: string | null;
  readonly endpoints: readonly ResolvedEndpoint[];
  /** `error`: the code that the caller would get (docs/errors.md). */
  readonly outcome: { readonly ok: boolean; readonly error: string | null; readonly text: string };
}

/** What a router's balancer knows of one endpoint. */
export interface BalancedEndpoint {
  readonly address: string;
  readonly gateway: string | null;
  readonly load: number;
  readonly latencyMs: number;
  readonly inFlight: number;
  readonly out: boolean;
  /** Until the next request that finds out whether it has recovered; 0 where it is not out. */
  readonly outForMs: number;
}

export interface KnownEndpoint {
  readonly address: string;
  readonly pod: string | null;
  readonly node: string | null;
  readonly zone: string | null;
  readonly ready: boolean;
  /** Why nothing is sent to it; null where something is. */
  readonly dropped: string | null;
}

export interface KnownService {
  readonly namespace: string;
  readonly name: string;
  readonly ports: readonly {
    readonly name: string;
    readonly port: number | null;
    readonly endpoints: readonly KnownEndpoint[];
  }[];
  /** Where requests of this node have gone there: what each router's balancer knows. */
  readonly balancers: readonly {
    readonly router: string;
    readonly binding: string;
    readonly endpoints: readonly BalancedEndpoint[];
  }[];
}

/** One watch of the Kubernetes API. */
export interface WatchStatus {
  readonly resource: string;
  readonly synced: boolean;
  readonly objects: number;
  /** Where it stands; null before the first list. */
  readonly resourceVersion: string | null;
  /** Since the API server last said anything, ms. */
  readonly lastEventAgeMs: number;
  /** Why nothing new is heard just now. */
  readonly failure: string | null;
}

export interface EndpointsView {
  readonly node: string;
  readonly at: number;
  readonly thread: string;
  readonly watches: readonly WatchStatus[];
  readonly services: readonly KnownService[];
}

export interface PeersView {
  readonly node: string;
  readonly at: number;
  readonly thread: string;
  readonly tls: Readonly<Record<string, string>>;
  readonly peers: readonly {
    readonly node: string;
    readonly address: string;
    readonly connections: { readonly open: number; readonly idle: number };
    /** `mutual TLS`, `plaintext`, or null where no connection has been made. */
    readonly tls: string | null;
    /** Of the certificate that it showed last, ms since 1970; null where it has shown none. */
    readonly certificateNotAfter: number | null;
    /** It could not be connected to, and is left out. */
    readonly out: boolean;
    readonly outForMs: number;
  }[];
}

export interface ConfigView {
  readonly node: string;
  readonly threads: number;
  /** The config in force, defaults filled in; secrets are `[redacted]`. */
  readonly config: unknown;
}
