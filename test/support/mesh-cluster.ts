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
import type { ApiObject } from '../../scripts/playground/kubernetes-api/object-store.ts';
import { startWebhook } from '../../webhook/app.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { parseWebhookConfig, readEnvironment } from '../../webhook/config.ts';
import { nodemesh, type Outcome } from './cli.ts';

const CONFIGURATION = new URL('../../manifests/base/webhook/mutating-webhook-configuration.yaml', import.meta.url);
const MESH = 'nodemesh';
export const SECRET = `/api/v1/namespaces/${MESH}/secrets/nodemesh-webhook-tls`;
export const CONFIGURATION_PATH = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/nodemesh';

/** Keys take seconds to make: all clusters of a process have the same. */
let certificates: Promise<CertificateSet> | undefined;
export function sharedCertificates(): Promise<CertificateSet> {
  const names = [
    `nodemesh-webhook.${MESH}.svc`,
    `nodemesh-webhook.${MESH}.svc.cluster.local`,
    `nodemesh-webhook.${MESH}`,
  ];
  certificates ??= createAuthority(Date.now()).then((ca) =>
    createServingCertificate(ca, [...names, 'nodemesh-webhook'], Date.now()),
  );
  return certificates;
}

export interface PodOptions {
  readonly node?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner?: { readonly apiVersion: string; readonly kind: string; readonly name: string };
  readonly ready?: boolean;
  readonly spec?: object;
}

const DAEMON_CONFIG = `routers:
- {protocol: http, label: incoming, tls: required, interpreter: {transformers: [{kind: io.l5d.k8s.localnode}]}}
`;

/** A cluster in memory with a mesh that lacks nothing: two nodes, a daemon and a webhook pod on each, a real webhook behind them. */
export class MeshCluster {
  readonly kubernetes: MemoryKubernetes;
  readonly env: Readonly<Record<string, string>>;
  readonly #t: TestContext;

  private constructor(t: TestContext, kubernetes: MemoryKubernetes, env: Readonly<Record<string, string>>) {
    this.#t = t;
    this.kubernetes = kubernetes;
    this.env = env;
  }

  static async start(t: TestContext, config = 'proxyAddress: hostIP'): Promise<MeshCluster> {
    const kubernetes = await MemoryKubernetes.start();
    const folder = mkdtempSync(join(tmpdir(), 'nodemesh-cluster-'));
    writeFileSync(join(folder, 'config'), kubernetes.kubeconfig());
    const cluster = new MeshCluster(t, kubernetes, { KUBECONFIG: join(folder, 'config') });
    t.after(async () => {
      await kubernetes.stop();
      rmSync(folder, { recursive: true });
    });
    await cluster.#populate(config);
    await cluster.#serve(config);
    return cluster;
  }

  apply(object: object): Promise<ApiObject> {
    return this.kubernetes.apply(object as Manifest);
  }

  /** Runs a command against this cluster. */
  nodemesh(argv: readonly string[], now?: number): Promise<Outcome> {
    return nodemesh(argv, { env: this.env, ...(now === undefined ? {} : { now }) });
  }

  namespace(name: string, labels: Readonly<Record<string, string>> = {}): Promise<ApiObject> {
    const metadata = { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } };
    return this.apply({ apiVersion: 'v1', kind: 'Namespace', metadata });
  }

  node(name: string, ip: string): Promise<ApiObject> {
    const status = { addresses: [{ type: 'InternalIP', address: ip }] };
    return this.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name }, status });
  }

  /** Creates a pod that runs; the webhook is asked as it would be. */
  pod(namespace: string, name: string, options: PodOptions = {}): Promise<ApiObject> {
    const { node = 'node-1', labels = {}, annotations = {}, owner, ready = true, spec = {} } = options;
    const ownerReferences = owner === undefined ? [] : [{ ...owner, uid: owner.name, controller: true }];
    return this.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels, annotations, ownerReferences },
      spec: { nodeName: node, containers: [{ name: 'app', image: 'app' }], ...spec },
      status: {
        phase: 'Running',
        hostIP: node === 'node-1' ? '10.0.0.1' : '10.0.0.2',
        conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
      },
    });
  }

  /** Puts another object in an object's place; throws where it is not there. */
  async change(path: string, change: (object: ApiObject) => object): Promise<void> {
    const object = this.kubernetes.get(path);
    if (object === undefined) throw new Error(`${path} is not there`);
    const { name, namespace, labels, annotations } = object.metadata;
    await this.apply(
      change({ ...object, metadata: { name, namespace, labels, annotations } as ApiObject['metadata'] }),
    );
  }

  configure(text: string, daemon = DAEMON_CONFIG): Promise<ApiObject> {
    const metadata = { name: 'nodemesh-config', namespace: MESH };
    const data = { 'webhook.yaml': text, 'daemon.yaml': daemon };
    return this.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
  }

  async secret(set: CertificateSet): Promise<void> {
    const data = Object.fromEntries(Object.entries(set).map(([k, v]) => [k, Buffer.from(v).toString('base64')]));
    const metadata = { name: 'nodemesh-webhook-tls', namespace: MESH };
    await this.apply({ apiVersion: 'v1', kind: 'Secret', metadata, type: 'Opaque', data });
  }

  async #populate(config: string): Promise<void> {
    await this.namespace(MESH);
    await this.namespace('default');
    await this.namespace('shop', { 'mesh-inject': 'enabled' });
    await this.namespace('plain');
    await this.node('node-1', '10.0.0.1');
    await this.node('node-2', '10.0.0.2');
    await this.configure(config);
    await this.secret(await sharedCertificates());
    await this.apply(parse(readFileSync(CONFIGURATION, 'utf8'), { merge: true }));
    const service = (name: string, namespace: string, spec: object) =>
      this.apply({ apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec });
    await service('kubernetes', 'default', { clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] });
    await service('nodemesh-webhook', MESH, { ports: [{ name: 'https', port: 443, targetPort: 'https' }] });
    for (const [i, node] of ['node-1', 'node-2'].entries()) {
      await this.meshPod('webhook', `webhook-${i + 1}`, node);
      await this.meshPod('daemon', `daemon-${i + 1}`, node);
    }
  }

  meshPod(component: 'webhook' | 'daemon', name: string, node: string, ready = true): Promise<ApiObject> {
    const labels = { 'app.kubernetes.io/name': 'nodemesh', 'app.kubernetes.io/component': component };
    const ports = [4140, 4141, 9990].map((port) => ({ containerPort: port, hostPort: port }));
    const containers = [{ name: component, image: 'nodemesh:dev', ...(component === 'daemon' ? { ports } : {}) }];
    return this.pod(MESH, name, { node, labels, ready, spec: { hostNetwork: component === 'daemon', containers } });
  }

  /** Starts a webhook and leads its Service to it, once it is ready and its CA is in the configuration. */
  async #serve(config: string): Promise<void> {
    const log = createLog('webhook', 'silent');
    const readiness = new Readiness();
    const environment = readEnvironment({ POD_NAMESPACE: MESH, POD_IP: '127.0.0.1' });
    const local = '{ip: pod, port: 0}';
    const text = `https: ${local}\nadmin: ${local}\ndrainSeconds: 0\n${config}\n`;
    const webhook = await startWebhook({
      config: parseWebhookConfig('webhook.yaml', text, environment),
      environment,
      api: loadKubernetesApi({ env: this.env, log }),
      log,
      metrics: new MetricsRegistry(),
      readiness,
      now: () => Date.now(),
      random: Math.random,
    });
    let stopped = false;
    this.stopWebhook = async () => {
      if (!stopped) await webhook.stop();
      stopped = true;
    };
    this.#t.after(() => this.stopWebhook());
    await readiness.whenReady();
    const { ip, port } = webhook.address;
    const metadata = { name: 'nodemesh-webhook', namespace: MESH };
    const subsets = [{ addresses: [{ ip }], ports: [{ name: 'https', port }] }];
    await this.apply({ apiVersion: 'v1', kind: 'Endpoints', metadata, subsets });
  }

  /** Ends the real webhook: nobody answers reviews, and nobody repairs what a test breaks. */
  stopWebhook: () => Promise<void> = async () => {};
}
