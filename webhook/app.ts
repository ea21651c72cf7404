/** What the webhook needs of the API server is in manifests/base/webhook/rbac.yaml. */
import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type AdminServer, startAdminServer } from '../lib/admin-server.ts';
import { Reflector } from '../lib/kubernetes/reflector.ts';
import type { KubernetesApi, KubernetesObject } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { MetricsRegistry } from '../lib/metrics.ts';
import type { Readiness } from '../lib/readiness.ts';
import { AutoProxyAddress } from './auto-proxy-address.ts';
import {
  type BundledEntries,
  CaBundle,
  CONFIGURATION_NAME,
  CONFIGURATIONS_PATH,
  commonBundle,
  trimConfiguration,
} from './ca-bundle.ts';
import { Certificates, SECRET_NAME } from './certificates.ts';
import type { WebhookConfig, WebhookEnvironment } from './config.ts';
import { NamespaceLabels, type NamespaceState, trimNamespace } from './namespaces.ts';
import { NodeSigner } from './node-signer.ts';
import { OwnerEvents } from './owner-events.ts';
import { PROVIDED_SECRET, ProvidedCertificate } from './provided-certificate.ts';
import { hostIpFamily, type NodeAddresses, type ProxyAddress, trimNode } from './proxy-address.ts';
import { Reviewer } from './reviewer.ts';
import { SelfCheck } from './self-check.ts';
import { type AdmissionServer, everyAddress, startAdmissionServer } from './server.ts';
import { ServingCertificate, type ServingSource, servingNames } from './serving-certificate.ts';
import { exposeExpiry, type WebhookMetrics, webhookMetrics } from './webhook-metrics.ts';

/** They read their configuration through a watch; this is ample. */
const BUNDLE_GRACE_MS = 5_000;

export interface WebhookOptions {
  readonly config: WebhookConfig;
  readonly environment: WebhookEnvironment;
  readonly api: KubernetesApi;
  readonly log: Log;
  readonly metrics: MetricsRegistry;
  readonly readiness: Readiness;
  /** Wall clock, ms since 1970: certificates live by it. */
  readonly now: () => number;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
  /** How long API servers may take to see a new caBundle, ms. */
  readonly bundleGraceMs?: number;
}

export interface RunningWebhook {
  readonly address: { readonly ip: string; readonly port: number };
  readonly adminAddress: { readonly ip: string; readonly port: number };
  /** Unready at once, serves for `drainSeconds` more, finishes what is under way, closes everything. */
  stop(): Promise<void>;
}

/**
 * Puts a webhook together and starts it: settles when both ports listen; `readiness` says what is still missing before
 * reviews can be answered. Rejects with the system's error where a port cannot be had; nothing is left open then.
 */
export async function startWebhook(options: WebhookOptions): Promise<RunningWebhook> {
  const webhook = new Webhook(options);
  try {
    return await webhook.start();
  } catch (error) {
    await webhook.close();
    throw error;
  }
}

class Webhook {
  readonly #options: WebhookOptions;
  readonly #counted: WebhookMetrics;
  readonly #namespaces: Reflector<NamespaceState>;
  readonly #configurations: Reflector<BundledEntries>;
  /** Undefined where pods address their proxy by node name, whatever the nodes are. */
  readonly #nodes: Reflector<NodeAddresses> | undefined;
  /** The webhook's own CA, which daemons' certificates are always of. */
  readonly #certificates: Certificates;
  /** Undefined where the webhook's own CA makes the serving certificate too. */
  readonly #provided: ProvidedCertificate | undefined;
  readonly #source: ServingSource;
  readonly #serving: ServingCertificate;
  /** Told of by their versions alone. */
  readonly #secrets: readonly Reflector<string>[];
  readonly #nodeSigner: NodeSigner;
  readonly #caBundle: CaBundle;
  readonly #auto: AutoProxyAddress | undefined;
  readonly #events: OwnerEvents;
  readonly #reviewer: Reviewer;
  #server: AdmissionServer | undefined;
  #selfCheck: SelfCheck | undefined;
  #adminServer: AdminServer | undefined;

  constructor(options: WebhookOptions) {
    const { config, environment, api, log, metrics, readiness, now, random } = options;
    const { podNamespace, podIp } = environment;
    const counted = webhookMetrics(metrics);
    this.#options = options;
    this.#counted = counted;
    this.#namespaces = this.#watch('/api/v1/namespaces', trimNamespace);
    this.#configurations = this.#watch(CONFIGURATIONS_PATH, trimConfiguration, `metadata.name=${CONFIGURATION_NAME}`);
    this.#nodes = config.proxyAddress === 'nodeName' ? undefined : this.#watch('/api/v1/nodes', trimNode);
    const names = servingNames(podNamespace, config.clusterDomain);
    const source = { api, namespace: podNamespace, refused: counted.reloads.failed, now, random, log };
    this.#certificates = new Certificates({ ...source, names });
    // Someone else's certificate need not have our shorter names.
    if (config.servingCertificate === 'provided') {
      this.#provided = new ProvidedCertificate({ ...source, names: names.slice(0, 1) });
    }
    this.#source = this.#provided ?? this.#certificates;
    const watched = this.#provided === undefined ? [SECRET_NAME] : [SECRET_NAME, PROVIDED_SECRET];
    const secrets = `/api/v1/namespaces/${podNamespace}/secrets`;
    const versionOf = ({ metadata }: KubernetesObject) => metadata.resourceVersion ?? '';
    this.#secrets = watched.map((name) => this.#watch(secrets, versionOf, `metadata.name=${name}`));
    this.#serving = new ServingCertificate({
      serve: (set) => {
        this.#server?.setCertificate({ cert: set['tls.crt'], key: set['tls.key'] });
        setImmediate(() => void this.#selfCheck?.check());
      },
      report: (missing) => readiness.report('certificate', missing),
      graceMs: options.bundleGraceMs ?? BUNDLE_GRACE_MS,
      reloads: counted.reloads,
      now,
      log,
    });
    this.#nodeSigner = new NodeSigner({
      api,
      namespace: podNamespace,
      trustDomain: config.clusterDomain,
      authority: () => this.#certificates.current,
      metrics,
      log,
      now,
      random,
    });
    this.#caBundle = new CaBundle({
      api,
      certificates: this.#source,
      // The webhook's own Secret says itself which CAs before the present one are to be trusted still.
      wanted: () =>
        this.#provided === undefined
          ? this.#certificates.current?.['ca.crt']
          : this.#serving.authorities(this.#provided.current),
      configuration: () => this.#configuration(),
      report: (missing) => readiness.report('caBundle', missing),
      repairs: counted.bundleRepairs,
      random,
      now,
      log,
    });
    if (config.proxyAddress === 'auto') {
      this.#auto = new AutoProxyAddress({
        // libc's resolver with the pod's own resolv.conf, as its neighbours have it.
        lookup: async (name) => (await lookup(name, { all: true })).map(({ address }) => address),
        nodes: () => this.#knownNodes(),
        ownIp: podIp,
        log,
      });
    }
    this.#events = new OwnerEvents({ api, log, now, random, counts: counted.events });
    this.#reviewer = new Reviewer({
      ownNamespace: podNamespace,
      namespaces: new NamespaceLabels(api, log, (name) => this.#namespaces.items.get(name)),
      settings: () => ({ ...config, proxyAddress: this.#proxyAddress() }),
      metrics: counted,
      events: this.#events,
      elapsed: () => performance.now(),
      log,
    });
  }

  async start(): Promise<RunningWebhook> {
    const { config, environment, log, metrics, readiness } = this.#options;
    readiness.block('listeners', 'not all ports listen yet');
    readiness.block('certificate', () => this.#source.failure ?? 'the Secret with them has not been read yet');
    readiness.block('selfCheck', 'no certificate is served yet');
    readiness.block('caBundle', 'the MutatingWebhookConfiguration has not been read yet');
    this.#adminServer = await startAdminServer({
      ip: config.admin.ip ?? everyAddress(),
      port: config.admin.port,
      readiness,
      metrics,
      log,
    });
    this.#server = await startAdmissionServer({
      ...config.https,
      answer: (request, entry) => this.#reviewer.answer(request, entry),
      onPatch: (bytes) => this.#counted.patchBytes.observe(bytes),
      onError: (status, operation) => {
        this.#counted.countRequest(operation, status < 500 ? 'refused' : 'failed');
        if (status === 500) this.#counted.panics.inc();
      },
      log,
    });
    readiness.clear('listeners');
    this.#selfCheck = new SelfCheck({
      address: this.#server.address,
      name: servingNames(environment.podNamespace, config.clusterDomain)[0] ?? '',
      authorities: () => this.#serving.served?.['ca.crt'],
      report: (fault) => readiness.report('selfCheck', fault),
    });
    this.#follow();
    return {
      address: this.#server.address,
      adminAddress: this.#adminServer.address,
      stop: () => this.#stop(),
    };
  }

  /** Closes everything at once. */
  async close(): Promise<void> {
    this.#auto?.stop();
    this.#serving.stop();
    this.#selfCheck?.stop();
    await Promise.all([this.#certificates, this.#provided, this.#caBundle, this.#nodeSigner].map((one) => one?.stop()));
    await Promise.all(
      [this.#namespaces, this.#configurations, this.#nodes, ...this.#secrets].map((one) => one?.stop()),
    );
    await this.#server?.close();
    await this.#events.stop();
    await this.#adminServer?.close();
  }

  async #stop(): Promise<void> {
    const { config, readiness } = this.#options;
    readiness.block('stopping', 'the webhook is shutting down');
    this.#server?.drain();
    await delay(config.drainSeconds * 1000);
    await this.close();
  }

  #follow(): void {
    const { metrics, readiness } = this.#options;
    exposeExpiry(metrics, {
      authority: () => this.#certificates.current,
      leaf: () => this.#source.current,
      served: () => this.#serving.served,
    });
    this.#source.onChange((set) => {
      this.#serving.offer(set);
      if (this.#configurations.synced) void this.#caBundle.check();
    });
    this.#certificates.onChange(() => this.#nodeSigner.check());
    this.#certificates.onCheck(() => this.#serving.check());
    this.#configurations.onChange(() => {
      this.#serving.bundled(commonBundle(this.#configuration()));
      void this.#caBundle.check();
    });
    for (const secret of this.#secrets) {
      secret.onChange(() => {
        void this.#certificates.refresh();
        void this.#provided?.refresh();
      });
      secret.start();
    }
    this.#followUntilSynced('namespaces', this.#namespaces);
    // Its list may be empty, which is no change: the look that says so is made here.
    this.#followUntilSynced('webhookConfiguration', this.#configurations, () => void this.#caBundle.check());
    if (this.#auto !== undefined) readiness.block('proxyAddress', 'node names have not been looked up yet');
    if (this.#nodes !== undefined) {
      this.#nodes.onChange(() => void this.#auto?.check());
      this.#followUntilSynced('nodes', this.#nodes, () => {
        void this.#auto?.check().then(() => readiness.clear('proxyAddress'));
      });
    }
    this.#nodeSigner.start();
    this.#certificates.start();
    this.#provided?.start();
  }

  #followUntilSynced<T>(name: string, reflector: Reflector<T>, whenSynced: () => void = () => {}): void {
    const { readiness } = this.#options;
    readiness.block(name, () => reflector.failure ?? 'not listed yet');
    reflector.whenSynced().then(
      () => {
        readiness.clear(name);
        whenSynced();
      },
      () => {}, // stopped before
    );
    reflector.start();
  }

  #configuration(): BundledEntries | undefined {
    return this.#configurations.items.values().next().value;
  }

  #knownNodes(): NodeAddresses[] {
    return [...(this.#nodes?.items.values() ?? [])];
  }

  #proxyAddress(): ProxyAddress {
    if (this.#auto !== undefined) return this.#auto.current;
    if (this.#options.config.proxyAddress === 'nodeName') return { by: 'nodeName' };
    return { by: 'hostIP', family: hostIpFamily(this.#knownNodes(), this.#options.environment.podIp) };
  }

  #watch<T>(path: string, trim: (object: KubernetesObject) => T, fieldSelector?: string): Reflector<T> {
    const { api, log, metrics, random, now } = this.#options;
    const resource = { path, ...(fieldSelector === undefined ? {} : { fieldSelector }) };
    return new Reflector<T>({ api, resource, trim, log, metrics, random, now });
  }
}
