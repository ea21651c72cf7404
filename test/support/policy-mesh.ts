import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { metricValue } from './daemon.ts';
import { TestMesh, until } from './mesh.ts';
import { type Addresses, LABELS, NAMESPACES, PODS, PORTS, type PodName, type PolicyObject } from './policy-cases.ts';
import { ask, type RawAnswer } from './raw-http.ts';

const POLICIES = '/apis/networking.k8s.io/v1';
/** Both nodes have pods of both kinds of neighbours. */
const PLACES: Readonly<Record<PodName, 'node-1' | 'node-2'>> = {
  'x/a': 'node-1',
  'x/b': 'node-2',
  'y/a': 'node-2',
  'y/b': 'node-1',
  'z/a': 'node-2',
};

/** The pods of the policy cases on two nodes, each behind a Service of its own name, with a real daemon on each node. */
export class PolicyMesh {
  readonly mesh: TestMesh;
  readonly ips: Addresses;
  /** What applications were asked, in its order. */
  readonly asked: IncomingMessage[] = [];
  readonly #net: string;
  readonly #servers: Server[] = [];
  readonly #applied = new Set<string>();

  private constructor(mesh: TestMesh, net: string, ips: Addresses) {
    this.mesh = mesh;
    this.#net = net;
    this.ips = ips;
  }

  /** `net`: the first two bytes of all addresses, one a mesh. `options` as TestMesh takes them. */
  static async start(net: string, options: Parameters<typeof TestMesh.start>[2] = {}): Promise<PolicyMesh> {
    const nodes = { 'node-1': `${net}.1.1`, 'node-2': `${net}.2.1` };
    const mesh = await TestMesh.start(nodes, true, { tls: 'required', routerKeys: ['policy: enforce'], ...options });
    const ip = (pod: PodName, i: number) => `${net}.${PLACES[pod] === 'node-1' ? 1 : 2}.${10 + i}`;
    const started = new PolicyMesh(mesh, net, Object.fromEntries(PODS.map((pod, i) => [pod, ip(pod, i)])) as Addresses);
    for (const [name, labels] of Object.entries(NAMESPACES)) await started.labelNamespace(name, labels);
    for (const pod of PODS) await started.#startPod(pod);
    for (const source of PODS) {
      for (const destination of PODS) await started.becomes(source, destination, (status) => status === 200);
    }
    return started;
  }

  /** Sends a GET through the proxy of a pod's node, as that pod. `fields`: further lines of the head. */
  ask(source: PodName, destination: PodName, port: number = PORTS.http, fields = ''): Promise<RawAnswer> {
    const [namespace, name] = destination.split('/');
    return this.askAs(
      this.ips[source],
      PLACES[source],
      `GET http://${name}.${namespace}:${port}/ HTTP/1.1\r\nHost: x${fields}`,
    );
  }

  /** Sends a request from any address to a node's outgoing router, or to its incoming one in plaintext. */
  askAs(from: string, node: 'node-1' | 'node-2', request: string, router = 'outgoing'): Promise<RawAnswer> {
    const host = `${this.#net}.${node === 'node-1' ? 1 : 2}.1`;
    return ask({ host, port: this.mesh.daemon(node).port(router), localAddress: from }, request);
  }

  /** Asks until the answer's status is as wanted: for what daemons learn by a watch. */
  becomes(
    source: PodName,
    destination: PodName,
    accept: (status: number) => boolean,
    port?: number,
  ): Promise<RawAnswer> {
    return until(
      () => this.ask(source, destination, port),
      ({ status }) => accept(status),
    );
  }

  async applyPolicy({ namespace, name, spec }: PolicyObject): Promise<void> {
    const metadata = { namespace, name };
    await this.mesh.kubernetes.apply({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec });
    this.#applied.add(`${POLICIES}/namespaces/${namespace}/networkpolicies/${name}`);
  }

  async removePolicies(): Promise<void> {
    for (const path of this.#applied) await this.mesh.kubernetes.remove(path);
    this.#applied.clear();
  }

  /** Sets a pod's labels. */
  async relabel(pod: PodName, labels: Readonly<Record<string, string>>): Promise<void> {
    const [namespace = '', name = ''] = pod.split('/');
    const [ip, nodeName] = [this.ips[pod], PLACES[pod]];
    const ports = Object.entries(PORTS).map(([name, containerPort]) => ({ name, containerPort }));
    const containers = [{ name: 'app', image: 'app', ports }];
    await this.mesh.kubernetes.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, labels },
      spec: { nodeName, serviceAccountName: `${name}-account`, containers },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
    });
  }

  async labelNamespace(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await this.mesh.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
  }

  /** Runs something while a node's daemon is not among the ready ones. */
  async withoutDaemon(node: 'node-1' | 'node-2', run: () => Promise<void>): Promise<void> {
    const daemons = (['node-1', 'node-2'] as const).map((name) => ({
      namespace: 'nodemesh',
      name: `daemon-${name}`,
      ip: `${this.#net}.${name === 'node-1' ? 1 : 2}.1`,
      node: name,
      port: this.mesh.daemon(name).port('incoming'),
    }));
    const publish = (ready: typeof daemons) => this.mesh.endpoints('nodemesh', 'nodemesh-daemon', ready, 'incoming');
    await publish(daemons.filter((daemon) => daemon.node !== node));
    const direct = async () => metricValue(await this.mesh.daemon('node-1').metrics(), 'direct_request_total');
    await until(
      async () => {
        await this.ask('x/a', 'y/a');
        return direct();
      },
      (count) => count > 0,
    );
    await run();
    await publish(daemons);
  }

  async #startPod(pod: PodName): Promise<void> {
    const { kubernetes } = this.mesh;
    const [namespace = '', name = ''] = pod.split('/');
    const [ip, nodeName] = [this.ips[pod], PLACES[pod]];
    for (const containerPort of Object.values(PORTS)) {
      const server = createServer((request, response) => {
        this.asked.push(request);
        response.end(pod);
      });
      server.listen(containerPort, ip);
      await once(server, 'listening');
      this.#servers.push(server);
    }
    await this.relabel(pod, LABELS[pod]);
    const servicePorts = Object.entries(PORTS).map(([name, port]) => ({ name, port }));
    await this.mesh.service(namespace, name, servicePorts);
    await kubernetes.apply({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { namespace, name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: servicePorts.map((port) => ({ ...port, protocol: 'TCP' })),
      endpoints: [
        { addresses: [ip], conditions: { ready: true }, nodeName, targetRef: { kind: 'Pod', namespace, name } },
      ],
    });
  }

  async stop(): Promise<void> {
    await this.mesh.stop();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}
