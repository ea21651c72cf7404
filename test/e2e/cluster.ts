import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { kubectl, type Pod, pods, rolledOut, run } from './kubectl.ts';
import { DEFAULT_IMAGE, type Settings } from './settings.ts';

export const MANIFESTS = fileURLToPath(new URL('../../manifests/', import.meta.url));
const HELLO_WORLD = `${MANIFESTS}examples/hello-world.yaml`;

const MESH = 'nodemesh';
const DAEMON = 'app.kubernetes.io/component=daemon';

/** One sample of the text format of Prometheus. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** nodemesh on the cluster of KUBECONFIG: installed, asked for its counters, taken away. */
export class Cluster {
  readonly settings: Settings;
  /** What is handed to `kubectl apply -k`. */
  readonly kustomization: string;

  constructor(settings: Settings) {
    this.settings = settings;
    this.kustomization = settings.overlay === undefined ? MANIFESTS : `${MANIFESTS}overlays/${settings.overlay}`;
  }

  /** Whether the daemon sees the callers' own addresses. */
  get seesCallers(): boolean {
    return this.settings.overlay !== 'host-port';
  }

  /** Brings the image to the nodes, applies the manifests and waits until both workloads are ready. */
  async install(): Promise<void> {
    const { image, loadCommand } = this.settings;
    if (loadCommand !== undefined) await run('env', [`NODEMESH_IMAGE=${image}`, 'sh', '-c', loadCommand]);
    await this.apply();
    await rolledOut(MESH, 'deployment/nodemesh-webhook');
    await rolledOut(MESH, 'daemonset/nodemesh-daemon');
  }

  /** Applies the manifests, with the image that is set, and gives what kubectl says of each object. */
  async apply(...options: readonly string[]): Promise<string> {
    if (this.settings.image === DEFAULT_IMAGE) return kubectl(['apply', '-k', this.kustomization, ...options]);
    const rendered = await kubectl(['kustomize', this.kustomization]);
    return kubectl(['apply', '-f', '-', ...options], this.#withImage(rendered));
  }

  /** Makes a namespace, with the label that asks for the mesh. */
  async createNamespace(name: string): Promise<void> {
    await kubectl(['create', 'namespace', name]);
    await kubectl(['label', 'namespace', name, 'mesh-inject=enabled']);
  }

  /** Applies the example as it stands and waits until all its pods are ready. */
  async startHelloWorld(namespace: string): Promise<void> {
    await this.applyTo(namespace, await readFile(HELLO_WORLD, 'utf8'));
    for (const workload of ['deployment/world', 'deployment/hello']) await rolledOut(namespace, workload);
  }

  /** Applies objects to a namespace, with the image that is set. */
  async applyTo(namespace: string, yaml: string): Promise<void> {
    await kubectl(['-n', namespace, 'apply', '-f', '-'], this.#withImage(yaml));
  }

  /**
   * Takes everything away that was made, and waits until it is gone. Pods go first: a namespace that has pods left when it
   * is deleted is looked at again only after their whole grace period.
   */
  async uninstall(namespaces: readonly string[]): Promise<void> {
    const emptied = [MESH, ...namespaces].map(async (namespace) => {
      await kubectl(['-n', namespace, 'delete', 'deployment,daemonset', '--all', '--cascade=foreground']);
      await kubectl(['-n', namespace, 'delete', 'pod', '--all']);
    });
    await Promise.all(emptied);
    await kubectl(['delete', 'namespace', '--ignore-not-found', '--wait', ...namespaces]);
    await kubectl(['delete', '--ignore-not-found', '--wait', '-k', this.kustomization]);
  }

  daemons(): Promise<Pod[]> {
    return pods(MESH, DAEMON);
  }

  /** What a daemon's admin port answers, through the API server, which reaches pods and nodes wherever the tests run. */
  async admin(daemon: Pod, path: string): Promise<string> {
    return kubectl(['get', '--raw', `/api/v1/namespaces/${MESH}/pods/${daemon.name}:9990/proxy${path}`]);
  }

  /** The sum of each node's samples of a counter that carry all of `labels`, by node. */
  async count(name: string, labels: Readonly<Record<string, string>>): Promise<Map<string, number>> {
    const counted = (await this.daemons()).map(async (daemon): Promise<[string, number]> => {
      const samples = parseMetrics(await this.admin(daemon, '/metrics'));
      const wanted = samples.filter(
        (sample) =>
          sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      );
      return [daemon.node, wanted.reduce((sum, sample) => sum + sample.value, 0)];
    });
    return new Map(await Promise.all(counted));
  }

  #withImage(yaml: string): string {
    return yaml.replaceAll(`image: ${DEFAULT_IMAGE}`, `image: ${this.settings.image}`);
  }
}

/** Reads the text format of Prometheus; comments are left out. */
export function parseMetrics(text: string): Sample[] {
  return text
    .split('\n')
    .map((line) => /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line))
    .filter((match) => match !== null)
    .map(([, name = '', labels = '', value]) => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', label = '']) => [key, label]),
      ),
      value: Number(value),
    }));
}

/** The differences of two counts, node by node. */
export function increase(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Map<string, number> {
  return new Map([...after].map(([node, count]) => [node, count - (before.get(node) ?? 0)]));
}
