import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../../lib/kubernetes/types.ts';
import { STATUS } from '../../webhook/annotations.ts';
import { CONFIGURATION_NAME, CONFIGURATIONS_PATH } from '../../webhook/ca-bundle.ts';
import { labelEnables } from '../../webhook/mutation.ts';
import { entriesOf, type WebhookEntry } from '../entries.ts';
import { explain, explanationLines } from '../explanation.ts';
import { CommandError, type Host, messageOf, UsageError } from '../host.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { stalenessOf } from '../staleness.ts';
import { connect, getObject } from './connection.ts';
import { readLiveSettings } from './live-settings.ts';

/**
 * Explains a running pod, named `namespace/name`: the environment that it has, and what would be decided about one like it
 * now. Gives the lines to show. Throws UsageError for another name, CommandError where the pod cannot be read.
 */
export async function explainLivePod(which: string, host: Host): Promise<string[]> {
  const [namespace, name, more] = which.split('/');
  if (!namespace || !name || more !== undefined)
    throw new UsageError(`name the pod as <namespace>/<name>, not "${which}"`);
  const api = connect(host);
  try {
    return await explainPod(api, namespace, name);
  } catch (error) {
    throw error instanceof UsageError ? error : new CommandError(messageOf(error));
  }
}

async function explainPod(api: KubernetesApi, namespace: string, name: string): Promise<string[]> {
  const pod = await getObject(
    api,
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`,
  );
  if (pod === undefined) throw new CommandError(`there is no pod ${namespace}/${name}`);
  const namespaceLabels = (await getObject(api, `/api/v1/namespaces/${namespace}`))?.metadata.labels ?? {};
  const { settings, addressKnown } = await readLiveSettings(api);
  const place = { namespace, namespaceEnabled: labelEnables(namespaceLabels), ownNamespace: MESH_NAMESPACE };
  const entries = await readEntries(api);
  const serviceHost = await readServiceHost(api);
  const explanation = explain({ pod, place, namespaceLabels, settings, entries, running: true, serviceHost });
  const stale = explanation.verdict === 'inject' ? stalenessOf(pod, place, settings) : undefined;
  const { spec } = pod as KubernetesObject & { spec?: { nodeName?: string } };
  const injected = pod.metadata.annotations?.[STATUS] !== undefined;
  return [
    `Pod ${namespace}/${name} on node ${spec?.nodeName ?? '(none yet)'}, ${injected ? 'injected' : 'not injected'} when it was created`,
    ...(stale === undefined ? [] : [`It is out of date: ${stale.text}; restart it (nodemesh rollout --stale)`]),
    ...(addressKnown
      ? []
      : ['How pods are to address their proxy could not be learned from the webhook; host IP is assumed']),
    ...explanationLines(explanation),
  ];
}

/** None where they cannot be read, as where the mesh is not installed: the explanation says that. */
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
