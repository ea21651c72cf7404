import type { Counter, Family, Gauge, Histogram, MetricsRegistry } from '../lib/metrics.ts';
import type { CertificateSet } from './certificate-authority.ts';
import { notAfter } from './certificate-authority.ts';
import type { ServingSet } from './serving-certificate.ts';

const DURATION_BOUNDS_SECONDS = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const PATCH_BOUNDS_BYTES = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];
const OPERATIONS = ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'];

/** `refused`: by HTTP 4xx, since it was no review; `failed`: by 5xx, so that failurePolicy decides. */
export type RequestResult = 'injected' | 'skipped' | 'refused' | 'failed';

/** What the webhook counts. No label has more values than the code has words for. */
export interface WebhookMetrics {
  /** Counts a request by the operation that it is about, as it says itself: anything. */
  countRequest(operation: string, result: RequestResult): void;
  /** The same of one that was answered with this HTTP status in place of a review. */
  countError(operation: string, status: number): void;
  /** By first reason. */
  readonly decisions: Family<Counter>;
  readonly durationSeconds: Histogram;
  readonly inFlight: Gauge;
  readonly patchBytes: Histogram;
  readonly bundleRepairs: Counter;
  readonly reloads: { readonly done: Counter; readonly failed: Counter };
  readonly events: { readonly done: Counter; readonly failed: Counter };
}

/** Registers all of them. */
export function webhookMetrics(metrics: MetricsRegistry): WebhookMetrics {
  const outcomes = (name: string, help: string) => {
    const family = metrics.counter(name, help, ['result']);
    return { done: family.with('ok'), failed: family.with('failed') };
  };
  const requests = metrics.counter('requests_total', 'Requests of API servers, by what became of them', [
    'operation',
    'result',
  ]);
  const panics = metrics.counter('panics_total', 'Faults of the webhook itself, answered by HTTP 500').with();
  const countRequest = (operation: string, result: RequestResult) =>
    requests.with(OPERATIONS.includes(operation) ? operation : 'unknown', result).inc();
  return {
    countRequest,
    countError: (operation, status) => {
      countRequest(operation, status < 500 ? 'refused' : 'failed');
      if (status === 500) panics.inc();
    },
    decisions: metrics.counter('decisions_total', 'Reviews by the first reason of their decision', ['reason']),
    durationSeconds: metrics
      .histogram('request_duration_seconds', 'Time to answer a review', DURATION_BOUNDS_SECONDS)
      .with(),
    inFlight: metrics.gauge('in_flight', 'Reviews under way').with(),
    patchBytes: metrics.histogram('patch_bytes', 'Sizes of JSON patches', PATCH_BOUNDS_BYTES).with(),
    bundleRepairs: metrics.counter('cabundle_repairs_total', 'Times that caBundle was written').with(),
    reloads: outcomes('cert_reload_total', 'Serving certificates taken into service'),
    events: outcomes('events_total', "Events on pods' controllers"),
  };
}

/** Has each scrape say when certificates end, in seconds since 1970: the CA's, that of the Secret (`leaf`), and that in service. */
export function exposeExpiry(
  metrics: MetricsRegistry,
  current: {
    readonly authority: () => CertificateSet | undefined;
    readonly leaf: () => ServingSet | undefined;
    readonly served: () => ServingSet | undefined;
  },
): void {
  const expiry = metrics.gauge('cert_not_after_seconds', 'When a certificate ends, seconds since 1970', ['kind']);
  metrics.onCollect(() => {
    const tell = (kind: string, pem: string | undefined) => {
      if (pem !== undefined) expiry.with(kind).set(notAfter(pem) / 1000);
    };
    tell('ca', current.authority()?.['ca.crt']);
    tell('leaf', current.leaf()?.['tls.crt']);
    tell('served', current.served()?.['tls.crt']);
  });
}
