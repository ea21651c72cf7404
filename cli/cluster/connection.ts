import { type HttpKubernetesApi, loadKubernetesApi } from '../../lib/kubernetes/client.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { CommandError, type Host, messageOf } from '../host.ts';

/** The API server that KUBECONFIG, ~/.kube/config or a pod's service account leads to. Throws CommandError without one. */
export function connect({ env }: Host): HttpKubernetesApi {
  try {
    return loadKubernetesApi({ env, log: createLog('nodemesh', 'silent') });
  } catch (error) {
    throw new CommandError(messageOf(error));
  }
}

/** An object by its path, or undefined where it does not exist. Throws KubernetesError for any other answer. */
export async function getObject(api: KubernetesApi, path: string): Promise<KubernetesObject | undefined> {
  try {
    return (await api.request({ method: 'GET', path })) as KubernetesObject;
  } catch (error) {
    if (error instanceof KubernetesError && error.status === 404) return undefined;
    throw error;
  }
}
