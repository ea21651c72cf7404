import type { Counter, Family, Gauge, Histogram, MetricsRegistry } from '../lib/metrics.ts';
import type { CertificateSet } from './certificate-authority.ts';
import { notAfter } from './certificate-authority.ts';
import type { ServingSet } from './serving-certificate.ts';

const LATENCY_BOUNDS_MS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 5000];
const ANSWER_BOUNDS = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576];

/** What the webhook counts. No label has more values than the code has words for. */
export interface WebhookMetrics {
  /** By decision and first reason. */
  readonly decisions: Family<Counter>;
  readonly latencyMs: Histogram;
  readonly inFlight: Gauge;
  readonly answerBytes: Histogram;
  /** Requests that were answered with an error, by HTTP status. */
  readonly errors: Family<Counter>;
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
  return {
    decisions: metrics.counter('admission_total', 'Reviews by decision and first reason', ['decision', 'reason']),
    latencyMs: metrics.histogram('admission_latency_ms', 'Time to answer a review, ms', LATENCY_BOUNDS_MS).with(),
    inFlight: metrics.gauge('admission_in_flight', 'Reviews under way').with(),
    answerBytes: metrics.histogram('admission_answer_bytes', 'Sizes of answers to reviews', ANSWER_BOUNDS).with(),
    errors: metrics.counter('admission_errors_total', 'Requests that got no review for an answer', ['status']),
    bundleRepairs: metrics.counter('ca_bundle_repairs_total', 'Times that caBundle was written').with(),
    reloads: outcomes('certificate_reload_total', 'Serving certificates taken into service'),
    events: outcomes('events_total', "Events on pods' controllers"),
  };
}

/** Has each scrape say how long certificates are still good: the CA's, and that of the one in service. */
export function exposeExpiry(
  metrics: MetricsRegistry,
  options: {
    readonly authority: () => CertificateSet | undefined;
    readonly served: () => ServingSet | undefined;
    /** ms since 1970. */
    readonly now: () => number;
  },
): void {
  const expiry = metrics.gauge('certificate_expiry_seconds', 'Seconds until a certificate ends', ['certificate']);
  metrics.onCollect(() => {
    const left = (pem: string) => (notAfter(pem) - options.now()) / 1000;
    const [authority, served] = [options.authority(), options.served()];
    if (authority !== undefined) expiry.with('ca').set(left(authority['ca.crt']));
    if (served !== undefined) expiry.with('serving').set(left(served['tls.crt']));
  });
}
