import { readFile } from 'node:fs/promises';
import type { InjectionSettings } from '../webhook/injection.ts';
import type { ProxyAddress } from '../webhook/proxy-address.ts';
import { type Call, CommandError, messageOf, textOption } from './host.ts';

/** Where the manifests put the mesh. */
export const MESH_NAMESPACE = 'nodemesh';

const DEFAULTS = {
  proxyPort: 4140,
  clusterDomain: 'cluster.local',
  namespaceInProxyUrl: false,
  envFrom: 'inject' as const,
};
const HOST_IP: ProxyAddress = { by: 'hostIP', family: 4 };
const ADDRESSES: Readonly<Record<string, ProxyAddress>> = {
  nodeName: { by: 'nodeName' },
  hostIP: HOST_IP,
  hostIPv6: { by: 'hostIP', family: 6 },
};

/**
 * How pods are injected where no cluster is asked: by `--config` and `--proxy-address`, else by the config's defaults and by
 * host IP, which serves in every cluster. Throws CommandError with every problem of the config.
 */
export async function offlineSettings(call: Call): Promise<InjectionSettings> {
  const file = textOption(call, 'config');
  const chosen = ADDRESSES[textOption(call, 'proxy-address') ?? ''];
  if (file === undefined) return { ...DEFAULTS, proxyAddress: chosen ?? HOST_IP };
  const { proxyAddress, ...config } = await readWebhookConfig(file);
  return { ...config, proxyAddress: chosen ?? (proxyAddress === 'nodeName' ? { by: 'nodeName' } : HOST_IP) };
}

async function readWebhookConfig(file: string) {
  // With its schema, it is loaded only where there is a config to read.
  const { parseWebhookConfig, readEnvironment } = await import('../webhook/config.ts');
  try {
    return parseWebhookConfig(file, await readFile(file, 'utf8'), readEnvironment({ POD_IP: '127.0.0.1' }));
  } catch (error) {
    const text = messageOf(error);
    throw new CommandError(text.startsWith(file) ? text : `${file}: ${text}`);
  }
}
