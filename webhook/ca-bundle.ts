import { jitteredBackoffMs } from '../lib/backoff.ts';
import { splitBundle } from '../lib/certificates/node-identity.ts';
import type { KubernetesApi, KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import { certificatesIn } from './certificate-authority.ts';
import { SerialTask } from './serial-task.ts';
import type { ServingSource } from './serving-certificate.ts';

export const CONFIGURATION_NAME = 'nodemesh';
export const CONFIGURATIONS_PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

const RETRY = { minMs: 100, maxMs: 10_000 };

/** The MutatingWebhookConfiguration as far as its caBundles go: base64, undefined where there is none. */
export interface BundledEntries {
  readonly entries: readonly { readonly name: string; readonly caBundle: string | undefined }[];
}

interface Configuration extends KubernetesObject {
  readonly webhooks?: readonly { name: string; clientConfig?: { caBundle?: string } }[] | null;
}

export function trimConfiguration(object: KubernetesObject): BundledEntries {
  const { webhooks } = object as Configuration;
  return { entries: (webhooks ?? []).map(({ name, clientConfig }) => ({ name, caBundle: clientConfig?.caBundle })) };
}

/** The bundle (PEM) that all entries have; undefined where there is none, or more than one. */
export function commonBundle(configuration: BundledEntries | undefined): string | undefined {
  const bundles = new Set((configuration?.entries ?? []).map(({ caBundle }) => caBundle));
  const [bundle] = bundles;
  return bundles.size === 1 && bundle !== undefined ? pemOf(bundle) : undefined;
}

/**
 * Whether a bundle (PEM) will do where `wanted` (PEM) is to be trusted at `now`: it has every certificate of it, and none that cannot
 * be read or has ended. Others may be there: replicas that know more than this one have put them in, and must not be undone.
 */
export function willDo(bundle: string, wanted: string, now: number): boolean {
  const present = splitBundle(bundle);
  const read = certificatesIn(bundle);
  if (present.length === 0 || read.length !== present.length) return false;
  return (
    splitBundle(wanted).every((pem) => present.includes(pem)) && read.every((one) => Date.parse(one.validTo) > now)
  );
}

/**
 * The object that puts a CA (PEM) into every entry by server-side apply: entries are merged by name, and nothing else of
 * them is named, so that nothing else is ours. Undefined where every entry's bundle will do.
 */
export function bundleApplication(configuration: BundledEntries, caPem: string, now: number): object | undefined {
  const { entries } = configuration;
  if (entries.every(({ caBundle }) => caBundle !== undefined && willDo(pemOf(caBundle), caPem, now))) return undefined;
  const caBundle = Buffer.from(caPem).toString('base64');
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: CONFIGURATION_NAME },
    webhooks: entries.map(({ name }) => ({ name, clientConfig: { caBundle } })),
  };
}

function pemOf(caBundle: string): string {
  return Buffer.from(caBundle, 'base64').toString();
}

export interface CaBundleOptions {
  readonly api: KubernetesApi;
  readonly certificates: Pick<ServingSource, 'current' | 'refresh'>;
  /** The CAs (PEM) that are to be trusted; undefined where there are none yet, or it is someone else's to see to that. */
  readonly wanted: () => string | undefined;
  /** The configuration as last seen by a watch. */
  readonly configuration: () => BundledEntries | undefined;
  /** Told after each look what keeps the bundle from being in force; undefined where it is. */
  readonly report: (missing: string | undefined) => void;
  readonly repairs: Counter;
  /** ms since 1970. */
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Keeps our CA in every entry of the MutatingWebhookConfiguration, since its manifest holds no caBundle and whoever replaces
 * the object wipes it. It owns these fields alone, as field manager `nodemesh-webhook`, so that nobody who applies the rest gets a conflict. A bundle that is another CA's makes it read the Secret first: another replica may have renewed
 * the CA, and two replicas must not repair each other's work for ever.
 */
export class CaBundle {
  readonly #options: CaBundleOptions;
  readonly #task = new SerialTask(() => this.#repair());
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: CaBundleOptions) {
    this.#options = options;
  }

  /**
   * Looks at the configuration and repairs it; settles when that is done or has failed and will be tried again. Call it
   * whenever the configuration or the certificates have changed.
   */
  check(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#task.request();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#task.idle();
  }

  async #repair(): Promise<void> {
    if (this.#stopped) return;
    const { certificates, configuration, report, log } = this.#options;
    if (configuration()?.entries.some((entry) => entry.caBundle !== undefined) && this.#due() !== undefined) {
      await certificates.refresh();
    }
    const application = this.#due();
    if (application === undefined) return report(this.#missing());
    report(`MutatingWebhookConfiguration ${CONFIGURATION_NAME}: caBundle is not ours yet`);
    try {
      await this.#send(application);
      this.#failures = 0;
      report(undefined);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn(`caBundle could not be written, trying again: ${why}`);
      report(`MutatingWebhookConfiguration ${CONFIGURATION_NAME}: ${why}`);
      this.#retry();
    }
  }

  async #send(body: object): Promise<void> {
    const { api, repairs, log } = this.#options;
    await api.request({
      method: 'PATCH',
      path: `${CONFIGURATIONS_PATH}/${CONFIGURATION_NAME}?fieldManager=nodemesh-webhook&force=true`,
      body,
      contentType: 'application/apply-patch+yaml',
    });
    repairs.inc();
    log.info('caBundle written');
  }

  #retry(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.check(), jitteredBackoffMs(this.#failures, RETRY, this.#options.random));
    this.#timer.unref();
    this.#failures += 1;
  }

  /** What is to be applied; undefined where nothing is, or where it is someone else's to do. */
  #due(): object | undefined {
    const { configuration, wanted, now } = this.#options;
    const known = configuration();
    const ca = wanted();
    return known === undefined || ca === undefined ? undefined : bundleApplication(known, ca, now());
  }

  #missing(): string | undefined {
    const configuration = this.#options.configuration();
    if (configuration === undefined) {
      return `MutatingWebhookConfiguration ${CONFIGURATION_NAME} is not there; apply the manifests`;
    }
    if (configuration.entries.length === 0) {
      return `MutatingWebhookConfiguration ${CONFIGURATION_NAME} has no entry; apply the manifests`;
    }
    return this.#options.certificates.current === undefined ? 'there is no certificate yet' : undefined;
  }
}
