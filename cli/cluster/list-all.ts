import { listPages } from '../../lib/kubernetes/list-pages.ts';
import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';

const PAGE_SIZE = 500;
const PAGE_TIMEOUT_MS = 30_000;

/** Everything of a collection (its path, with selectors if any), page by page. Throws KubernetesError. */
export async function listAll<T>(
  api: KubernetesApi,
  path: string,
  trim: (object: KubernetesObject) => T | undefined,
): Promise<T[]> {
  const withQuery = (query: Readonly<Record<string, string>>) => {
    const text = new URLSearchParams(query).toString();
    return text === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${text}`;
  };
  const signal = new AbortController().signal;
  const { objects } = await listPages({
    api,
    path: withQuery,
    trim,
    pageSize: PAGE_SIZE,
    timeoutMs: PAGE_TIMEOUT_MS,
    signal,
  });
  return [...objects.values()];
}
