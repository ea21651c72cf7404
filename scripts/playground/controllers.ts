import { isDeepStrictEqual } from 'node:util';
import { type Cluster, inNamespace, PATHS } from './cluster.ts';
import { endpointSlices, endpointSubsets } from './endpoints.ts';
import type { AnyObject, NodeObject, PodObject, ServiceObject, WorkloadObject } from './objects.ts';
import {
  daemonSetStatus,
  deploymentStatus,
  ownerUid,
  type Plan,
  pickNode,
  planDaemonSet,
  planDeployment,
} from './workloads.ts';

const RETRY_MS = 300;

export interface ControllersOptions {
  readonly cluster: Cluster;
  /** Whether the API serves discovery.k8s.io/v1. */
  readonly endpointSlices: boolean;
  readonly random: () => number;
  /** Gets what could not be done, and will be tried again. */
  readonly onError: (error: Error) => void;
}

/**
 * What a cluster's controllers and scheduler do, as small as the example needs: Deployments and DaemonSets make pods, pods
 * get nodes, Services get Endpoints, what lost its owner goes. After any change, everything is compared and put right.
 */
export class Controllers {
  readonly #options: ControllersOptions;
  #again = false;
  #working: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ControllersOptions) {
    this.#options = options;
  }

  start(): void {
    const watched = [PATHS.deployments, PATHS.daemonSets, PATHS.pods, PATHS.services, PATHS.nodes, PATHS.namespaces];
    for (const path of watched) this.#options.cluster.watch(path, () => this.#wake());
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#working;
  }

  #wake(): void {
    this.#again = true;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      // Endpoints come first: the webhook that pods are created through is itself reached over them.
      for (const step of [this.#endpoints, this.#deployments, this.#daemonSets, this.#orphans, this.#schedule]) {
        if (this.#stopped) return;
        try {
          await step.call(this);
        } catch (error) {
          if (this.#stopped) return;
          this.#options.onError(error as Error);
          clearTimeout(this.#retry);
          this.#retry = setTimeout(() => this.#wake(), RETRY_MS);
        }
      }
    }
  }

  async #deployments(): Promise<void> {
    const { cluster, random } = this.#options;
    for (const deployment of cluster.list<WorkloadObject>(PATHS.deployments)) {
      const pods = this.#podsOf(deployment);
      await this.#carryOut(planDeployment(deployment, pods, random));
      await this.#writeStatus(PATHS.deployments, deployment, deploymentStatus(deployment, pods));
    }
  }

  async #daemonSets(): Promise<void> {
    const { cluster, random } = this.#options;
    const nodes = cluster.list<NodeObject>(PATHS.nodes);
    for (const daemonSet of cluster.list<WorkloadObject>(PATHS.daemonSets)) {
      const pods = this.#podsOf(daemonSet);
      await this.#carryOut(planDaemonSet(daemonSet, pods, nodes, random));
      await this.#writeStatus(PATHS.daemonSets, daemonSet, daemonSetStatus(daemonSet, pods, nodes.length));
    }
  }

  /** Kubernetes' garbage collector: pods whose owner or namespace is gone. */
  async #orphans(): Promise<void> {
    const { cluster } = this.#options;
    const namespaces = new Set(cluster.list(PATHS.namespaces).map((namespace) => namespace.metadata.name));
    const owners = new Set(
      [PATHS.deployments, PATHS.daemonSets].flatMap((path) => cluster.list(path).map(({ metadata }) => metadata.uid)),
    );
    for (const pod of cluster.list<PodObject>(PATHS.pods)) {
      const owner = ownerUid(pod);
      const orphan =
        (owner !== undefined && !owners.has(owner)) || !namespaces.has(pod.metadata.namespace ?? 'default');
      if (orphan && pod.metadata.deletionTimestamp === undefined) await this.#removePod(pod);
    }
  }

  async #schedule(): Promise<void> {
    const { cluster } = this.#options;
    const nodes = cluster.list<NodeObject>(PATHS.nodes);
    const pending = cluster.list<PodObject>(PATHS.pods).filter((pod) => pod.spec.nodeName === undefined);
    for (const pod of pending) {
      const nodeName = pickNode(pod, cluster.list<PodObject>(PATHS.pods), nodes);
      if (nodeName === undefined || pod.metadata.deletionTimestamp !== undefined) continue;
      await cluster.patch(inNamespace(PATHS.pods, pod.metadata.namespace, pod.metadata.name), { spec: { nodeName } });
    }
  }

  async #endpoints(): Promise<void> {
    const { cluster } = this.#options;
    const pods = cluster.list<PodObject>(PATHS.pods);
    const services = cluster.list<ServiceObject>(PATHS.services).filter(({ spec }) => spec.selector !== undefined);
    const slices: object[] = [];
    for (const service of services) {
      const subsets = endpointSubsets(service, pods);
      slices.push(...endpointSlices(service, subsets));
      const { name, namespace, labels } = service.metadata;
      const metadata = { name, namespace, ...(labels === undefined ? {} : { labels }) };
      await this.#put(PATHS.endpoints, { apiVersion: 'v1', kind: 'Endpoints', metadata, subsets } as AnyObject);
    }
    const wanted = slices as AnyObject[];
    if (this.#options.endpointSlices) for (const slice of wanted) await this.#put(PATHS.endpointSlices, slice);
    await this.#removeOthers(PATHS.endpoints, services);
    if (this.#options.endpointSlices) await this.#removeOthers(PATHS.endpointSlices, wanted);
  }

  /** Creates or patches where something but the metadata differs. */
  async #put(collection: string, object: AnyObject): Promise<void> {
    const { cluster } = this.#options;
    const { namespace, name } = object.metadata;
    const known = cluster.get(inNamespace(collection, namespace, name));
    const text = JSON.parse(JSON.stringify(object)) as AnyObject;
    if (known === undefined) return cluster.create(inNamespace(collection, namespace), text);
    const { metadata: _, apiVersion: _version, kind: _kind, ...content } = text;
    const same = Object.entries(content).every(([key, value]) =>
      isDeepStrictEqual((known as unknown as Record<string, unknown>)[key], value),
    );
    if (!same) await cluster.patch(inNamespace(collection, namespace, name), content);
  }

  async #removeOthers(collection: string, kept: readonly AnyObject[]): Promise<void> {
    const { cluster } = this.#options;
    const names = new Set(kept.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
    for (const { metadata } of cluster.list(collection)) {
      if (names.has(`${metadata.namespace}/${metadata.name}`)) continue;
      await cluster.remove(inNamespace(collection, metadata.namespace, metadata.name));
    }
  }

  #podsOf(owner: WorkloadObject): PodObject[] {
    const { cluster } = this.#options;
    return cluster.list<PodObject>(PATHS.pods).filter((pod) => ownerUid(pod) === owner.metadata.uid);
  }

  async #carryOut(plan: Plan): Promise<void> {
    const { cluster } = this.#options;
    for (const pod of plan.remove) await this.#removePod(pod);
    for (const pod of plan.create) await cluster.create(inNamespace(PATHS.pods, pod.metadata.namespace), pod);
  }

  #removePod(pod: PodObject): Promise<void> {
    return this.#options.cluster.remove(inNamespace(PATHS.pods, pod.metadata.namespace, pod.metadata.name));
  }

  async #writeStatus(collection: string, workload: WorkloadObject, status: object): Promise<void> {
    if (isDeepStrictEqual(workload.status, status)) return;
    const path = `${inNamespace(collection, workload.metadata.namespace, workload.metadata.name)}/status`;
    await this.#options.cluster.patch(path, { status });
  }
}
