import type { KubernetesApi } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { MetricsRegistry } from '../lib/metrics.ts';
import type { Readiness } from '../lib/readiness.ts';
import { PLAINTEXT } from './client/connector.ts';
import { Http1Pool, PEER_IDLE_MS } from './client/http1-pool.ts';
import { PeerTls } from './client/peer-tls.ts';
import type { DaemonConfig, DaemonEnvironment, TlsMode } from './config.ts';
import { KubernetesIdentity } from './identity/kubernetes-identity.ts';
import type { TlsFrontOptions } from './listener/tls-front.ts';
import { TlsMetrics } from './telemetry/tls-metrics.ts';

/** Where the manifests put the mesh; the downward API says where it is. */
const MESH_NAMESPACE = 'nodemesh';

export interface PeerTransportOptions {
  readonly config: DaemonConfig;
  readonly environment: DaemonEnvironment;
  readonly loadApi: () => Promise<KubernetesApi>;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  readonly log: Log;
  readonly now: () => number;
  readonly wallClock: () => number;
  readonly random: () => number;
}

/** How a daemon and its peers reach each other: one pool a TLS mode, and the identity that all of them show. */
export class PeerTransport {
  readonly #options: PeerTransportOptions;
  readonly #metrics: TlsMetrics;
  readonly #identity: KubernetesIdentity | undefined;
  readonly #pools = new Map<TlsMode, Http1Pool>();

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#metrics = new TlsMetrics(options.metrics);
    const { config, environment, readiness } = options;
    const modes = new Set(config.routers.map(({ tls }) => tls));
    if (config.kubernetes === undefined || !(modes.has('permissive') || modes.has('required'))) return;
    this.#identity = new KubernetesIdentity({
      ...options,
      nodeName: environment.nodeName,
      namespace: environment.podNamespace ?? MESH_NAMESPACE,
      trustDomain: config.kubernetes.clusterDomain,
      readiness: modes.has('required') ? readiness : undefined,
    });
  }

  get openConnections(): number {
    let open = 0;
    for (const pool of this.#pools.values()) open += pool.openConnections;
    return open;
  }

  start(): void {
    this.#identity?.start();
  }

  /** Closes every connection that was made here. */
  async stop(): Promise<void> {
    for (const pool of this.#pools.values()) pool.destroy();
    await this.#identity?.stop();
  }

  /** Connections to peers, for an outgoing router of that mode. */
  pool(mode: TlsMode): Http1Pool {
    let pool = this.#pools.get(mode);
    if (pool === undefined) {
      const { now } = this.#options;
      const tls = this.tls(mode);
      pool = new Http1Pool(PEER_IDLE_MS, now, tls === undefined ? PLAINTEXT : new PeerTls({ ...tls, now }));
      this.#pools.set(mode, pool);
    }
    return pool;
  }

  /** What an incoming router's listener of that mode needs; undefined where TLS is off. */
  tls(mode: TlsMode): TlsFrontOptions | undefined {
    const { config, wallClock } = this.#options;
    if (mode === 'off' || this.#identity === undefined || config.kubernetes === undefined) return undefined;
    const { clusterDomain: trustDomain } = config.kubernetes;
    return { mode, identity: this.#identity, trustDomain, metrics: this.#metrics, wallClock };
  }
}
