import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parse } from 'yaml';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import { type Manifest, MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { type RunningWebhook, startWebhook } from '../../webhook/app.ts';
import { parseWebhookConfig, readEnvironment } from '../../webhook/config.ts';

const CONFIGURATION = new URL('../../manifests/base/webhook/mutating-webhook-configuration.yaml', import.meta.url);
export const CONFIGURATION_PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nodemesh';
export const SECRET_PATH = '/api/v1/namespaces/nodemesh/secrets/nodemesh-webhook-tls';
export const SERVING_NAME = 'nodemesh-webhook.nodemesh.svc';

export interface Replica {
  readonly webhook: RunningWebhook;
  readonly readiness: Readiness;
  readonly lines: Record<string, unknown>[];
  metrics(): Promise<string>;
}

interface Container {
  name: string;
  env?: { name: string; value?: string }[];
}

/** An API in memory that holds what the manifests hold, with its webhooks and what they are called by. */
export class WebhookCluster {
  readonly kubernetes: MemoryKubernetes;
  readonly #directory = mkdtempSync(join(tmpdir(), 'nodemesh-webhook-'));
  readonly replicas: Replica[] = [];

  private constructor(kubernetes: MemoryKubernetes) {
    this.kubernetes = kubernetes;
    writeFileSync(join(this.#directory, 'config'), kubernetes.kubeconfig());
  }

  static async start(t: TestContext): Promise<WebhookCluster> {
    const kubernetes = await MemoryKubernetes.start();
    const cluster = new WebhookCluster(kubernetes);
    t.after(async () => {
      await Promise.all(cluster.replicas.map(({ webhook }) => webhook.stop()));
      await kubernetes.stop();
      rmSync(cluster.#directory, { recursive: true });
    });
    await cluster.namespace('nodemesh');
    await cluster.namespace('shop', { 'mesh-inject': 'enabled' });
    await cluster.namespace('plain');
    await kubernetes.apply(configuration());
    const ports = [{ name: 'https', port: 443, targetPort: 'https' }];
    const metadata = { name: 'nodemesh-webhook', namespace: 'nodemesh' };
    await kubernetes.apply({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } });
    return cluster;
  }

  namespace(name: string, labels = {}): Promise<unknown> {
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  }

  node(name: string, ...ips: string[]): Promise<unknown> {
    const status = { addresses: ips.map((address) => ({ type: 'InternalIP', address })) };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status });
  }

  async replica(config = 'proxyAddress: hostIP\ndrainSeconds: 0', now = Date.now): Promise<Replica> {
    const lines: Record<string, unknown>[] = [];
    const log = createLog('webhook', 'info', { write: (line) => void lines.push(JSON.parse(line)) });
    const readiness = new Readiness();
    const environment = readEnvironment({ POD_NAMESPACE: 'nodemesh', POD_IP: '127.0.0.1' });
    const local = '{ip: pod, port: 0}';
    const text = `https: ${local}\nadmin: ${local}\n${config}\n`;
    const webhook = await startWebhook({
      config: parseWebhookConfig('webhook.yaml', text, environment),
      environment,
      api: loadKubernetesApi({ env: { KUBECONFIG: join(this.#directory, 'config') }, log }),
      log,
      metrics: new MetricsRegistry(),
      readiness,
      now,
      random: Math.random,
      bundleGraceMs: 100,
    });
    const { ip, port } = webhook.adminAddress;
    const metrics = async () => (await fetch(`http://${ip}:${port}/metrics`)).text();
    const replica = { webhook, readiness, lines, metrics };
    this.replicas.push(replica);
    return replica;
  }

  /** Starts webhooks, waits until they are ready, and lets the Service lead to them. */
  async serve(count: number, config?: string): Promise<Replica[]> {
    const replicas = await Promise.all([...Array(count)].map(() => this.replica(config)));
    await Promise.all(replicas.map(({ readiness }) => readiness.whenReady()));
    await this.lead(replicas);
    return replicas;
  }

  lead(replicas: readonly Replica[]): Promise<unknown> {
    const subsets = replicas.map(({ webhook: { address } }) => ({
      addresses: [{ ip: address.ip }],
      ports: [{ name: 'https', port: address.port }],
    }));
    const metadata = { name: 'nodemesh-webhook', namespace: 'nodemesh' };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
  }

  /** Creates a pod through admission and gives what its container's env became, by name. */
  async pod(namespace: string, change: { annotations?: object; labels?: object; spec?: object } = {}) {
    const { annotations = {}, labels = {}, spec = {} } = change;
    const created = await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `p-${Math.random().toString(36).slice(2)}`, namespace, annotations, labels },
      spec: { containers: [{ name: 'app', image: 'app' }], ...spec },
    });
    const [container] = (created.spec as { containers: Container[] }).containers;
    return new Map((container?.env ?? []).map(({ name, value }) => [name, value]));
  }

  bundles(): string[] {
    const { webhooks } = this.kubernetes.get(CONFIGURATION_PATH) as unknown as {
      webhooks: { clientConfig: { caBundle?: string } }[];
    };
    return webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? '');
  }

  /** The Secret's files as texts. */
  secret(): Record<string, string> {
    const { data } = this.kubernetes.get(SECRET_PATH) as unknown as { data: Record<string, string> };
    return Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v, 'base64').toString()]));
  }

  /** Asks for new certificates as a person does. */
  annotateSecret(renew: string): Promise<unknown> {
    const { data } = this.kubernetes.get(SECRET_PATH) as unknown as { data: Record<string, string> };
    const metadata = {
      name: 'nodemesh-webhook-tls',
      namespace: 'nodemesh',
      annotations: { 'nodemesh.dev/renew': renew },
    };
    return this.kubernetes.apply({ apiVersion: 'v1', kind: 'Secret', metadata, data });
  }

  /** Settles when the Secret is as wanted. */
  async untilSecret(wanted: (files: Record<string, string>) => boolean): Promise<void> {
    let end = () => {};
    await new Promise<void>((resolve) => {
      end = this.kubernetes.watch(SECRET_PATH.slice(0, SECRET_PATH.lastIndexOf('/')), () => {
        if (this.kubernetes.get(SECRET_PATH) !== undefined && wanted(this.secret())) resolve();
      });
    });
    end();
  }

  /** Settles when every entry holds this CA. */
  async untilBundled(ca: string): Promise<void> {
    const wanted = Buffer.from(ca).toString('base64');
    const path = CONFIGURATION_PATH.slice(0, CONFIGURATION_PATH.lastIndexOf('/'));
    let end = () => {};
    await new Promise<void>((resolve) => {
      end = this.kubernetes.watch(path, () => {
        if (this.bundles().every((bundle) => bundle === wanted)) resolve();
      });
    });
    end();
  }
}

/** The MutatingWebhookConfiguration of the manifests, so that a call that goes wrong shows; with a caBundle where one is given. */
export function configuration(caBundle?: string): Manifest {
  const manifest = parse(readFileSync(CONFIGURATION, 'utf8'));
  if (caBundle !== undefined) for (const entry of manifest.webhooks) entry.clientConfig.caBundle = caBundle;
  for (const entry of manifest.webhooks) entry.failurePolicy = 'Fail';
  return JSON.parse(JSON.stringify(manifest));
}
