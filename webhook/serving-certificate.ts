import { splitBundle } from '../lib/certificates/node-identity.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import { isIssuedBy, notAfter } from './certificate-authority.ts';

const SERVICE_NAME = 'nodemesh-webhook';

/** What serving takes, as PEM texts: the keys of a Secret of type kubernetes.io/tls. */
export interface ServingSet {
  /** The CAs that the certificate is to be trusted by; undefined where whoever made it sees to that. */
  readonly 'ca.crt'?: string | undefined;
  readonly 'tls.crt': string;
  readonly 'tls.key': string;
}

/** Where serving certificates come from: a Secret, looked at again and again. */
export interface ServingSource {
  readonly current: ServingSet | undefined;
  /** Why the last look at the Secret failed. */
  readonly failure: string | undefined;
  /** Looks at the Secret now; settles when that is done or has failed. Never rejects. */
  refresh(): Promise<void>;
  onChange(listener: (set: ServingSet) => void): void;
}

export interface ServingCertificateOptions {
  /** Puts a pair into service. Throws where certificate and key do not fit; the one before stays then. */
  readonly serve: (set: ServingSet) => void;
  /** Told after each change, and each time that `check` finds it, what keeps the webhook from being trusted; undefined: nothing. */
  readonly report: (missing: string | undefined) => void;
  /** How long API servers may take to see a new caBundle, ms. */
  readonly graceMs: number;
  readonly reloads: { readonly done: Counter; readonly failed: Counter };
  readonly now: () => number;
  readonly log: Log;
}

/**
 * Which certificate is in service. A new one is taken at once, unless it is of a CA that API servers do not trust yet while they
 * trust that of the old one: then the new CA comes into every caBundle first, beside the old, and the certificate changes
 * when API servers have had the time to see it. So no handshake fails on the way from one CA to the next.
 */
export class ServingCertificate {
  readonly #options: ServingCertificateOptions;
  #served: ServingSet | undefined;
  #next: ServingSet | undefined;
  /** The caBundle (PEM) that all entries of the configuration have; undefined where they have none or several. */
  #bundle: string | undefined;
  /** Since when the next certificate's CA is in it. */
  #trustedSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ServingCertificateOptions) {
    this.#options = options;
  }

  get served(): ServingSet | undefined {
    return this.#served;
  }

  /**
   * The CAs (PEM) to be trusted where `current` is what there is to serve: its own, and that of the certificate that is
   * still served, where that is another.
   */
  authorities(current: ServingSet | undefined): string | undefined {
    const wanted = current?.['ca.crt'];
    const served = this.#served?.['ca.crt'];
    if (wanted === undefined || served === undefined || this.#next === undefined) return wanted;
    const known = splitBundle(wanted);
    const [signing = ''] = splitBundle(served);
    return known.includes(signing) ? wanted : `${[...known, signing].join('\n')}\n`;
  }

  /** Takes what is to be served from now on, as soon as it can be. */
  offer(set: ServingSet): void {
    const before = this.#next;
    this.#next = set;
    // One that follows before the last one's time has come has waited with it, where both are of one CA.
    if (before === undefined || !sharesIssuer(before, set)) this.#trustedSince = undefined;
    this.check();
  }

  /** Takes the caBundle as the configuration has it now. */
  bundled(bundle: string | undefined): void {
    this.#bundle = bundle;
    this.check();
  }

  /** Looks whether it is time. */
  check(): void {
    if (this.#stopped) return;
    if (this.#next !== undefined && this.#isTime(this.#next)) this.#swap(this.#next);
    const { report, now } = this.#options;
    if (this.#served === undefined) return;
    const end = notAfter(this.#served['tls.crt']);
    report(end > now() ? undefined : `the serving certificate ended at ${new Date(end).toISOString()}`);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #isTime(next: ServingSet): boolean {
    const served = this.#served;
    const ca = next['ca.crt'];
    const now = this.#options.now();
    if (served === undefined || ca === undefined || notAfter(served['tls.crt']) <= now) return true;
    const bundle = this.#bundle;
    if (bundle === undefined) return sharesIssuer(served, next);
    const trusted = isIssuedBy(next['tls.crt'], bundle);
    if (!isIssuedBy(served['tls.crt'], bundle)) return trusted;
    if (!trusted) return false;
    if (sharesIssuer(served, next)) return true;
    this.#trustedSince ??= now;
    const waitMs = this.#trustedSince + this.#options.graceMs - now;
    if (waitMs <= 0) return true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.check(), waitMs);
    this.#timer.unref();
    return false;
  }

  #swap(next: ServingSet): void {
    const { serve, reloads, log } = this.#options;
    this.#next = undefined;
    try {
      serve(next);
    } catch (error) {
      reloads.failed.inc();
      log.error({ err: error }, 'a certificate cannot be served; the one before stays in force');
      return;
    }
    this.#served = next;
    reloads.done.inc();
    log.info({ notAfter: new Date(notAfter(next['tls.crt'])).toISOString() }, 'serving certificate in force');
  }
}

/** Every name under which the webhook's Service may be called; an API server calls the first, `<service>.<namespace>.svc`. */
export function servingNames(namespace: string, clusterDomain: string): string[] {
  const full = `${SERVICE_NAME}.${namespace}.svc`;
  return [full, `${full}.${clusterDomain}`, `${SERVICE_NAME}.${namespace}`, SERVICE_NAME];
}

/** Whether whoever trusts the one by a CA trusts the other too, whatever the configuration says meanwhile. */
function sharesIssuer(served: ServingSet, next: ServingSet): boolean {
  const signing = (set: ServingSet) => splitBundle(set['ca.crt'] ?? '')[0];
  return signing(served) === signing(next);
}
