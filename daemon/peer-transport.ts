import type { MetricsRegistry } from '../lib/metrics.ts';
import { PLAINTEXT } from './client/connector.ts';
import { Http1Pool, PEER_IDLE_MS } from './client/http1-pool.ts';
import { PeerTls } from './client/peer-tls.ts';
import type { DaemonConfig, TlsMode } from './config.ts';
import type { IdentitySource } from './identity/identity.ts';
import type { TlsFrontOptions } from './listener/tls-front.ts';
import { TlsMetrics } from './telemetry/tls-metrics.ts';

export interface PeerTransportOptions {
  readonly config: DaemonConfig;
  /** Undefined where TLS is off. */
  readonly identity: IdentitySource | undefined;
  readonly metrics: MetricsRegistry;
  readonly now: () => number;
  readonly wallClock: () => number;
}

/** Whether a daemon of that config proves to others who it is. */
export function provesIdentity(config: DaemonConfig): boolean {
  return config.kubernetes !== undefined && config.routers.some(({ tls }) => tls !== 'off');
}

/** How a daemon and its peers reach each other: one pool a TLS mode, and the identity that all of them show. */
export class PeerTransport {
  readonly #options: PeerTransportOptions;
  readonly #metrics: TlsMetrics;
  readonly #pools = new Map<TlsMode, Http1Pool>();

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#metrics = new TlsMetrics(options.metrics);
  }

  get openConnections(): number {
    let open = 0;
    for (const pool of this.#pools.values()) open += pool.openConnections;
    return open;
  }

  /** Closes every connection that was made here. */
  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy();
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
    const { config, identity, wallClock } = this.#options;
    if (mode === 'off' || identity === undefined || config.kubernetes === undefined) return undefined;
    const { clusterDomain: trustDomain } = config.kubernetes;
    return { mode, identity, trustDomain, metrics: this.#metrics, wallClock };
  }
}
