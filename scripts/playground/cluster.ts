import type { AnyObject } from './objects.ts';

/** The cluster as the playground's controllers and kubelets see it: reads from memory, writes over the API's own HTTP. */
export interface Cluster {
  /** Where the API server listens, e.g. `http://127.77.0.1:6443`. */
  readonly url: string;
  list<T extends AnyObject>(path: string): T[];
  get<T extends AnyObject>(path: string): T | undefined;
  /** POSTs; throws an Error with the API's message where it refuses. */
  create(collection: string, object: object): Promise<void>;
  /** JSON merge patch (RFC 7386). An object that is gone is no error: it needs no patch. */
  patch(path: string, patch: object): Promise<void>;
  /** An object that is gone already is no error. */
  remove(path: string, query?: string): Promise<void>;
  /** Calls `listener` after each change of the collection. */
  watch(path: string, listener: () => void): void;
}

export const PATHS = {
  pods: '/api/v1/pods',
  services: '/api/v1/services',
  nodes: '/api/v1/nodes',
  namespaces: '/api/v1/namespaces',
  endpoints: '/api/v1/endpoints',
  endpointSlices: '/apis/discovery.k8s.io/v1/endpointslices',
  deployments: '/apis/apps/v1/deployments',
  daemonSets: '/apis/apps/v1/daemonsets',
} as const;

/** A namespaced collection's path, or that of one object in it: `/api/v1/pods` → `/api/v1/namespaces/shop/pods/world-1`. */
export function inNamespace(collection: string, namespace: string | undefined, name?: string): string {
  const slash = collection.lastIndexOf('/');
  const path = `${collection.slice(0, slash)}/namespaces/${namespace ?? 'default'}${collection.slice(slash)}`;
  return name === undefined ? path : `${path}/${name}`;
}

/** One call to the API server over HTTP. Throws an Error with method, path, status and the API's message, unless `tolerated`. */
export async function callApi(
  url: string,
  method: string,
  path: string,
  options: { readonly body?: object; readonly contentType?: string; readonly tolerated?: readonly number[] } = {},
): Promise<void> {
  const { body, contentType = 'application/json', tolerated = [] } = options;
  const answer = await fetch(`${url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': contentType } }),
  });
  const text = await answer.text();
  if (answer.ok || tolerated.includes(answer.status)) return;
  throw new Error(`${method} ${path}: ${answer.status} ${messageOf(text)}`);
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text;
  }
}
