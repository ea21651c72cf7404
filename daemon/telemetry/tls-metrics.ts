import type { Counter, Family, Gauge, MetricsRegistry } from '../../lib/metrics.ts';
import type { TlsRefusal } from '../identity/peer-check.ts';

type Side = 'client' | 'server';

/** What a daemon counts of connections between daemons, where TLS is on. */
export class TlsMetrics {
  readonly #refused: Family<Counter>;
  readonly #connected: Family<Counter>;
  readonly #closed: Family<Counter>;

  constructor(registry: MetricsRegistry) {
    this.#refused = registry.counter('tls_refused_total', 'Connections between daemons that were refused, by why.', [
      'side',
      'reason',
    ]);
    this.#connected = registry.counter(
      'tls_connection_total',
      'Connections between daemons by handshake: full, resumed, or plaintext (under permissive).',
      ['side', 'handshake'],
    );
    this.#closed = registry.counter(
      'tls_closed_total',
      'Connections between daemons that were ended because the other side is trusted no more, by why.',
      ['side', 'reason'],
    );
  }

  refused(side: Side, reason: TlsRefusal): void {
    this.#refused.with(side, reason).inc();
  }

  closed(side: Side, reason: TlsRefusal): void {
    this.#closed.with(side, reason).inc();
  }

  connected(side: Side, handshake: 'full' | 'resumed' | 'plaintext'): void {
    this.#connected.with(side, handshake).inc();
  }
}

/** For how long certificates are still good, s: the daemon's own by no `file`, those of files by the path of each. */
export function identityExpiry(registry: MetricsRegistry): Family<Gauge> {
  const help = "Seconds until this daemon's certificate ends, or that of a file.";
  return registry.gauge('identity_expiry_seconds', help, ['file']);
}
