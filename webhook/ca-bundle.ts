import { jitteredBackoffMs } from '../lib/backoff.ts';
import type { KubernetesApi, KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import type { Certificates } from './certificates.ts';
import { SerialTask } from './serial-task.ts';

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

/**
 * The JSON Patch (RFC 6902) that puts a CA (PEM) into every entry whose caBundle is another; empty where none is. Each
 * change first tests the entry's name, so that a list that was reordered meanwhile fails the patch and not the entry.
 */
export function bundlePatch(configuration: BundledEntries, caPem: string): Record<string, string>[] {
  const value = Buffer.from(caPem).toString('base64');
  return configuration.entries.flatMap(({ name, caBundle }, i) =>
    caBundle === value
      ? []
      : [
          { op: 'test', path: `/webhooks/${i}/name`, value: name },
          { op: 'add', path: `/webhooks/${i}/clientConfig/caBundle`, value },
        ],
  );
}

export interface CaBundleOptions {
  readonly api: KubernetesApi;
  readonly certificates: Certificates;
  /** The configuration as last seen by a watch. */
  readonly configuration: () => BundledEntries | undefined;
  /** Told after each look what keeps the bundle from being in force; undefined where it is. */
  readonly report: (missing: string | undefined) => void;
  readonly repairs: Counter;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Keeps our CA in every entry of the MutatingWebhookConfiguration, since its manifest holds no caBundle and whoever applies
 * an older copy wipes it. A bundle that is another CA's makes it read the Secret first: another replica may have renewed
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
    if (configuration()?.entries.some((entry) => entry.caBundle !== undefined) && this.#patch().length > 0) {
      await certificates.refresh();
    }
    const patch = this.#patch();
    if (patch.length === 0) return report(this.#missing());
    report(`MutatingWebhookConfiguration ${CONFIGURATION_NAME}: caBundle is not ours yet`);
    try {
      await this.#send(patch);
      this.#failures = 0;
      report(undefined);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      log.warn(`caBundle could not be written, trying again: ${why}`);
      report(`MutatingWebhookConfiguration ${CONFIGURATION_NAME}: ${why}`);
      this.#retry();
    }
  }

  async #send(patch: readonly Record<string, string>[]): Promise<void> {
    const { api, repairs, log } = this.#options;
    await api.request({
      method: 'PATCH',
      path: `${CONFIGURATIONS_PATH}/${CONFIGURATION_NAME}?fieldManager=nodemesh-webhook`,
      body: patch,
      contentType: 'application/json-patch+json',
    });
    repairs.inc();
    log.info({ entries: patch.length / 2 }, 'caBundle written');
  }

  #retry(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.check(), jitteredBackoffMs(this.#failures, RETRY, this.#options.random));
    this.#timer.unref();
    this.#failures += 1;
  }

  #patch(): Record<string, string>[] {
    const configuration = this.#options.configuration();
    const ca = this.#options.certificates.current?.['ca.crt'];
    return configuration === undefined || ca === undefined ? [] : bundlePatch(configuration, ca);
  }

  #missing(): string | undefined {
    const configuration = this.#options.configuration();
    if (configuration === undefined) {
      return `MutatingWebhookConfiguration ${CONFIGURATION_NAME} is not there; apply the manifests`;
    }
    if (configuration.entries.length === 0) {
      return `MutatingWebhookConfiguration ${CONFIGURATION_NAME} has no entry; apply the manifests`;
    }
    return this.#options.certificates.current === undefined ? 'there is no CA yet' : undefined;
  }
}
