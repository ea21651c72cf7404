import { objectKey } from './object-cache.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from './types.ts';

export interface Listed<T> {
  readonly resourceVersion: string;
  readonly objects: ReadonlyMap<string, T>;
}

export interface ListPagesRequest<T> {
  readonly api: KubernetesApi;
  /** The collection's path with its selectors, without `limit` and `continue`. */
  readonly path: (query: Readonly<Record<string, string>>) => string;
  /** What is kept of an object, by its key; undefined for objects that are of no interest. */
  readonly trim: (object: KubernetesObject, key: string) => T | undefined;
  readonly pageSize: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Lists a collection page by page; all pages are of one moment, whose resourceVersion is given with them. Objects are
 * trimmed one by one as they come. Where a page has expired (410: the list took longer than the server keeps history), the list
 * begins anew and whole, as client-go's does. Throws KubernetesError, and nothing is given then.
 */
export async function listPages<T>(request: ListPagesRequest<T>): Promise<Listed<T>> {
  try {
    return await listWithLimit(request, request.pageSize);
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 410)) throw error;
    return listWithLimit(request, 0);
  }
}

async function listWithLimit<T>(request: ListPagesRequest<T>, limit: number): Promise<Listed<T>> {
  const { api, path, trim, timeoutMs, signal } = request;
  const objects = new Map<string, T>();
  const paging: Record<string, string> = limit === 0 ? {} : { limit: String(limit) };
  let token = '';
  for (;;) {
    const query = token === '' ? paging : { ...paging, continue: token };
    const page = await api.list({ path: path(query), timeoutMs, signal }, (item) => {
      const key = objectKey(item);
      const object = trim(item, key);
      if (object !== undefined) objects.set(key, object);
    });
    token = page.continue;
    if (token === '') return { resourceVersion: page.resourceVersion, objects };
  }
}
