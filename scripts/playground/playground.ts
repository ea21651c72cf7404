import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AddressPlan, planAddresses } from './addresses.ts';
import { type Cluster, callApi, inNamespace, PATHS } from './cluster.ts';
import { Controllers } from './controllers.ts';
import { scrape } from './daemon-counts.ts';
import { Kubelet } from './kubelet.ts';
import type { BoundToken } from './kubernetes-api/api-users.ts';
import { type Manifest, MemoryKubernetes } from './kubernetes-api/memory-kubernetes.ts';
import { fitToMachine, readManifest } from './manifests.ts';
import { type AnyObject, isReady, type PodObject, type WorkloadObject } from './objects.ts';
import type { PodReport } from './pod-run.ts';
import type { NodeReading } from './request-path.ts';
import type { Steps } from './steps.ts';

export const MESH_NAMESPACE = 'nodemesh';
export const ADMIN_PORT = 9990;
const IMAGE = 'nodemesh:dev';
/** The programs of the image, by their path in it, and the sources that they are built from. */
const PROGRAMS = [
  ['/app/daemon.js', 'daemon/main.ts'],
  ['/app/webhook.js', 'webhook/main.ts'],
  ['/app/helloworld.js', 'manifests/examples/helloworld.ts'],
] as const;
const READY_LIMIT_MS = 40_000;
const HOPELESS_RESTARTS = 3;
const CALL_LIMIT_MS = 15_000;

export interface PlaygroundOptions {
  /** The repository. */
  readonly root: string;
  readonly nodePath: string;
  /** PATH of the containers. */
  readonly path: string;
  readonly steps: Steps;
  readonly random: () => number;
  readonly now: () => Date;
}

interface Parts {
  readonly plan: AddressPlan;
  readonly kubernetes: MemoryKubernetes;
  readonly cluster: Cluster;
  readonly controllers: Controllers;
  readonly kubelets: readonly Kubelet[];
}

/** A cluster in one machine's memory and processes: API server, controllers, and two nodes' kubelets. */
export class Playground {
  readonly #options: PlaygroundOptions;
  #parts: Parts | undefined;
  #directory: string | undefined;
  #lastError = '';

  constructor(options: PlaygroundOptions) {
    this.#options = options;
  }

  get plan(): AddressPlan {
    return this.#started.plan;
  }

  get cluster(): Cluster {
    return this.#started.cluster;
  }

  get directory(): string {
    return this.#directory ?? '';
  }

  get kubeconfigFile(): string {
    return join(this.directory, 'kubeconfig');
  }

  get #started(): Parts {
    if (this.#parts === undefined) throw new Error('the playground has not started');
    return this.#parts;
  }

  /** Starts the API server, the controllers and the two nodes. Throws an Error that says what to do where it cannot. */
  async start(): Promise<void> {
    const { random, now } = this.#options;
    const { plan, kubernetes } = await startApi();
    this.#directory = mkdtempSync(join(tmpdir(), 'nodemesh-playground-'));
    mkdirSync(join(this.#directory, 'logs'));
    writeFileSync(this.kubeconfigFile, kubernetes.kubeconfig());
    const cluster = clusterIn(kubernetes);
    const controllers = new Controllers({
      cluster,
      endpointSlices: true,
      random,
      onError: (error) => {
        this.#lastError = error.message;
      },
    });
    const runtime = {
      cluster,
      api: plan.api,
      image: {
        name: IMAGE,
        programs: new Map(PROGRAMS.map(([inImage, source]) => [inImage, join(this.#options.root, source)])),
      },
      nodePath: this.#options.nodePath,
      path: this.#options.path,
      kubeconfig: (bound: BoundToken) => kubernetes.kubeconfig(bound),
      directory: this.#directory,
      logDirectory: join(this.#directory, 'logs'),
      random,
      now,
    };
    const kubelets = plan.nodes.map(({ name, ip, pods }) => new Kubelet(name, pods, { ...runtime, nodeIp: ip }));
    this.#parts = { plan, kubernetes, cluster, controllers, kubelets };
    for (const { name, ip } of plan.nodes) await this.apply(nodeObject(name, ip, now()));
    controllers.start();
    for (const kubelet of kubelets) kubelet.start();
  }

  /**
   * Applies a manifest file as `kubectl apply -f` does; `namespace` as its `-n`. Gives the objects that it applied; kinds
   * that the API in memory does not serve (a ResourceQuota) have nobody here to act on them, and are left out.
   */
  async applyFile(file: string, namespace?: string): Promise<AnyObject[]> {
    const objects = readManifest(join(this.#options.root, file), namespace).map((object) => fitToMachine(object));
    const applied: AnyObject[] = [];
    for (const object of objects) {
      try {
        await this.apply(object);
        applied.push(object);
      } catch (error) {
        const { message } = error as Error;
        if (message === `the API has no ${object.apiVersion} ${object.kind}`) continue;
        throw new Error(`${file}: ${object.kind} ${object.metadata.name}: ${message}`, { cause: error });
      }
    }
    return applied;
  }

  /** Creates or replaces one object, through the API's own code. Throws an Error with the API's message. */
  async apply(object: AnyObject): Promise<void> {
    await this.#started.kubernetes.apply(object as unknown as Manifest);
  }

  /** Pods of a namespace, those of `app` (their label) where one is given, in the order of their addresses. */
  pods(namespace: string, app?: string): PodObject[] {
    return this.cluster
      .list<PodObject>(inNamespace(PATHS.pods, namespace))
      .filter((pod) => app === undefined || pod.metadata.labels?.app === app)
      .sort((a, b) => (a.status?.podIP ?? '').localeCompare(b.status?.podIP ?? '', 'en', { numeric: true }));
  }

  /** Waits until every Deployment and DaemonSet of a namespace has all its pods, and all of them are ready. */
  async ready(namespace: string): Promise<void> {
    const missing = () => {
      const unready = this.pods(namespace).filter((pod) => !isReady(pod));
      const short = this.#missingPods(namespace);
      if (unready.length === 0 && short.length === 0) return undefined;
      const reports = this.#reports(namespace).filter((report) => !report.ready);
      const waiting = reports.map((report) => `${report.name}: ${report.why || 'starting'}`);
      return [...short, ...waiting, this.#lastError].filter((text) => text !== '').join('\n         ');
    };
    const hopeless = () => {
      const culprit = this.#reports(namespace).find(({ ready, restarts }) => !ready && restarts >= HOPELESS_RESTARTS);
      return culprit === undefined ? undefined : `${culprit.name} keeps ending: ${culprit.why}`;
    };
    await this.#options.steps.wait(missing, READY_LIMIT_MS, hopeless);
  }

  /** What a daemon counted, of each node. */
  readings(): Promise<NodeReading[]> {
    return Promise.all(
      this.plan.nodes.map(async ({ name, ip }) => ({ node: name, ip, samples: await scrape(ip, ADMIN_PORT) })),
    );
  }

  /** GETs `/` of a pod, straight, as somebody outside the mesh does. Gives status and body. */
  async call(pod: PodObject, port: number): Promise<{ readonly status: number; readonly body: string }> {
    const url = `http://${pod.status?.podIP}:${port}/`;
    try {
      const answer = await fetch(url, { signal: AbortSignal.timeout(CALL_LIMIT_MS) });
      return { status: answer.status, body: (await answer.text()).trim() };
    } catch (error) {
      const { message, cause } = error as Error;
      throw new Error(`GET ${url}: ${cause instanceof Error ? cause.message : message}`);
    }
  }

  /** The last log lines of pods for whom something went wrong: those that are not ready, else all of the mesh's own. */
  culprits(): PodReport[] {
    const all = this.#reports();
    const unready = all.filter((report) => !report.ready);
    return unready.length > 0 ? unready : all.filter(({ name }) => name.startsWith(`${MESH_NAMESPACE}/`));
  }

  /** Ends every process at once and removes the directory. May be called at any time, and twice. */
  async stop(): Promise<void> {
    const parts = this.#parts;
    if (parts !== undefined) {
      const off = parts.kubelets.map((kubelet) => kubelet.powerOff());
      await Promise.all([...off, parts.controllers.stop()]);
      await parts.kubernetes.stop();
    }
    this.removeDirectory();
  }

  /** For a process that is about to exit and cannot wait. */
  stopNow(): void {
    for (const kubelet of this.#parts?.kubelets ?? []) void kubelet.powerOff();
    this.removeDirectory();
  }

  removeDirectory(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }

  #reports(namespace?: string): PodReport[] {
    const all = (this.#parts?.kubelets ?? []).flatMap((kubelet) => kubelet.reports());
    return namespace === undefined ? all : all.filter(({ name }) => name.startsWith(`${namespace}/`));
  }

  #missingPods(namespace: string): string[] {
    const deployments = this.cluster.list<WorkloadObject>(inNamespace(PATHS.deployments, namespace));
    const daemonSets = this.cluster.list<WorkloadObject>(inNamespace(PATHS.daemonSets, namespace));
    const pods = this.pods(namespace);
    const wanted = [
      ...deployments.map((workload) => ({ workload, count: workload.spec.replicas ?? 1 })),
      ...daemonSets.map((workload) => ({ workload, count: this.plan.nodes.length })),
    ];
    return wanted.flatMap(({ workload, count }) => {
      const { uid, name } = workload.metadata;
      const there = pods.filter((pod) => pod.metadata.ownerReferences?.some((owner) => owner.uid === uid)).length;
      return there >= count ? [] : [`${name}: ${there} of ${count} pods`];
    });
  }
}

/** The API server's port is what reserves a range of addresses: who loses a race for it plans again. */
async function startApi(): Promise<{ readonly plan: AddressPlan; readonly kubernetes: MemoryKubernetes }> {
  for (;;) {
    const plan = await planAddresses();
    try {
      return { plan, kubernetes: await MemoryKubernetes.start({ host: plan.api.ip, port: plan.api.port }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

/** Reads straight from the API's memory; writes over its HTTP, as controllers and kubelets do. */
function clusterIn(kubernetes: MemoryKubernetes): Cluster {
  const { url } = kubernetes;
  return {
    url,
    list: <T extends AnyObject>(path: string) => kubernetes.list(path) as unknown as T[],
    get: <T extends AnyObject>(path: string) => kubernetes.get(path) as unknown as T | undefined,
    create: (collection, body) => callApi(url, 'POST', collection, { body }),
    patch: (path, body) =>
      callApi(url, 'PATCH', path, { body, contentType: 'application/merge-patch+json', tolerated: [404] }),
    remove: (path, query = '') => callApi(url, 'DELETE', `${path}${query}`, { tolerated: [404] }),
    watch: (path, listener) => {
      kubernetes.watch(path, listener);
    },
  };
}

function nodeObject(name: string, ip: string, now: Date): AnyObject {
  const since = now.toISOString();
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
    spec: {},
    status: {
      addresses: [
        { type: 'InternalIP', address: ip },
        { type: 'Hostname', address: name },
      ],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', lastTransitionTime: since }],
    },
  } as AnyObject;
}
