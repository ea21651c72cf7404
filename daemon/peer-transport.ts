import type { Log } from '../lib/log.ts';
import type { Counter, Family, MetricsRegistry } from '../lib/metrics.ts';
import { PLAINTEXT } from './client/connector.ts';
import { Http1Pool, PEER_IDLE_MS } from './client/http1-pool.ts';
import { PeerTls } from './client/peer-tls.ts';
import type { DaemonConfig, RouterConfig, ServerConfig } from './config.ts';
import type { ClusterState } from './discovery/cluster-state.ts';
import { FileCredentials } from './identity/file-credentials.ts';
import type { IdentitySource } from './identity/identity.ts';
import { type Judge, judgeCertificate, judgeName, judgePeer } from './identity/peer-check.ts';
import type { TlsFrontOptions } from './listener/tls-front.ts';
import { identityExpiry, TlsMetrics } from './telemetry/tls-metrics.ts';
import type { ClientTlsConfig, ServerTlsConfig } from './tls-config.ts';

export interface PeerTransportOptions {
  readonly config: DaemonConfig;
  /** Undefined where TLS is off. */
  readonly identity: IdentitySource | undefined;
  readonly state: ClusterState;
  readonly metrics: MetricsRegistry;
  /** Which of the threads this is; what all of them would say the same is said by the first. */
  readonly place: { readonly index: number };
  readonly log: Log;
  readonly now: () => number;
  readonly wallClock: () => number;
}

/** Whether a daemon of that config proves to others who it is. */
export function provesIdentity(config: DaemonConfig): boolean {
  return config.kubernetes !== undefined && config.routers.some(({ tls }) => tls !== 'off');
}

/** How a daemon and its peers reach each other: one pool a TLS mode, and the credentials that all of them show. */
export class PeerTransport {
  readonly #options: PeerTransportOptions;
  readonly #metrics: TlsMetrics;
  readonly #fileLoads: Family<Counter>;
  readonly #files: FileCredentials[] = [];
  readonly #pools = new Map<string, Http1Pool>();

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#metrics = new TlsMetrics(options.metrics);
    this.#fileLoads = options.metrics.counter('tls_files_loaded_total', 'TLS files that had changed, by result.', [
      'result',
    ]);
    if (options.place.index === 0) this.#exposeExpiry();
  }

  get openConnections(): number {
    let open = 0;
    for (const pool of this.#pools.values()) open += pool.openConnections;
    return open;
  }

  get idleConnections(): number {
    let idle = 0;
    for (const pool of this.#pools.values()) idle += pool.idleConnections;
    return idle;
  }

  /** Closes every connection that was made here. */
  destroy(): void {
    for (const pool of this.#pools.values()) pool.destroy();
  }

  /** Connections to peers, for an outgoing router. Throws Error where its TLS files cannot be used. */
  pool({ tls, clientTls }: RouterConfig): Http1Pool {
    const key = clientTls === undefined ? tls : JSON.stringify(clientTls);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const { now } = this.#options;
      const secure = clientTls === undefined ? this.#byIdentity(tls) : this.#toName(clientTls);
      pool = new Http1Pool(PEER_IDLE_MS, now, secure === undefined ? PLAINTEXT : new PeerTls({ ...secure, now }));
      this.#pools.set(key, pool);
    }
    return pool;
  }

  /** What a listener needs; undefined where it speaks plaintext. Throws Error where its TLS files cannot be used. */
  server({ tls, role }: RouterConfig, { tls: files }: ServerConfig): TlsFrontOptions | undefined {
    if (files !== undefined) return this.#byFiles(files);
    return role === 'incoming' ? this.#byIdentity(tls) : undefined;
  }

  #byIdentity(mode: RouterConfig['tls']) {
    const { config, identity, state, wallClock } = this.#options;
    if (mode === 'off' || identity === undefined || config.kubernetes === undefined) return undefined;
    const { clusterDomain: trustDomain } = config.kubernetes;
    const gone = (node: string) => state.nodeGone(node);
    const judge: Judge = (shown, node) => judgePeer(shown, { trustDomain, node, gone, now: wallClock() });
    return { mode, identity, judge, gone, metrics: this.#metrics };
  }

  #toName(files: ClientTlsConfig) {
    const { wallClock } = this.#options;
    const { commonName } = files;
    const judge: Judge = (shown) =>
      commonName === undefined ? { node: undefined } : judgeName(shown, commonName, wallClock());
    const byName = commonName === undefined ? { checksChain: false } : { serverName: commonName };
    return { mode: 'required' as const, identity: this.#read(files), judge, metrics: this.#metrics, ...byName };
  }

  #byFiles(files: ServerTlsConfig): TlsFrontOptions {
    const { wallClock } = this.#options;
    const judge: Judge = (shown) => judgeCertificate(shown, wallClock()) ?? { node: undefined };
    return {
      mode: 'required',
      identity: this.#read(files),
      judge: files.requireClientAuth ? judge : undefined,
      metrics: this.#metrics,
    };
  }

  #read(files: ClientTlsConfig | ServerTlsConfig): FileCredentials {
    const credentials = new FileCredentials(files, this.#options.log, this.#fileLoads);
    this.#files.push(credentials);
    return credentials;
  }

  #exposeExpiry(): void {
    const { metrics, wallClock } = this.#options;
    const expiry = identityExpiry(metrics);
    metrics.onCollect(() => {
      for (const { certPath, endsAt } of this.#files) {
        if (certPath !== undefined && endsAt !== undefined) expiry.with(certPath).set((endsAt - wallClock()) / 1_000);
      }
    });
  }
}
