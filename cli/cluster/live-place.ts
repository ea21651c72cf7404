import { type KubernetesApi, KubernetesError } from '../../lib/kubernetes/types.ts';
import { CONFIGURATION_NAME, CONFIGURATIONS_PATH } from '../../webhook/ca-bundle.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { labelEnables } from '../../webhook/mutation.ts';
import type { PodPlace } from '../decision.ts';
import { entriesOf, type Labels, type WebhookEntry } from '../entries.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { getObject } from './connection.ts';
import { readLiveSettings } from './live-settings.ts';

/** All that decides about a pod of a namespace, apart from the pod, as it is in a cluster now. */
export interface LivePlace {
  readonly place: PodPlace;
  readonly namespaceLabels: Labels;
  readonly settings: InjectionSettings;
  readonly addressKnown: boolean;
  /** None where they cannot be read, as where the mesh is not installed. */
  readonly entries: readonly WebhookEntry[];
  /** The address of the Kubernetes API in pods. */
  readonly serviceHost: string | undefined;
}

/** Reads it from a cluster. Throws KubernetesError, and ConfigError for a config that the webhook would refuse too. */
export async function readLivePlace(api: KubernetesApi, namespace: string): Promise<LivePlace> {
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
  const namespaceLabels = (await getObject(api, path))?.metadata.labels ?? {};
  const { settings, addressKnown } = await readLiveSettings(api);
  const place = { namespace, namespaceEnabled: labelEnables(namespaceLabels), ownNamespace: MESH_NAMESPACE };
  const entries = await readEntries(api);
  return { place, namespaceLabels, settings, addressKnown, entries, serviceHost: await readServiceHost(api) };
}

async function readEntries(api: KubernetesApi): Promise<readonly WebhookEntry[]> {
  try {
    return entriesOf(await getObject(api, `${CONFIGURATIONS_PATH}/${CONFIGURATION_NAME}`));
  } catch (error) {
    if (error instanceof KubernetesError && error.status === 403) return [];
    throw error;
  }
}

async function readServiceHost(api: KubernetesApi): Promise<string | undefined> {
  const service = await getObject(api, '/api/v1/namespaces/default/services/kubernetes').catch(() => undefined);
  return (service as { spec?: { clusterIP?: string } } | undefined)?.spec?.clusterIP;
}
