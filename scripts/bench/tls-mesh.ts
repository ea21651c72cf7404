import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { type CertificateSet, createAuthority, createServingCertificate } from '../../webhook/certificate-authority.ts';
import { NodeSigner } from '../../webhook/node-signer.ts';
import { MemoryKubernetes } from '../playground/kubernetes-api/memory-kubernetes.ts';
import { type CpuList, freePorts, PROXY_CPU, type Processes } from './processes.ts';

const MESH = 'nodemesh';
const SHOP = 'shop';
const ADDRESS = '127.0.0.1';
const POLL_MS = 50;
const READY_TIMEOUT_MS = 20_000;

export interface TlsMeshOptions {
  readonly processes: Processes;
  readonly dir: string;
  /** What a daemon starts from. */
  readonly main: string;
  /** Of the application, which is the one pod of Service `web` on the second node. */
  readonly webPort: number;
  readonly cpu?: CpuList;
  /** The signer's: how long a CA is told before it signs, and what its clock says, ms since 1970. */
  readonly overlapMs?: number;
  readonly signerClock?: () => number;
}

interface Daemon {
  readonly pid: number;
  readonly outgoing: number;
  readonly incoming: number;
  readonly admin: number;
}

/**
 * Two daemons as processes with `tls: required`, an API server in memory and the real signer. The load comes from a pod of
 * the first node, the application is a pod of the second; all addresses are 127.0.0.1.
 */
export class TlsMesh {
  readonly daemons: Daemon[] = [];
  readonly #kubernetes: MemoryKubernetes;
  readonly #options: TlsMeshOptions;
  #authority: CertificateSet | undefined;
  #signer: NodeSigner | undefined;

  private constructor(kubernetes: MemoryKubernetes, options: TlsMeshOptions) {
    this.#kubernetes = kubernetes;
    this.#options = options;
  }

  /** Starts all of it; settles when a request has got through. Rejects with what is not ready. */
  static async start(options: TlsMeshOptions): Promise<TlsMesh> {
    const mesh = new TlsMesh(await MemoryKubernetes.start(), options);
    mkdirSync(mesh.#dir, { recursive: true });
    for (const name of [MESH, SHOP]) await mesh.#apply('v1', 'Namespace', { name }, {});
    await mesh.#startSigner();
    await mesh.#service(MESH, 'nodemesh-daemon', 'incoming');
    await mesh.#service(SHOP, 'web', 'http');
    for (const node of ['node-1', 'node-2']) await mesh.#startDaemon(node);
    await mesh.#pod(SHOP, 'caller', 'node-1');
    await mesh.#pod(SHOP, 'web', 'node-2');
    await mesh.#slice(SHOP, 'web', 'http', [{ node: 'node-2', pod: 'web', port: options.webPort }]);
    const daemons = mesh.daemons.map(({ incoming }, i) => ({
      node: `node-${i + 1}`,
      pod: `daemon-node-${i + 1}`,
      port: incoming,
    }));
    await mesh.#slice(MESH, 'nodemesh-daemon', 'incoming', daemons);
    await mesh.#works();
    return mesh;
  }

  /** Where requests for `http://web/` go. */
  get port(): number {
    return this.daemons[0]?.outgoing ?? 0;
  }

  /** A daemon's metrics, as text. */
  async metrics(index: number): Promise<string> {
    return (await fetch(`http://${ADDRESS}:${this.daemons[index]?.admin}/metrics`)).text();
  }

  /** Another CA is to sign. */
  async rotateAuthority(): Promise<void> {
    this.#authority = await makeAuthority();
    this.#signer?.check();
  }

  async stop(): Promise<void> {
    await this.#signer?.stop();
    await this.#kubernetes.stop();
  }

  get #dir(): string {
    return join(this.#options.dir, 'tls-mesh');
  }

  async #startDaemon(node: string): Promise<void> {
    const { processes, main, cpu = PROXY_CPU } = this.#options;
    const [outgoing = 0, incoming = 0, admin = 0] = await freePorts(3);
    const config = join(this.#dir, `${node}.yaml`);
    writeFileSync(
      config,
      `admin: {port: ${admin}}
routers:
- {protocol: http, label: outgoing, tls: required, servers: [{port: ${outgoing}}],
   interpreter: {transformers: [{kind: io.l5d.k8s.daemonset, namespace: ${MESH}, service: nodemesh-daemon, port: incoming, fallback: fail}]}}
- {protocol: http, label: incoming, tls: required, servers: [{port: ${incoming}}],
   interpreter: {transformers: [{kind: io.l5d.k8s.localnode}]}}
`,
    );
    const pod = `daemon-${node}`;
    await this.#apply('v1', 'Node', { name: node }, {});
    const podUid = await this.#pod(MESH, pod, node);
    const kubeconfig = join(this.#dir, `${node}.kubeconfig`);
    const bound = { namespace: MESH, serviceAccount: 'nodemesh-daemon', pod, podUid };
    writeFileSync(kubeconfig, this.#kubernetes.kubeconfig(bound));
    const env = { NODE_NAME: node, NODE_IP: ADDRESS, POD_NAMESPACE: MESH, KUBECONFIG: kubeconfig };
    const child = processes.start(process.execPath, [main, config], { cpu, env });
    this.daemons.push({ pid: await processes.listening(child, incoming), outgoing, incoming, admin });
  }

  async #works(): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    let status: number | undefined;
    while (status !== 200) {
      if (performance.now() > deadline) throw new Error(`the daemons are not ready: a request is answered ${status}`);
      await sleep(POLL_MS);
      const asked = request({ host: ADDRESS, port: this.port, path: 'http://web/64', headers: { host: 'web' } });
      const [answer] = (await once(asked.end(), 'response')) as [IncomingMessage];
      answer.resume();
      status = answer.statusCode;
    }
  }

  async #apply(apiVersion: string, kind: string, metadata: object, content: object): Promise<string> {
    const stored = await this.#kubernetes.apply({ apiVersion, kind, metadata, ...content } as never);
    return stored.metadata.uid ?? '';
  }

  #service(namespace: string, name: string, port: string): Promise<string> {
    return this.#apply(
      'v1',
      'Service',
      { namespace, name },
      { spec: { clusterIP: 'None', ports: [{ name: port, port: 80 }] } },
    );
  }

  #pod(namespace: string, name: string, nodeName: string): Promise<string> {
    const daemon = namespace === MESH;
    const ready = {
      phase: 'Running',
      podIP: ADDRESS,
      podIPs: [{ ip: ADDRESS }],
      conditions: [{ type: 'Ready', status: 'True' }],
    };
    const spec = { nodeName, hostNetwork: daemon, containers: [{ name: 'app', image: 'app' }] };
    return this.#apply('v1', 'Pod', { namespace, name }, { spec, status: ready });
  }

  async #slice(
    namespace: string,
    service: string,
    portName: string,
    pods: readonly { node: string; pod: string; port: number }[],
  ): Promise<void> {
    for (const { node, pod, port } of pods) {
      const labels = { 'kubernetes.io/service-name': service };
      await this.#apply(
        'discovery.k8s.io/v1',
        'EndpointSlice',
        { namespace, name: `${service}-${node}`, labels },
        {
          addressType: 'IPv4',
          ports: [{ name: portName, port, protocol: 'TCP' }],
          endpoints: [
            {
              addresses: [ADDRESS],
              conditions: { ready: true },
              nodeName: node,
              targetRef: { kind: 'Pod', namespace, name: pod },
            },
          ],
        },
      );
    }
  }

  async #startSigner(): Promise<void> {
    const kubeconfig = join(this.#dir, 'signer.kubeconfig');
    writeFileSync(kubeconfig, this.#kubernetes.kubeconfig());
    const log = createLog('bench', 'silent');
    this.#authority = await makeAuthority();
    this.#signer = new NodeSigner({
      api: loadKubernetesApi({ env: { KUBECONFIG: kubeconfig }, log }),
      namespace: MESH,
      trustDomain: 'cluster.local',
      authority: () => this.#authority,
      metrics: new MetricsRegistry(),
      log,
      now: this.#options.signerClock ?? Date.now,
      overlapMs: this.#options.overlapMs,
      random: Math.random,
    });
    this.#signer.start();
  }
}

async function makeAuthority(): Promise<CertificateSet> {
  return createServingCertificate(await createAuthority(Date.now()), ['nodemesh-webhook'], Date.now());
}
