import { createPrivateKey, X509Certificate } from 'node:crypto';
import { jitteredBackoffMs } from '../lib/backoff.ts';
import { splitBundle } from '../lib/certificates/node-identity.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import { isIssuedBy } from './certificate-authority.ts';
import { SerialTask } from './serial-task.ts';
import type { ServingSet, ServingSource } from './serving-certificate.ts';

export const PROVIDED_SECRET = 'nodemesh-webhook-serving';
const CHECK_INTERVAL_MS = 60_000;
const RETRY = { minMs: 500, maxMs: 30_000 };

export interface ProvidedCertificateOptions {
  readonly api: KubernetesApi;
  readonly namespace: string;
  /** DNS names that the certificate has to be for. */
  readonly names: readonly string[];
  /** Counts each look at the Secret that finds something that cannot serve. */
  readonly refused: Counter;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * A serving certificate that someone else makes and renews (cert-manager, or a person), in Secret `nodemesh-webhook-serving` of
 * type kubernetes.io/tls. Where it has a `ca.crt`, that is what caBundle is to be. What cannot serve is never taken: the one
 * before stays in force, and `failure` says why.
 */
export class ProvidedCertificate implements ServingSource {
  readonly #options: ProvidedCertificateOptions;
  readonly #listeners: ((set: ServingSet) => void)[] = [];
  readonly #task = new SerialTask(() => this.#look());
  #current: ServingSet | undefined;
  #failure: string | undefined;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ProvidedCertificateOptions) {
    this.#options = options;
  }

  get current(): ServingSet | undefined {
    return this.#current;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  onChange(listener: (set: ServingSet) => void): void {
    this.#listeners.push(listener);
  }

  /** Reads the Secret now and from then on every minute. */
  start(): void {
    void this.refresh();
  }

  refresh(): Promise<void> {
    return this.#task.request();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#task.idle();
  }

  async #look(): Promise<void> {
    if (this.#stopped) return;
    const { api, namespace, names, refused, now, random, log } = this.#options;
    try {
      const path = `/api/v1/namespaces/${namespace}/secrets/${PROVIDED_SECRET}`;
      const set = decode(await api.request({ method: 'GET', path }));
      const fault = faultOf(set, names, now());
      if (fault !== undefined) {
        refused.inc();
        throw new Error(fault);
      }
      this.#adopt(set as ServingSet);
      this.#failure = undefined;
      this.#failures = 0;
    } catch (error) {
      const missing = error instanceof KubernetesError && error.status === 404;
      const why = missing ? 'it does not exist; see who is to make it' : error instanceof Error ? error.message : error;
      this.#failure = `Secret ${namespace}/${PROVIDED_SECRET}: ${why}`;
      this.#failures += 1;
      log.warn(`the serving certificate could not be read: ${this.#failure}`);
    }
    clearTimeout(this.#timer);
    const delayMs = this.#failures === 0 ? CHECK_INTERVAL_MS : jitteredBackoffMs(this.#failures - 1, RETRY, random);
    this.#timer = setTimeout(() => void this.refresh(), delayMs);
    this.#timer.unref();
  }

  #adopt(set: ServingSet): void {
    const before = this.#current;
    const same = (['ca.crt', 'tls.crt', 'tls.key'] as const).every((file) => before?.[file] === set[file]);
    if (before !== undefined && same) return;
    this.#current = set;
    for (const listener of this.#listeners) listener(set);
  }
}

/** What keeps a Secret's files from serving these names at `now` (ms since 1970), or undefined. */
export function faultOf(set: Partial<ServingSet>, names: readonly string[], now: number): string | undefined {
  const missing = (['tls.crt', 'tls.key'] as const).filter((file) => !set[file]);
  if (missing.length > 0) return `it has no ${missing.join(', ')}`;
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(set['tls.crt'] ?? '');
    if (!certificate.checkPrivateKey(createPrivateKey(set['tls.key'] ?? '')))
      return 'its tls.key is not that of tls.crt';
  } catch {
    return 'its tls.crt and tls.key are not a valid pair of PEM texts';
  }
  if (!(Date.parse(certificate.validFrom) <= now && now < Date.parse(certificate.validTo))) {
    return `its tls.crt is valid from ${certificate.validFrom} to ${certificate.validTo} only`;
  }
  const uncovered = names.find((name) => certificate.checkHost(name) === undefined);
  if (uncovered !== undefined) return `its tls.crt does not name ${uncovered}, by which API servers call`;
  const ca = set['ca.crt'];
  if (ca === undefined || isIssuedBy(set['tls.crt'] ?? '', ca)) return undefined;
  return splitBundle(ca).length === 0 ? 'its ca.crt is no PEM text' : 'its tls.crt is not of its ca.crt';
}

function decode(secret: unknown): Partial<ServingSet> {
  const data = (secret as KubernetesObject & { data?: Readonly<Record<string, string>> | null }).data ?? {};
  const text = (file: string) => {
    const value = data[file];
    return typeof value === 'string' && value !== '' ? Buffer.from(value, 'base64').toString() : undefined;
  };
  const set = { 'ca.crt': text('ca.crt'), 'tls.crt': text('tls.crt'), 'tls.key': text('tls.key') };
  return set as Partial<ServingSet>;
}
