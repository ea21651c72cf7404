/** What the webhook needs of the API server is in manifests/base/webhook/rbac.yaml. */
import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AdminAccess } from '../lib/admin-access.ts';
import { type AdminServer, startAdminServer } from '../lib/admin-server.ts';
import { MeshConsole } from '../lib/console/mesh-console.ts';
import { tokenReviewer } from '../lib/kubernetes/token-review.ts';
import type { KubernetesApi } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { MetricsRegistry } from '../lib/metrics.ts';
import type { Readiness } from '../lib/readiness.ts';
import { AutoProxyAddress } from './auto-proxy-address.ts';
import { CaBundle, commonBundle } from './ca-bundle.ts';
import { Certificates, SECRET_NAME } from './certificates.ts';
import { ClusterWatches } from './cluster-watches.ts';
import type { WebhookConfig, WebhookEnvironment } from './config.ts';
import { NamespaceLabels } from './namespaces.ts';
import { NodeSigner } from './node-signer.ts';
import { OwnerEvents } from './owner-events.ts';
import { PROVIDED_SECRET, ProvidedCertificate } from './provided-certificate.ts';
import { hostIpFamily, type ProxyAddress } from './proxy-address.ts';
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
  readonly #watches: ClusterWatches;
  /** The webhook's own CA, which daemons' certificates are always of. */
  readonly #certificates: Certificates;
  /** Undefined where the webhook's own CA makes the serving certificate too. */
  readonly #provided: ProvidedCertificate | undefined;
  readonly #source: ServingSource;
  readonly #serving: ServingCertificate;
  readonly #nodeSigner: NodeSigner;
  readonly #caBundle: CaBundle;
  readonly #auto: AutoProxyAddress | undefined;
  readonly #events: OwnerEvents;
  readonly #reviewer: Reviewer;
  #server: AdmissionServer | undefined;
  #selfCheck: SelfCheck | undefined;
  readonly #console: MeshConsole;
  #adminServer: AdminServer | undefined;

  constructor(options: WebhookOptions) {
    const { config, environment, api, log, metrics, readiness, now, random } = options;
    const { podNamespace, podIp } = environment;
    const counted = webhookMetrics(metrics);
    this.#options = options;
    this.#counted = counted;
    const names = servingNames(podNamespace, config.clusterDomain);
    const source = { api, namespace: podNamespace, refused: counted.reloads.failed, now, random, log };
    this.#certificates = new Certificates({ ...source, names });
    // Someone else's certificate need not have our shorter names.
    if (config.servingCertificate === 'provided') {
      this.#provided = new ProvidedCertificate({ ...source, names: names.slice(0, 1) });
    }
    this.#source = this.#provided ?? this.#certificates;
    this.#watches = new ClusterWatches({
      ...{ api, log, metrics, readiness, random, now },
      namespace: podNamespace,
      secrets: this.#provided === undefined ? [SECRET_NAME] : [SECRET_NAME, PROVIDED_SECRET],
      nodes: config.proxyAddress !== 'nodeName',
    });
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
      configuration: () => this.#watches.configuration,
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
        nodes: () => this.#watches.nodes,
        ownIp: podIp,
        log,
      });
    }
    this.#events = new OwnerEvents({ api, log, now, random, counts: counted.events });
    this.#reviewer = new Reviewer({
      ownNamespace: podNamespace,
      namespaces: new NamespaceLabels(api, log, (name) => this.#watches.namespace(name)),
      settings: () => ({ ...config, proxyAddress: this.#proxyAddress() }),
      metrics: counted,
      events: this.#events,
      elapsed: () => performance.now(),
      log,
    });
    this.#console = new MeshConsole({
      api,
      namespace: podNamespace,
      labelledNamespaces: () => this.#watches.labelledNamespaces,
      now: () => performance.now(),
      wallClock: now,
    });
  }

  async start(): Promise<RunningWebhook> {
    const { config, environment, api, log, metrics, readiness } = this.#options;
    readiness.block('listeners', 'not all ports listen yet');
    readiness.block('certificate', () => this.#source.failure ?? 'the Secret with them has not been read yet');
    readiness.block('selfCheck', 'no certificate is served yet');
    readiness.block('caBundle', 'the MutatingWebhookConfiguration has not been read yet');
    const adminIp = config.admin.ip ?? everyAddress();
    this.#adminServer = await startAdminServer({
      ip: adminIp,
      port: config.admin.port,
      readiness,
      metrics,
      access: new AdminAccess({
        modes: config.admin.access,
        ip: adminIp,
        review: tokenReviewer(
          async () => api,
          () => performance.now(),
        ),
        metrics,
      }),
      routes: this.#console.routes,
      log,
    });
    this.#server = await startAdmissionServer({
      ...config.https,
      answer: (request, entry) => this.#reviewer.answer(request, entry),
      onPatch: (bytes) => this.#counted.patchBytes.observe(bytes),
      onError: (status, operation) => this.#counted.countError(operation, status),
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
    await this.#watches.stop();
    await this.#server?.close();
    await this.#events.stop();
    await this.#adminServer?.close();
    this.#console.close();
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
      if (this.#watches.configurationKnown) void this.#caBundle.check();
    });
    this.#certificates.onChange(() => this.#nodeSigner.check());
    this.#certificates.onCheck(() => this.#serving.check());
    if (this.#auto !== undefined) readiness.block('proxyAddress', 'node names have not been looked up yet');
    this.#watches.start({
      configuration: () => {
        this.#serving.bundled(commonBundle(this.#watches.configuration));
        void this.#caBundle.check();
      },
      configurationListed: () => void this.#caBundle.check(),
      secret: () => {
        void this.#certificates.refresh();
        void this.#provided?.refresh();
      },
      nodes: () => void this.#auto?.check(),
      nodesListed: () => void this.#auto?.check().then(() => readiness.clear('proxyAddress')),
    });
    this.#nodeSigner.start();
    this.#certificates.start();
    this.#provided?.start();
  }

  #proxyAddress(): ProxyAddress {
    if (this.#auto !== undefined) return this.#auto.current;
    if (this.#options.config.proxyAddress === 'nodeName') return { by: 'nodeName' };
    return { by: 'hostIP', family: hostIpFamily(this.#watches.nodes, this.#options.environment.podIp) };
  }
}
