import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import type { BoundToken } from '../../scripts/playground/kubernetes-api/api-users.ts';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { NodeSigner } from '../../webhook/node-signer.ts';
import { runDaemon, type TestDaemon } from './daemon.ts';

export interface TestPod {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly node: string;
  readonly port: number;
}

/** A pod as it is registered; of a Deployment where one is named. */
type NewPod = Omit<TestPod, 'port'> & { readonly deployment?: string };

interface DaemonKeys {
  readonly incomingKeys: string;
  /** One key a line. */
  readonly routerKeys: readonly string[];
  readonly outgoingRouterKeys: readonly string[];
  readonly incomingRouterKeys: readonly string[];
  readonly keys: readonly string[];
  readonly workers: number;
  /** `admin.access`, flow style. */
  readonly access: string;
  readonly now: (() => number) | undefined;
}

/** A cluster in memory with a real daemon on each of its nodes, and pods that are HTTP servers on loopback addresses. */
export class TestMesh {
  readonly kubernetes: MemoryKubernetes;
  readonly daemons = new Map<string, TestDaemon>();
  readonly #dir: string;
  readonly #servers: Server[] = [];
  readonly #byIp = new Map<string, Server>();
  readonly #tls: string | Readonly<Record<string, string>>;
  #signer: NodeSigner | undefined;
  #authority: CertificateSet | undefined;

  private constructor(kubernetes: MemoryKubernetes, dir: string, tls: string | Readonly<Record<string, string>>) {
    this.kubernetes = kubernetes;
    this.#dir = dir;
    this.#tls = tls;
  }

  /**
   * Starts the API and one daemon a node, and waits until all are ready and know each other. `incomingKeys` are added to the
   * incoming routers' servers (flow style YAML), `routerKeys` to all routers, `outgoingRouterKeys` and `incomingRouterKeys` to those, `keys` to
   * the whole; `tls` is of all daemons, or by node; `workers` and the monotonic clock `now` of all. `before` fills the API before the first daemon starts.
   */
  static async start(
    nodes: Readonly<Record<string, string>>,
    endpointSlices: boolean,
    {
      tls = 'off',
      before = async () => {},
      meshPolicies = true,
      ...daemonOptions
    }: Partial<DaemonKeys> & {
      tls?: string | Readonly<Record<string, string>>;
      before?: (mesh: TestMesh) => Promise<void>;
      meshPolicies?: boolean;
    } = {},
  ): Promise<TestMesh> {
    const dir = await mkdtemp(join(tmpdir(), 'nodemesh-mesh-'));
    const mesh = new TestMesh(await MemoryKubernetes.start({ endpointSlices, meshPolicies }), dir, tls);
    await writeFile(join(dir, 'kubeconfig'), mesh.kubernetes.kubeconfig());
    for (const namespace of ['nodemesh', 'shop', 'other']) {
      await mesh.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    }
    if (tls !== 'off') await mesh.#startSigner();
    await mesh.service('nodemesh', 'nodemesh-daemon', [{ name: 'incoming', port: 4141 }]);
    await before(mesh);
    for (const [nodeName, nodeIp] of Object.entries(nodes)) await mesh.#startDaemon(nodeName, nodeIp, daemonOptions);
    await mesh.endpoints(
      'nodemesh',
      'nodemesh-daemon',
      [...mesh.daemons].map(([node, daemon]) => ({
        namespace: 'nodemesh',
        name: `daemon-${node}`,
        ip: nodes[node] ?? '',
        node,
        port: daemon.port('incoming'),
      })),
      'incoming',
    );
    return mesh;
  }

  async #startDaemon(
    nodeName: string,
    nodeIp: string,
    {
      incomingKeys = '',
      routerKeys = [],
      outgoingRouterKeys = [],
      incomingRouterKeys = [],
      keys = [],
      workers = 1,
      now,
      access = 'diagnostics: open, tap: open',
    }: Partial<DaemonKeys>,
  ): Promise<void> {
    const lines = (keys: readonly string[]) => keys.map((key) => `  ${key}\n`).join('');
    const mode = typeof this.#tls === 'string' ? this.#tls : this.#tls[nodeName];
    const tls = mode === 'off' ? '' : `tls: ${mode}`;
    const kubeconfig = join(this.#dir, nodeName);
    await this.kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName } });
    await writeFile(kubeconfig, this.kubernetes.kubeconfig(await this.#daemonPod(nodeName)));
    const daemon = await runDaemon(
      `admin: {ip: node, port: 0, shutdownGraceMs: 200, access: {${access}}}
${keys.map((key) => `${key}\n`).join('')}routers:
- protocol: http
  label: outgoing
  ${tls}
${lines([...routerKeys, ...outgoingRouterKeys])}  interpreter:
    kind: default
    transformers:
    - {kind: io.l5d.k8s.daemonset, namespace: nodemesh, service: nodemesh-daemon, port: incoming}
  servers: [{port: 0, ip: node}]
- protocol: http
  label: incoming
  ${tls}
${lines([...routerKeys, ...incomingRouterKeys])}  interpreter:
    kind: default
    transformers: [{kind: io.l5d.k8s.localnode}]
  servers: [{port: 0, ip: node, ${incomingKeys}}]
`,
      {
        environment: { nodeName, nodeIp, podNamespace: 'nodemesh' },
        workers,
        now,
        loadApi: async () => loadKubernetesApi({ env: { KUBECONFIG: kubeconfig }, log: createLog('test', 'silent') }),
      },
    );
    this.daemons.set(nodeName, daemon);
    await daemon.readiness.whenReady();
  }

  /** The daemon's pod, as its token names it. */
  async #daemonPod(nodeName: string): Promise<BoundToken> {
    const [namespace, serviceAccount, pod] = ['nodemesh', 'nodemesh-daemon', `daemon-${nodeName}`];
    const { metadata } = await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name: pod },
      spec: { nodeName, serviceAccountName: serviceAccount, containers: [{ name: 'daemon', image: 'daemon' }] },
    });
    return { namespace, serviceAccount, pod, podUid: metadata.uid ?? '' };
  }

  async #startSigner(): Promise<void> {
    const log = createLog('test', 'silent');
    this.#authority = await makeSet();
    this.#signer = new NodeSigner({
      api: loadKubernetesApi({ env: { KUBECONFIG: join(this.#dir, 'kubeconfig') }, log }),
      namespace: 'nodemesh',
      trustDomain: 'cluster.local',
      authority: () => this.#authority,
      metrics: new MetricsRegistry(),
      log,
      now: Date.now,
      overlapMs: 300,
      random: Math.random,
    });
    this.#signer.start();
  }

  /** Another CA signs from now on. */
  async rotateAuthority(): Promise<void> {
    this.#authority = await makeSet();
    this.#signer?.check();
  }

  get authority(): CertificateSet {
    if (this.#authority === undefined) throw new Error('this mesh has no CA');
    return this.#authority;
  }

  /** Creates an object as the pod of a token. */
  async post(collection: string, body: unknown, as: BoundToken): Promise<void> {
    const file = join(this.#dir, `as-${as.pod}`);
    await writeFile(file, this.kubernetes.kubeconfig(as));
    const api = loadKubernetesApi({ env: { KUBECONFIG: file }, log: createLog('test', 'silent') });
    await api.request({ method: 'POST', path: collection, body });
  }

  /** A file: the administrator's. */
  get kubeconfig(): string {
    return join(this.#dir, 'kubeconfig');
  }

  daemon(node: string): TestDaemon {
    const daemon = this.daemons.get(node);
    if (daemon === undefined) throw new Error(`no daemon on ${node}`);
    return daemon;
  }

  /** Starts an application on an address of its own and registers its pod. Without a handler it answers with its address. */
  async pod(
    where: NewPod,
    handler?: RequestListener,
    onUpgrade?: (request: IncomingMessage, socket: Duplex) => void,
  ): Promise<TestPod> {
    const server = createServer(handler ?? ((_request, response) => response.end(where.ip)));
    if (onUpgrade !== undefined) server.on('upgrade', onUpgrade);
    this.#servers.push(server);
    this.#byIp.set(where.ip, server);
    server.listen(0, where.ip);
    await once(server, 'listening');
    await this.register(where);
    return { ...where, port: (server.address() as AddressInfo).port };
  }

  /** Ends an application at once, with all that it has under way; nobody tells the cluster. */
  async kill({ ip }: TestPod): Promise<void> {
    const server = this.#byIp.get(ip);
    server?.close();
    server?.closeAllConnections();
  }

  /** Registers a pod whose application is started elsewhere. */
  async register({ namespace, name, ip, node, deployment }: NewPod): Promise<void> {
    const owner = {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: `${deployment}-5d4f8c`,
      uid: 'r',
      controller: true,
    };
    const owned = { labels: { 'pod-template-hash': '5d4f8c' }, ownerReferences: [owner] };
    await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, ...(deployment === undefined ? {} : owned) },
      spec: { nodeName: node, containers: [{ name: 'app', image: 'app' }] },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
    });
  }

  async service(namespace: string, name: string, ports: { name: string; port: number }[]): Promise<void> {
    await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: { clusterIP: 'None', ports },
    });
  }

  /** Publishes pods as a Service's ready endpoints, as Endpoints and, where the server has them, as a slice a port. */
  async endpoints(namespace: string, service: string, pods: readonly TestPod[], portName = 'http'): Promise<void> {
    const ref = (pod: TestPod) => ({ kind: 'Pod', namespace: pod.namespace, name: pod.name });
    await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Endpoints',
      metadata: { namespace, name: service },
      subsets: pods.map((pod) => ({
        addresses: [{ ip: pod.ip, nodeName: pod.node, targetRef: ref(pod) }],
        ports: [{ name: portName, port: pod.port }],
      })),
    });
    if (!this.#hasSlices()) return;
    const path = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
    const names = new Set(pods.map((pod) => `${service}-${pod.name}`));
    for (const pod of pods) {
      await this.kubernetes.apply({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { namespace, name: `${service}-${pod.name}`, labels: { 'kubernetes.io/service-name': service } },
        addressType: 'IPv4',
        ports: [{ name: portName, port: pod.port, protocol: 'TCP' }],
        endpoints: [{ addresses: [pod.ip], conditions: { ready: true }, nodeName: pod.node, targetRef: ref(pod) }],
      });
    }
    for (const slice of this.kubernetes.list(path)) {
      const { name, labels } = slice.metadata as { name: string; labels?: Record<string, string> };
      if (labels?.['kubernetes.io/service-name'] === service && !names.has(name)) {
        await this.kubernetes.remove(`${path}/${name}`);
      }
    }
  }

  #hasSlices(): boolean {
    try {
      this.kubernetes.list('/apis/discovery.k8s.io/v1/endpointslices');
      return true;
    } catch {
      return false;
    }
  }

  async stop(): Promise<void> {
    for (const daemon of this.daemons.values()) await daemon.stop();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    await this.#signer?.stop();
    await this.kubernetes.stop();
    await rm(this.#dir, { recursive: true });
  }
}

/** Calls again until `accept` takes what came back: for what another process learns by a watch. */
export async function until<T>(call: () => Promise<T>, accept: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await call();
    if (accept(value)) return value;
  }
}

/** A CA and a serving certificate of its own, as the webhook has them. */
async function makeSet(): Promise<CertificateSet> {
  return createServingCertificate(await createAuthority(Date.now()), ['nodemesh-webhook'], Date.now());
}
