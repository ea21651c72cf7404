import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubernetesApi } from '../../../lib/kubernetes/client.ts';
import { createLog } from '../../../lib/log.ts';
import { MetricsRegistry } from '../../../lib/metrics.ts';
import {
  type CertificateSet,
  createAuthority,
  createServingCertificate,
} from '../../../webhook/certificate-authority.ts';
import { NodeSigner } from '../../../webhook/node-signer.ts';
import type { BoundToken } from '../../playground/kubernetes-api/api-users.ts';
import { MemoryKubernetes } from '../../playground/kubernetes-api/memory-kubernetes.ts';
import { BOTH_CPUS, type Processes } from '../processes.ts';
import { type LoadOrder, type Outcome, sendOpenLoop } from './open-loop.ts';
import { PodSet } from './pod-set.ts';

const [OUTGOING, INCOMING, ADMIN] = [4140, 4141, 9990];
const MESH = 'nodemesh';
const SHOP = 'shop';
const READY_TIMEOUT_MS = 15_000;
const POLL_MS = 20;

export interface FailureMeshOptions {
  readonly processes: Processes;
  /** For config files. */
  readonly dir: string;
  /** What a daemon starts from. */
  readonly main: string;
  /** The first two bytes of all addresses, such as `127.87`: one a mesh. */
  readonly net: string;
  readonly nodes: readonly string[];
  /** Between the daemons. */
  readonly tls: 'off' | 'required';
  /** Further keys of the outgoing routers, in YAML's flow style. */
  readonly routerKeys: string;
}

/** Daemons as processes on loopback addresses, one a node, with an API server in memory. */
export class FailureMesh {
  readonly kubernetes: MemoryKubernetes;
  readonly #options: FailureMeshOptions;
  readonly #daemons = new Map<string, ChildProcess>();
  readonly #pods = new Map<string, number>();
  #signer: NodeSigner | undefined;

  private constructor(kubernetes: MemoryKubernetes, options: FailureMeshOptions) {
    this.kubernetes = kubernetes;
    this.#options = options;
  }

  /** Starts all of it, and waits until the daemons are ready and know each other. Rejects with what is not ready. */
  static async start(options: FailureMeshOptions): Promise<FailureMesh> {
    const mesh = new FailureMesh(await MemoryKubernetes.start({ host: `${options.net}.0.1` }), options);
    mkdirSync(mesh.#dir, { recursive: true });
    for (const name of [MESH, SHOP])
      await mesh.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    for (const name of options.nodes)
      await mesh.kubernetes.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
    await mesh.#service(MESH, 'nodemesh-daemon', 'incoming');
    if (options.tls !== 'off') await mesh.#startSigner();
    await mesh.showDaemons(options.nodes);
    for (const node of options.nodes) await mesh.#pod(SHOP, `caller-${node}`, node, mesh.#callerIp(node));
    await Promise.all(options.nodes.map((node) => mesh.startDaemon(node)));
    return mesh;
  }

  /** Starts the daemon of a node, and waits until it is ready. */
  async startDaemon(node: string): Promise<void> {
    const { processes, main, tls, routerKeys } = this.#options;
    const ip = this.nodeIp(node);
    const config = join(this.#dir, `${node}.yaml`);
    writeFileSync(
      config,
      `admin: {ip: node, port: ${ADMIN}, shutdownGraceMs: 500}
routers:
- {protocol: http, label: outgoing, tls: ${tls}, servers: [{port: ${OUTGOING}, ip: node}], ${routerKeys},
   interpreter: {kind: default, transformers: [{kind: io.l5d.k8s.daemonset, namespace: ${MESH}, service: nodemesh-daemon, port: incoming}]}}
- {protocol: http, label: incoming, tls: ${tls}, servers: [{port: ${INCOMING}, ip: node}],
   interpreter: {kind: default, transformers: [{kind: io.l5d.k8s.localnode}]}}
`,
    );
    const kubeconfig = join(this.#dir, `${node}.kubeconfig`);
    writeFileSync(kubeconfig, this.kubernetes.kubeconfig(await this.#daemonPod(node)));
    const env = { NODE_NAME: node, NODE_IP: ip, POD_NAMESPACE: MESH, KUBECONFIG: kubeconfig };
    const daemon = processes.start(process.execPath, [main, config], { cpu: BOTH_CPUS, env });
    this.#daemons.set(node, daemon);
    await this.#ready(ip, daemon);
  }

  /** As if the kernel ended it: no connection is closed in order. */
  killDaemon(node: string): void {
    this.#daemons.get(node)?.kill('SIGKILL');
  }

  /** Publishes which nodes' daemons are ready. */
  async showDaemons(nodes: readonly string[]): Promise<void> {
    const endpoints = nodes.map((node) => ({
      addresses: [this.nodeIp(node)],
      nodeName: node,
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace: MESH, name: `daemon-${node}` },
    }));
    await this.kubernetes.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace: MESH, name: 'daemons', labels: { 'kubernetes.io/service-name': 'nodemesh-daemon' } },
      addressType: 'IPv4',
      ports: [{ name: 'incoming', port: INCOMING, protocol: 'TCP' }],
      endpoints,
    });
  }

  /** A Service with a pod on each of `nodes`, a node as often as it is named; all of them answer when this resolves. */
  async pods(service: string, nodes: readonly string[]): Promise<PodSet> {
    await this.#service(SHOP, service, 'http');
    const set = new PodSet(service, {
      kubernetes: this.kubernetes,
      processes: this.#options.processes,
      takeIp: (node) => this.#takeIp(node),
      register: (name, node, ip) => this.#pod(SHOP, name, node, ip),
    });
    await set.add(nodes);
    await this.#reachable(service);
    return set;
  }

  /** Sends requests to a Service as a pod of `node`. */
  load(node: string, service: string, order: Omit<LoadOrder, 'to'>): Promise<Outcome[]> {
    const to = this.#way(node, service);
    return sendOpenLoop({ ...order, to: () => to });
  }

  async stop(): Promise<void> {
    await this.#signer?.stop();
    await this.kubernetes.stop();
  }

  nodeIp(node: string): string {
    return `${this.#options.net}.${this.#numberOf(node)}.1`;
  }

  get #dir(): string {
    return join(this.#options.dir, `mesh-${this.#options.net}`);
  }

  #numberOf(node: string): number {
    return this.#options.nodes.indexOf(node) + 1;
  }

  #callerIp(node: string): string {
    return `${this.#options.net}.${this.#numberOf(node)}.2`;
  }

  #takeIp(node: string): string {
    const taken = this.#pods.get(node) ?? 0;
    this.#pods.set(node, taken + 1);
    return `${this.#options.net}.${this.#numberOf(node)}.${10 + taken}`;
  }

  #way(node: string, service: string) {
    const path = `http://${service}.${SHOP}/`;
    return { host: this.nodeIp(node), port: OUTGOING, localAddress: this.#callerIp(node), path };
  }

  /** From every node: each daemon learns of it by itself. */
  async #reachable(service: string): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    for (const node of this.#options.nodes) {
      for (;;) {
        const [answer] = await this.load(node, service, { perSecond: 1_000, seconds: 0.001, methods: ['GET'] });
        if (answer?.status === 200) break;
        if (performance.now() > deadline) throw new Error(`${service} cannot be reached from ${node}: ${answer?.why}`);
        await sleep(POLL_MS);
      }
    }
  }

  async #ready(ip: string, daemon: ChildProcess): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    let last = '';
    while (daemon.exitCode === null && performance.now() < deadline) {
      try {
        const answer = await fetch(`http://${ip}:${ADMIN}/readyz`);
        last = await answer.text();
        if (answer.ok) return;
      } catch (error) {
        last = String(error);
      }
      await sleep(POLL_MS);
    }
    throw new Error(`the daemon at ${ip} is not ready: ${last}`);
  }

  async #service(namespace: string, name: string, port: string): Promise<void> {
    const spec = { clusterIP: 'None', ports: [{ name: port, port: 80 }] };
    await this.kubernetes.apply({ apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec });
  }

  async #pod(namespace: string, name: string, nodeName: string, podIP: string): Promise<void> {
    await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name },
      spec: { nodeName, containers: [{ name: 'app', image: 'app' }] },
      status: {
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    });
  }

  /** The daemon's pod, as its token names it. */
  async #daemonPod(nodeName: string): Promise<BoundToken> {
    const [namespace, serviceAccount, pod] = [MESH, 'nodemesh-daemon', `daemon-${nodeName}`];
    const { metadata } = await this.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name: pod },
      spec: { nodeName, serviceAccountName: serviceAccount, containers: [{ name: 'daemon', image: 'daemon' }] },
    });
    return { namespace, serviceAccount, pod, podUid: metadata.uid ?? '' };
  }

  async #startSigner(): Promise<void> {
    const kubeconfig = join(this.#dir, 'signer.kubeconfig');
    writeFileSync(kubeconfig, this.kubernetes.kubeconfig());
    const log = createLog('bench', 'silent');
    const authority: CertificateSet = await createServingCertificate(
      await createAuthority(Date.now()),
      ['nodemesh-webhook'],
      Date.now(),
    );
    this.#signer = new NodeSigner({
      api: loadKubernetesApi({ env: { KUBECONFIG: kubeconfig }, log }),
      namespace: MESH,
      trustDomain: 'cluster.local',
      authority: () => authority,
      metrics: new MetricsRegistry(),
      log,
      now: Date.now,
      random: Math.random,
    });
    this.#signer.start();
  }
}

/** Settles when a process has ended. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}
