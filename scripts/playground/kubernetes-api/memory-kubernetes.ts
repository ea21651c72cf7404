import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { stringify as stringifyYaml } from 'yaml';
import { type ApiAnswer, ApiRequests } from './api-requests.ts';
import { type BoundToken, writeToken } from './api-users.ts';
import { HttpApi } from './http-api.ts';
import { type ApiObject, ObjectStore, type WatchEvent } from './object-store.ts';
import { PodProxy } from './pod-proxy.ts';
import { collectionPath, parseResourcePath, type ResourceType, resourceTypes } from './resource-types.ts';
import { WatchSession } from './watch-session.ts';

export interface MemoryKubernetesOptions {
  readonly host?: string;
  readonly port?: number;
  /** false: a server older than discovery.k8s.io/v1. Default true. */
  readonly endpointSlices?: boolean;
  /** Whether the MeshPolicy definition has been applied. Default true. */
  readonly meshPolicies?: boolean;
  /** How often watches get a bookmark, ms. Default a minute, as an API server's. */
  readonly bookmarkMs?: number;
}

/** An object as a caller may write it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name?: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

const DEFAULT_BOOKMARK_MS = 60_000;
/** Longer than clients keep idle connections, so that none is closed under a request. */
const KEEP_ALIVE_MS = 120_000;
const FIRST_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

/**
 * A Kubernetes API server in memory, over real HTTP: objects, lists, watches, patches and admission webhooks, and on
 * demand its failures. It has no users beside ServiceAccounts, no controllers and no kubelets.
 */
export class MemoryKubernetes {
  readonly #types: readonly ResourceType[];
  readonly #store = new ObjectStore();
  readonly #requests: ApiRequests;
  readonly #http: HttpApi;
  #server: Server | undefined;
  #address: { readonly ip: string; readonly port: number } = { ip: '', port: 0 };

  private constructor(options: MemoryKubernetesOptions) {
    this.#types = resourceTypes(options);
    this.#requests = new ApiRequests(this.#store, this.#types);
    const proxy = new PodProxy(this.#store, this.#types, this.#requests.denied);
    this.#http = new HttpApi(this.#store, this.#requests, proxy, options.bookmarkMs ?? DEFAULT_BOOKMARK_MS);
  }

  /** Listens on `host` (default 127.0.0.1) and `port` (default any). Throws the system's error where it cannot. */
  static async start(options: MemoryKubernetesOptions = {}): Promise<MemoryKubernetes> {
    const kubernetes = new MemoryKubernetes(options);
    await kubernetes.#listen(options.host ?? '127.0.0.1', options.port ?? 0);
    for (const name of FIRST_NAMESPACES)
      await kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    return kubernetes;
  }

  get url(): string {
    const { ip, port } = this.#address;
    return `http://${ip.includes(':') ? `[${ip}]` : ip}:${port}`;
  }

  /** A kubeconfig file's text that leads here, as the administrator or as a pod with its ServiceAccount. */
  kubeconfig(pod?: BoundToken): string {
    const name = 'memory';
    return stringifyYaml({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [{ name, cluster: { server: this.url } }],
      users: [{ name, user: pod === undefined ? {} : { token: writeToken(pod) } }],
      contexts: [{ name, context: { cluster: name, user: name } }],
    });
  }

  /**
   * Creates an object, or replaces it where it is there; with a `status`, writes that too, as its controller would.
   * Gives it as stored. Throws Error with the API's own message.
   */
  async apply(object: Manifest): Promise<ApiObject> {
    const collection = collectionPath(object, this.#types);
    if (collection === undefined) throw new Error(`the API has no ${object.apiVersion} ${object.kind}`);
    const body = JSON.stringify(object);
    const created = await this.#requests.answer({ method: 'POST', url: collection, body });
    const path = `${collection}/${encodeURIComponent(object.metadata.name ?? '')}`;
    const exists = created.status === 409 && (created.body as { reason?: string }).reason === 'AlreadyExists';
    const stored = expectObject(exists ? await this.#requests.answer({ method: 'PUT', url: path, body }) : created);
    const hasStatus =
      parseResourcePath(collection, this.#types)?.type.hasStatus === true && object.status !== undefined;
    if (!hasStatus) return structuredClone(stored);
    const url = `${collection}/${stored.metadata.name}/status`;
    const status = JSON.stringify({ status: object.status });
    const contentType = 'application/merge-patch+json';
    return structuredClone(
      expectObject(await this.#requests.answer({ method: 'PATCH', url, contentType, body: status })),
    );
  }

  /** DELETE of a path, at once or as its query says. Throws Error with the API's own message. */
  async remove(path: string): Promise<void> {
    const { status, body } = await this.#requests.answer({ method: 'DELETE', url: path });
    if (status >= 400) throw new Error(messageOf(body));
  }

  /** The object of a path, or undefined. */
  get(path: string): ApiObject | undefined {
    const { type, namespace, name } = this.#parse(path);
    return name === undefined ? undefined : structuredClone(this.#store.get(type, namespace, name));
  }

  /** The objects of a collection's path. */
  list(path: string): ApiObject[] {
    const { type, namespace } = this.#parse(path);
    return structuredClone(this.#store.list(type, namespace));
  }

  /** Calls `listener` for what the collection holds and for each change, in the turn of the change. Gives the function that ends it. */
  watch(path: string, listener: (event: WatchEvent & { readonly object: ApiObject }) => void): () => void {
    const session = new WatchSession(this.#store, {
      path: this.#parse(path),
      matches: () => true,
      resourceVersion: undefined,
      send: ({ type, object }) => listener({ type, object: structuredClone(object) as ApiObject }),
    });
    session.start();
    return () => session.end();
  }

  /** What nobody may do from now on, as `verb plural`: such as `get secrets`. */
  get denied(): Set<string> {
    return this.#requests.denied;
  }

  /** Breaks the connection of every watch. */
  closeWatches(): void {
    this.#http.closeWatches();
  }

  /** The watches that are open now stay open and hear nothing more, not even bookmarks. */
  silenceWatches(): void {
    this.#http.silenceWatches();
  }

  /** Forgets history: every resourceVersion given out so far is too old, told by an ERROR event or by the HTTP status. */
  compact(toldBy: 'event' | 'status' = 'event'): void {
    this.#http.expiryToldBy = toldBy;
    this.#store.compact();
    this.#requests.dropSnapshots();
  }

  /** Stops listening and breaks every connection; the objects stay. */
  async goDown(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  }

  /** Listens again where it listened before. */
  async comeUp(): Promise<void> {
    if (this.#server === undefined) await this.#listen(this.#address.ip, this.#address.port);
  }

  async stop(): Promise<void> {
    await this.goDown();
  }

  async #listen(host: string, port: number): Promise<void> {
    const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      this.#http.serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    });
    server.listen(port, host);
    await once(server, 'listening');
    const { address, port: chosen } = server.address() as AddressInfo;
    this.#address = { ip: address, port: chosen };
    this.#server = server;
  }

  #parse(path: string) {
    const parsed = parseResourcePath(new URL(path, 'http://api').pathname, this.#types);
    if (parsed === undefined) throw new Error(`the API has no path ${path}`);
    return parsed;
  }
}

function expectObject({ status, body }: ApiAnswer): ApiObject {
  if (status >= 400) throw new Error(messageOf(body));
  return body as ApiObject;
}

function messageOf(body: object | string): string {
  return typeof body === 'string' ? body : ((body as { message?: string }).message ?? JSON.stringify(body));
}
