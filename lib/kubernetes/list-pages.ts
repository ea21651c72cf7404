import { objectKey } from './object-cache.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from './types.ts';

export interface Listed<T> {
  readonly resourceVersion: string;
  readonly objects: ReadonlyMap<string, T>;
}

export interface ListRequest<T> {
  readonly api: KubernetesApi;
  /** The collection's path with its selectors, without `limit` and `continue`. */
  readonly path: (query: Readonly<Record<string, string>>) => string;
  readonly trim: (object: KubernetesObject) => T | undefined;
  readonly pageSize: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface ListPage {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly KubernetesObject[] | null;
}

/**
 * Lists a collection page by page; all pages are of one moment, whose resourceVersion is given with them. Objects are
 * trimmed as each page comes. Where a page has expired (410: the list took longer than the server keeps history), the list
 * begins anew and whole, as client-go's does. Throws KubernetesError.
 */
export async function listPages<T>(request: ListRequest<T>): Promise<Listed<T>> {
  try {
    return await listWithLimit(request, request.pageSize);
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 410)) throw error;
    return listWithLimit(request, 0);
  }
}

async function listWithLimit<T>(request: ListRequest<T>, limit: number): Promise<Listed<T>> {
  const { api, path, trim, timeoutMs, signal } = request;
  const objects = new Map<string, T>();
  const paging: Record<string, string> = limit === 0 ? {} : { limit: String(limit) };
  let token = '';
  for (;;) {
    const query = token === '' ? paging : { ...paging, continue: token };
    const answer = await api.request({ method: 'GET', path: path(query), timeoutMs, signal });
    const { metadata, items } = asPage(answer, request);
    for (const item of items ?? []) {
      const object = trim(item);
      if (object !== undefined) objects.set(objectKey(item), object);
    }
    token = metadata.continue ?? '';
    if (token === '') return { resourceVersion: metadata.resourceVersion, objects };
  }
}

/** Something between may answer 200 with anything; taken for an empty list, it would make everything known disappear. */
function asPage<T>(answer: unknown, { api, path }: ListRequest<T>): ListPage {
  const { metadata, items } = (answer ?? {}) as Partial<ListPage>;
  if (
    typeof metadata?.resourceVersion === 'string' &&
    metadata.resourceVersion !== '' &&
    (items === null || Array.isArray(items))
  ) {
    return { metadata, items };
  }
  throw new KubernetesError(
    200,
    'NotAList',
    `GET ${api.server}${path({})}: the answer is no list; is this an API server?`,
  );
}
