import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { type Addresses, LABELS, NAMESPACES, PODS, PORTS, type PodName } from '../support/policy-cases.ts';
import type { Cluster } from './cluster.ts';
import { eventually, kubectl } from './kubectl.ts';

/** What a namespace of the cases is called on the cluster. */
export function namespaceOf(name: string): string {
  return `policy-${name}`;
}

export const POLICY_NAMESPACES = Object.keys(NAMESPACES).map(namespaceOf);

/** A request, and what came of it. */
export interface Asked {
  readonly source: PodName;
  readonly destination: PodName;
  readonly method: string;
  readonly url: string;
}
export type Answered = readonly [status: number, text: string];

/** The pods of the policy cases, spread over the cluster's nodes, each behind a Service of its own name. */
export class PolicyPods {
  readonly ips: Addresses;
  readonly #clients: ReadonlyMap<PodName, Client>;

  private constructor(ips: Addresses, clients: ReadonlyMap<PodName, Client>) {
    this.ips = ips;
    this.#clients = clients;
  }

  /** Makes the namespaces and pods, and settles when all are ready. */
  static async start(cluster: Cluster): Promise<PolicyPods> {
    for (const [name, labels] of Object.entries(NAMESPACES)) {
      await cluster.createNamespace(namespaceOf(name));
      const pairs = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
      if (pairs.length > 0) await kubectl(['label', 'namespace', namespaceOf(name), ...pairs]);
      // No pod is taken before its account is there.
      await eventually(`${namespaceOf(name)} has its ServiceAccount`, 30_000, () =>
        kubectl(['-n', namespaceOf(name), 'get', 'serviceaccount', 'default', '-o', 'name']),
      );
    }
    const nodes = (await cluster.daemons()).map(({ node }) => node);
    const source = await readFile(new URL('policy-pod.ts', import.meta.url), 'utf8');
    const items = PODS.flatMap((pod, i) => objects(pod, nodes[i % nodes.length] ?? '', cluster.settings.image, source));
    await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
    const client = await readFile(new URL('policy-client.ts', import.meta.url), 'utf8');
    const ips: Partial<Record<PodName, string>> = {};
    const clients = new Map<PodName, Client>();
    for (const pod of PODS) {
      const { namespace, name } = placeOf(pod);
      await kubectl(['-n', namespace, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=120s']);
      ips[pod] = await kubectl(['-n', namespace, 'get', 'pod', name, '-o', 'jsonpath={.status.podIP}']);
      clients.set(pod, new Client(namespace, name, client));
    }
    return new PolicyPods(ips as Addresses, clients);
  }

  /** Sends requests, all at once, and gives their answers in the same order. */
  async ask(requests: readonly Asked[]): Promise<Answered[]> {
    const answers: Answered[] = [];
    const asked = [...this.#clients].map(async ([pod, client]) => {
      const own = requests.flatMap(({ source, method, url }, i) =>
        source === pod ? [{ i, request: [method, url] }] : [],
      );
      if (own.length === 0) return;
      const got = await client.ask(own.map(({ request }) => request));
      for (const [j, { i }] of own.entries()) answers[i] = got[j] ?? [0, 'no answer'];
    });
    await Promise.all(asked);
    return answers;
  }

  stop(): void {
    for (const client of this.#clients.values()) client.stop();
  }
}

/** Where a pod of the cases is on the cluster. */
export function placeOf(pod: PodName): { readonly namespace: string; readonly name: string } {
  const [namespace = '', name = ''] = pod.split('/');
  return { namespace: namespaceOf(namespace), name };
}

function objects(pod: PodName, nodeName: string, image: string, source: string): object[] {
  const { namespace, name } = placeOf(pod);
  const ports = Object.entries(PORTS);
  const container = {
    name: 'app',
    image,
    command: ['node', '--input-type=module-typescript', '-e', source, ...ports.map(([, port]) => String(port))],
    env: [{ name: 'POD_KEY', value: pod }],
    ports: ports.map(([name, containerPort]) => ({ name, containerPort })),
    readinessProbe: { httpGet: { path: '/', port: 'alt' }, periodSeconds: 1 },
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace, name, labels: LABELS[pod] },
      spec: { nodeName, terminationGracePeriodSeconds: 1, containers: [container] },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace, name },
      spec: {
        clusterIP: 'None',
        selector: { app: LABELS[pod].app },
        ports: ports.map(([name, port]) => ({ name, port })),
      },
    },
  ];
}

/** A process in a pod that asks what it is told to: one for the whole suite, since each `kubectl exec` costs a second. */
class Client {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #answers: Interface;
  readonly #pod: string;

  constructor(namespace: string, pod: string, source: string) {
    this.#pod = `${namespace}/${pod}`;
    const command = ['node', '--input-type=module-typescript', '-e', source];
    this.#child = spawn('kubectl', ['-n', namespace, 'exec', '-i', pod, '--', ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdin.on('error', () => {}); // its end says more
    this.#answers = createInterface(this.#child.stdout);
  }

  ask(requests: readonly (readonly string[])[]): Promise<Answered[]> {
    return new Promise((resolve, reject) => {
      const onClose = () => reject(new Error(`the process in ${this.#pod} has ended`));
      this.#answers.once('close', onClose);
      this.#answers.once('line', (line) => {
        this.#answers.off('close', onClose);
        resolve(JSON.parse(line));
      });
      this.#child.stdin.write(`${JSON.stringify(requests)}\n`);
    });
  }

  stop(): void {
    this.#child.kill();
  }
}
