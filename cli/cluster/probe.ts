import type { KubernetesApi, KubernetesObject } from '../../lib/kubernetes/types.ts';
import { INJECT, STATUS } from '../../webhook/annotations.ts';
import type { ProxyAddress } from '../../webhook/proxy-address.ts';

/** Not the mesh's own namespace, and there in every cluster. */
const NAMESPACE = 'default';

/** What the API server makes of a pod that asks to be injected: the webhook was asked and answered, or it was not. */
export interface ProbeAnswer {
  readonly injected: boolean;
  /** How pods address their proxy, as the webhook has it now; undefined where it did not answer. */
  readonly address: ProxyAddress | undefined;
}

/**
 * Asks the API server to create a pod without creating it (dry run), which sends it through the webhook over the API server's own
 * connection, certificate and all. Throws KubernetesError where the API server refuses.
 */
export async function probeWebhook(api: KubernetesApi): Promise<ProbeAnswer> {
  const wish = { [INJECT]: 'enabled' };
  // Pods with settings of their own are the webhook's under overlay admission-policy too.
  const annotations = { ...wish, 'nodemesh.dev/no-proxy': '' };
  const body = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'nodemesh-check-', namespace: NAMESPACE, labels: wish, annotations },
    spec: {
      automountServiceAccountToken: false,
      // As Pod Security's "restricted" wants it, whatever the namespace enforces.
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'probe',
          image: 'nodemesh:dev',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
          resources: { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1m', memory: '1Mi' } },
        },
      ],
    },
  };
  const path = `/api/v1/namespaces/${NAMESPACE}/pods?dryRun=All`;
  const created = (await api.request({ method: 'POST', path, body })) as KubernetesObject & {
    readonly spec?: { readonly containers?: readonly { readonly env?: readonly { name: string; value?: string }[] }[] };
  };
  const env = created.spec?.containers?.[0]?.env ?? [];
  const url = env.find(({ name }) => name === 'http_proxy')?.value;
  return {
    injected: created.metadata.annotations?.[STATUS] !== undefined,
    address: url === undefined ? undefined : addressIn(url),
  };
}

/** `http://$(NODE_NAME):4140`, `http://$(NODE_IP):4140`, `http://[$(NODE_IP)]:4140`. */
function addressIn(url: string): ProxyAddress {
  if (/\$\(\w*NODE_NAME\)/.test(url)) return { by: 'nodeName' };
  return { by: 'hostIP', family: url.includes('[') ? 6 : 4 };
}
