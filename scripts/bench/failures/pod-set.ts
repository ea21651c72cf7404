import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MemoryKubernetes } from '../../playground/kubernetes-api/memory-kubernetes.ts';
import { BOTH_CPUS, type Processes } from '../processes.ts';
import type { Behaviour, Seen } from './application.ts';

const APPLICATION = join(import.meta.dirname, 'application.ts');
const PORT = 8080;
const SHOP = 'shop';
/** A kubelet sends SIGTERM as soon as the endpoints' controller writes, and often before any daemon has heard of that. */
const ENDPOINTS_LATER_MS = 100;

/** One pod: a process at an address of its own. */
export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly ip: string;
  readonly child: ChildProcess;
}

export interface PodSetOptions {
  readonly kubernetes: MemoryKubernetes;
  readonly processes: Processes;
  readonly takeIp: (node: string) => string;
  readonly register: (name: string, node: string, ip: string) => Promise<void>;
}

/** The pods of one Service, and its EndpointSlice as Kubernetes keeps it. */
export class PodSet {
  readonly service: string;
  pods: readonly Pod[] = [];
  readonly #options: PodSetOptions;
  readonly #leaving = new Set<Pod>();
  /** What pods were asked, as far as they have told. */
  readonly #seen = new Map<string, Seen>();
  #made = 0;

  constructor(service: string, options: PodSetOptions) {
    this.service = service;
    this.#options = options;
  }

  /** Starts a pod on each of `nodes`, and publishes those that listen. */
  async add(nodes: readonly string[], behaviour: Behaviour = {}): Promise<void> {
    const pods = await Promise.all(nodes.map((node) => this.#start(node)));
    await Promise.all(pods.map((pod) => this.behave(pod, behaviour)));
    this.pods = [...this.pods, ...pods];
    await this.#publish();
  }

  /** Tells a pod how to behave from now on. */
  async behave({ ip }: Pod, behaviour: Behaviour): Promise<void> {
    await fetch(`http://${ip}:${PORT}/behaviour`, { method: 'POST', body: JSON.stringify(behaviour) });
  }

  async behaveAll(behaviour: Behaviour): Promise<void> {
    await Promise.all(this.pods.map((pod) => this.behave(pod, behaviour)));
  }

  /** What each pod was asked, by its name; of those that were killed, as far as it was read before. */
  async seen(): Promise<ReadonlyMap<string, Seen>> {
    await Promise.all(this.pods.map((pod) => this.#readSeen(pod)));
    return this.#seen;
  }

  /**
   * As Kubernetes ends a pod (Pod lifecycle, "Termination of Pods"): at the same moment its deletion is noted and its
   * process gets SIGTERM; then its endpoint says that it terminates; when the process has ended, nothing is left of it.
   */
  async end(pod: Pod): Promise<void> {
    const { kubernetes } = this.#options;
    const path = `/api/v1/namespaces/${SHOP}/pods/${pod.name}`;
    const exited = once(pod.child, 'exit');
    pod.child.kill('SIGTERM');
    await kubernetes.remove(`${path}?gracePeriodSeconds=30`);
    await sleep(ENDPOINTS_LATER_MS);
    this.#leaving.add(pod);
    await this.#publish();
    await exited;
    await kubernetes.remove(`${path}?gracePeriodSeconds=0`);
    this.pods = this.pods.filter((other) => other !== pod);
    await this.#publish();
  }

  /** Ends the processes: the next case gets all of the machine. */
  stop(): void {
    for (const { child } of this.pods) child.kill('SIGKILL');
  }

  async #start(node: string): Promise<Pod> {
    this.#made += 1;
    const name = `${this.service}-${this.#made}`;
    const ip = this.#options.takeIp(node);
    const args = [APPLICATION, ip, String(PORT), name];
    const child = this.#options.processes.start(process.execPath, args, { cpu: BOTH_CPUS, ipc: true });
    await once(child, 'message');
    child.on('message', (seen: Seen) => this.#seen.set(name, seen));
    await this.#options.register(name, node, ip);
    return { name, node, ip, child };
  }

  async #readSeen({ name, ip }: Pod): Promise<void> {
    const answer = await fetch(`http://${ip}:${PORT}/seen`);
    this.#seen.set(name, (await answer.json()) as Seen);
  }

  async #publish(): Promise<void> {
    const endpoints = this.pods.map((pod) => {
      const leaving = this.#leaving.has(pod);
      return {
        addresses: [pod.ip],
        nodeName: pod.node,
        conditions: { ready: !leaving, serving: true, terminating: leaving },
        targetRef: { kind: 'Pod', namespace: SHOP, name: pod.name },
      };
    });
    await this.#options.kubernetes.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: SHOP, name: this.service, labels: { 'kubernetes.io/service-name': this.service } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: PORT, protocol: 'TCP' }],
      endpoints,
    });
  }
}
