import { type PublishedGroups, trimEndpointSlice, trimEndpoints } from './endpoints.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from './types.ts';

/** Where a server's endpoints are read, and how; both kinds give the same. */
export interface EndpointsResource {
  readonly kind: 'EndpointSlice' | 'Endpoints';
  readonly path: string;
  readonly trim: (object: KubernetesObject) => PublishedGroups | undefined;
}

const SLICES_GROUP = '/apis/discovery.k8s.io/v1';

/**
 * Asks the server whether it has EndpointSlices of discovery.k8s.io/v1 (Kubernetes 1.21), and else settles for core/v1
 * Endpoints. Throws KubernetesError where the server does not answer the question, so that the caller asks again: taking
 * silence for an old server would read the truncated lists of Endpoints (1,000 addresses) for ever.
 */
export async function discoverEndpointsResource(api: KubernetesApi): Promise<EndpointsResource> {
  try {
    const { resources } = (await api.request({ method: 'GET', path: SLICES_GROUP })) as {
      resources?: readonly { readonly name: string }[];
    };
    if (resources?.some(({ name }) => name === 'endpointslices') === true) {
      return { kind: 'EndpointSlice', path: `${SLICES_GROUP}/endpointslices`, trim: trimEndpointSlice };
    }
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 404)) throw error;
  }
  return { kind: 'Endpoints', path: '/api/v1/endpoints', trim: trimEndpoints };
}
