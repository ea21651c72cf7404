import { type Cluster, inNamespace, PATHS } from './cluster.ts';
import type { PodObject } from './objects.ts';
import { type NodeRuntime, type PodReport, PodRun } from './pod-run.ts';

/** What one node's kubelet and its network plugin do: it runs the pods that are bound to its node. */
export class Kubelet {
  readonly #nodeName: string;
  readonly #runtime: NodeRuntime;
  readonly #addresses: readonly string[];
  readonly #runs = new Map<string, PodRun>();
  readonly #ending = new Set<PodRun>();
  #nextAddress = 0;
  #off = false;

  constructor(nodeName: string, addresses: readonly string[], runtime: NodeRuntime) {
    this.#nodeName = nodeName;
    this.#addresses = addresses;
    this.#runtime = runtime;
  }

  start(): void {
    this.#runtime.cluster.watch(PATHS.pods, () => this.#sync());
    this.#sync();
  }

  /** How each pod of the node is, for people. */
  reports(): PodReport[] {
    return [...this.#runs.values()].map((run) => run.report());
  }

  /** As if the node lost power: every process dies now, and nothing starts again. */
  async powerOff(): Promise<void> {
    this.#off = true;
    await Promise.all([...this.#runs.values(), ...this.#ending].map((run) => run.kill()));
  }

  #sync(): void {
    if (this.#off) return;
    const cluster: Cluster = this.#runtime.cluster;
    const bound = cluster.list<PodObject>(PATHS.pods).filter((pod) => pod.spec.nodeName === this.#nodeName);
    const wanted = new Map(
      bound
        .filter((pod) => pod.metadata.deletionTimestamp === undefined)
        .map((pod) => [pod.metadata.uid ?? pod.metadata.name, pod]),
    );
    for (const [uid, run] of this.#runs) if (!wanted.has(uid)) this.#terminate(uid, run);
    for (const [uid, pod] of wanted) {
      if (this.#runs.has(uid)) continue;
      const ip = pod.spec.hostNetwork === true ? this.#runtime.nodeIp : this.#allocate();
      if (ip === undefined) continue; // an address is free again once a pod has ended, which syncs
      const run = new PodRun(pod, ip, this.#runtime);
      this.#runs.set(uid, run);
      run.start();
    }
  }

  #terminate(uid: string, run: PodRun): void {
    this.#runs.delete(uid);
    this.#ending.add(run);
    const { namespace, name } = run.pod.metadata;
    void run
      .stop()
      .then(() => this.#removeIfStillThere(inNamespace(PATHS.pods, namespace, name), uid))
      .finally(() => {
        this.#ending.delete(run);
        this.#sync();
      });
  }

  /** The end of a graceful deletion: the API keeps a terminating pod until its kubelet says that it is gone. */
  async #removeIfStillThere(path: string, uid: string): Promise<void> {
    if (this.#off || this.#runtime.cluster.get(path)?.metadata.uid !== uid) return;
    await this.#runtime.cluster.remove(path, '?gracePeriodSeconds=0').catch(() => {}); // the next sync tries again
  }

  /** The next free address, round robin like host-local's: one that was just in use rests the longest. */
  #allocate(): string | undefined {
    const used = new Set([...this.#runs.values(), ...this.#ending].map((run) => run.ip));
    for (let i = 0; i < this.#addresses.length; i += 1) {
      const address = this.#addresses[(this.#nextAddress + i) % this.#addresses.length];
      if (address === undefined || used.has(address)) continue;
      this.#nextAddress = (this.#nextAddress + i + 1) % this.#addresses.length;
      return address;
    }
    return undefined;
  }
}
