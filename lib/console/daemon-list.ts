import { discoverEndpointsResource, type EndpointsResource } from '../kubernetes/discovery.ts';
import type { PublishedGroups } from '../kubernetes/endpoints.ts';
import type { KubernetesApi } from '../kubernetes/types.ts';

const SERVICE = 'nodemesh-daemon';
const PORT = 'admin';
/** Daemons come and go with nodes. */
const FRESH_MS = 5_000;
const LIST_TIMEOUT_MS = 5_000;

export interface DaemonAddress {
  readonly node: string;
  readonly ip: string;
  readonly port: number;
}

/**
 * Where the daemons' admin ports are: the endpoints of Service nodemesh-daemon, ready or not, listed when somebody asks. That takes
 * less of the cluster's rights than pods would: `list` of endpointslices (endpoints, before Kubernetes 1.21) in one namespace.
 */
export class DaemonList {
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #now: () => number;
  #resource: EndpointsResource | undefined;
  #known: readonly DaemonAddress[] = [];
  #listing: Promise<void> | undefined;
  #listedAt = Number.NEGATIVE_INFINITY;
  #failure: string | undefined;

  /** `now`: monotonic, ms. */
  constructor(api: KubernetesApi, namespace: string, now: () => number) {
    this.#api = api;
    this.#namespace = namespace;
    this.#now = now;
  }

  /** Why the list may be old; undefined where it is not. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** By node name. Never rejects: what was last known stays. */
  async get(): Promise<readonly DaemonAddress[]> {
    if (this.#now() - this.#listedAt >= FRESH_MS) {
      this.#listing ??= this.#list().finally(() => {
        this.#listing = undefined;
        this.#listedAt = this.#now();
      });
    }
    await this.#listing;
    return this.#known;
  }

  async #list(): Promise<void> {
    const published: PublishedGroups[] = [];
    try {
      this.#resource ??= await discoverEndpointsResource(this.#api);
      const { kind, path, trim } = this.#resource;
      const collection = path.replace(/\/([^/]+)$/, `/namespaces/${this.#namespace}/$1`);
      const query =
        kind === 'EndpointSlice'
          ? `labelSelector=kubernetes.io%2Fservice-name%3D${SERVICE}`
          : `fieldSelector=metadata.name%3D${SERVICE}`;
      await this.#api.list(
        { path: `${collection}?${query}`, timeoutMs: LIST_TIMEOUT_MS, signal: AbortSignal.timeout(LIST_TIMEOUT_MS) },
        (object) => {
          const groups = trim(object);
          if (groups?.service === SERVICE) published.push(groups);
        },
      );
      this.#known = addressesOf(published);
      this.#failure = undefined;
    } catch (error) {
      this.#failure = `The daemons cannot be looked for: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** One a node. */
function addressesOf(published: readonly PublishedGroups[]): DaemonAddress[] {
  const byNode = new Map<string, DaemonAddress>();
  for (const { ports, addresses } of published.flatMap(({ groups }) => groups)) {
    const port = ports.find(({ name }) => name === PORT)?.port;
    if (port === undefined) continue;
    for (const { ip, nodeName } of addresses) {
      const node = nodeName ?? ip;
      if (!byNode.has(node)) byNode.set(node, { node, ip, port });
    }
  }
  return [...byNode.values()].sort((a, b) => (a.node < b.node ? -1 : 1));
}
