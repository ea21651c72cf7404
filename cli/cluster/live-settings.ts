import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import { parseWebhookConfig, readEnvironment, type WebhookConfig } from '../../webhook/config.ts';
import type { InjectionSettings } from '../../webhook/injection.ts';
import { hostIpFamily, type ProxyAddress, trimNode } from '../../webhook/proxy-address.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { getObject } from './connection.ts';
import { probeWebhook } from './probe.ts';

export const CONFIG_PATH = `/api/v1/namespaces/${MESH_NAMESPACE}/configmaps/nodemesh-config`;

/** How the webhook of a cluster injects pods now. */
export interface LiveSettings {
  readonly settings: InjectionSettings;
  readonly config: WebhookConfig;
  /** Whether the address is known, and not taken to be the host's IP for want of a better answer. */
  readonly addressKnown: boolean;
}

/**
 * Reads the webhook's config from the cluster. Under `proxyAddress: auto` the webhook itself is asked, by a dry run: it sees
 * names as pods do. Throws KubernetesError, and ConfigError for a config that the webhook would refuse too.
 */
export async function readLiveSettings(api: KubernetesApi): Promise<LiveSettings> {
  const map = (await getObject(api, CONFIG_PATH)) as (KubernetesObject & { data?: Record<string, string> }) | undefined;
  const environment = readEnvironment({ POD_IP: '127.0.0.1' });
  const config = parseWebhookConfig(
    'ConfigMap nodemesh-config, webhook.yaml',
    map?.data?.['webhook.yaml'] ?? '',
    environment,
  );
  const address = await addressOf(api, config);
  const settings = { ...config, proxyAddress: address ?? ({ by: 'hostIP', family: 4 } as const) };
  return { settings, config, addressKnown: address !== undefined };
}

async function addressOf(api: KubernetesApi, { proxyAddress }: WebhookConfig): Promise<ProxyAddress | undefined> {
  if (proxyAddress === 'nodeName') return { by: 'nodeName' };
  if (proxyAddress === 'auto') return (await probeWebhook(api).catch(() => undefined))?.address;
  const { items } = (await api.request({ method: 'GET', path: '/api/v1/nodes' })) as { items: KubernetesObject[] };
  return { by: 'hostIP', family: hostIpFamily(items.map(trimNode), undefined) };
}
