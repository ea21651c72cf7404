import { lookup } from 'node:dns/promises';
import { type Pod, trimPod } from '../../lib/kubernetes/pod.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../../lib/kubernetes/types.ts';
import { CONFIGURATION_NAME, CONFIGURATIONS_PATH, trimConfiguration } from '../../webhook/ca-bundle.ts';
import { decideProxyAddress, trimNode } from '../../webhook/proxy-address.ts';
import { getObject } from '../cluster/connection.ts';
import { listAll } from '../cluster/list-all.ts';
import { CONFIG_PATH, type LiveSettings, readLiveSettings } from '../cluster/live-settings.ts';
import { type MeshedPod, meshedPods } from '../cluster/pods.ts';
import { probeWebhook } from '../cluster/probe.ts';
import { messageOf } from '../host.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import {
  type BundledEntry,
  bundleOf,
  certificatesIn,
  issuerIn,
  judgeBundles,
  judgeExpiry,
  judgeServing,
} from './certificates.ts';
import { count, type Finding, failure, few, ok, warning } from './finding.ts';
import { judgeMeshTls } from './mesh-tls.ts';
import { judgeDaemons, judgeReplicas } from './placement.ts';

const APPLY = 'kubectl apply -k manifests/ (or -f manifests/nodemesh.yaml)';
const MESH_PODS = `/api/v1/namespaces/${MESH_NAMESPACE}/pods?labelSelector=`;
/** The Secret that the webhook serves from: its own, or one that others fill. */
const SECRETS = { selfMade: 'nodemesh-webhook-tls', provided: 'nodemesh-webhook-serving' };
const SERVING_HOST = `nodemesh-webhook.${MESH_NAMESPACE}.svc`;

export interface CheckContext {
  readonly api: KubernetesApi;
  /** Wall clock, ms since 1970. */
  readonly now: number;
  /** Whether names are resolved here as pods resolve them. */
  readonly inCluster: boolean;
}

/** Everything about a mesh that is installed. Never throws: what cannot be read is a finding. */
export async function checkInstalled(context: CheckContext): Promise<Finding[]> {
  const { api } = context;
  const live = await readLiveSettings(api).catch((error: unknown) => messageOf(error));
  const known = typeof live === 'string' ? undefined : live;
  const groups = [
    readable('webhook.configuration', () => checkWebhook(context, known)),
    readable('webhook.reachable', () => checkReachable(api)),
    readable('webhook.replicas', () => checkReplicas(api)),
    readable('proxy.address', () => checkAddress(context, live)),
    readable('mesh.tls', () => checkMeshTls(api)),
    readable('daemon.nodes', () => checkPods(api, known)),
  ];
  return (await Promise.all(groups)).flat();
}

/** A refusal of the API server as a finding of the check that it kept from looking. */
export async function readable(id: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof KubernetesError)) throw error;
    return [failure(id, `could not be looked at: ${error.message}`, 'check as someone who may read the cluster')];
  }
}

async function checkWebhook({ api, now }: CheckContext, live: LiveSettings | undefined): Promise<Finding[]> {
  const id = 'webhook.configuration';
  const configuration = await getObject(api, `${CONFIGURATIONS_PATH}/${CONFIGURATION_NAME}`);
  if (configuration === undefined) {
    return [failure(id, `there is no MutatingWebhookConfiguration ${CONFIGURATION_NAME}: no pod is injected`, APPLY)];
  }
  const { entries } = trimConfiguration(configuration);
  if (entries.length === 0) return [failure(id, `${CONFIGURATION_NAME} has no entry: no pod is injected`, APPLY)];
  return [
    ok(id, `MutatingWebhookConfiguration ${CONFIGURATION_NAME} has ${entries.map(({ name }) => name).join(' and ')}`),
    judgeBundles(entries),
    ...(await checkCertificates(api, entries, now, live)),
  ];
}

async function checkCertificates(
  api: KubernetesApi,
  entries: readonly BundledEntry[],
  now: number,
  live: LiveSettings | undefined,
): Promise<Finding[]> {
  const bundle = bundleOf(entries);
  const made = live?.config.servingCertificate ?? 'selfMade';
  const name = SECRETS[made];
  let secret: (KubernetesObject & { readonly data?: Readonly<Record<string, string>> }) | undefined;
  try {
    secret = await getObject(api, `/api/v1/namespaces/${MESH_NAMESPACE}/secrets/${name}`);
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 403)) throw error;
    const hint = 'webhook.reachable says whether the API server takes it; to see more, check as someone who may';
    return [
      warning('webhook.certificate', `Secret ${name} may not be read, so the certificate was not compared`, hint),
      judgeExpiry({ 'the CA': longestLived(bundle) }, now, made),
    ];
  }
  const chain = certificatesIn(Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString());
  return [
    judgeServing(chain, bundle, SERVING_HOST),
    judgeExpiry(
      { 'the serving certificate': chain[0], 'its CA': issuerIn(chain, bundle) ?? longestLived(bundle) },
      now,
      made,
    ),
  ];
}

function longestLived(bundle: ReturnType<typeof bundleOf>) {
  return bundle.toSorted((a, b) => Date.parse(b.validTo) - Date.parse(a.validTo))[0];
}

async function checkReachable(api: KubernetesApi): Promise<Finding[]> {
  const id = 'webhook.reachable';
  const hint =
    'the API server must reach port 8443 of the webhook pods (NetworkPolicy, firewalls between control plane and nodes) and believe their certificate';
  try {
    const { injected } = await probeWebhook(api);
    return [
      injected
        ? ok(id, 'the API server asks the webhook, and a pod comes back injected (dry run)')
        : failure(id, 'a pod that asks to be injected comes back as it was (dry run)', hint),
    ];
  } catch (error) {
    if (!(error instanceof KubernetesError)) throw error;
    return error.message.includes('webhook')
      ? [failure(id, error.message, hint)]
      : [warning(id, `not tried: ${error.message}`, 'check as someone who may create pods in namespace default')];
  }
}

async function checkReplicas(api: KubernetesApi): Promise<Finding[]> {
  const nodes = await listAll(api, '/api/v1/nodes', ({ metadata }) => metadata.name);
  return [judgeReplicas(await meshPods(api, 'webhook'), nodes.length)];
}

function meshPods(api: KubernetesApi, component: 'webhook' | 'daemon'): Promise<Pod[]> {
  const selector = `app.kubernetes.io/name=nodemesh,app.kubernetes.io/component=${component}`;
  return listAll(api, `${MESH_PODS}${encodeURIComponent(selector)}`, trimPod);
}

/** `proxy.address`: pods find their node's proxy, by a name that resolves to it or by its address. */
async function checkAddress({ api, inCluster }: CheckContext, live: LiveSettings | string): Promise<Finding[]> {
  const id = 'proxy.address';
  if (typeof live === 'string') {
    return [failure(id, live, 'kubectl -n nodemesh edit configmap nodemesh-config')];
  }
  const { config, settings, addressKnown } = live;
  if (!addressKnown) {
    return [warning(id, 'the webhook did not tell how pods address their proxy', 'see webhook.reachable')];
  }
  if (settings.proxyAddress.by === 'hostIP') return [ok(id, "pods use their host's IP")];
  if (config.proxyAddress === 'auto') {
    return [ok(id, "pods use their node's name: the webhook finds that each resolves to its node")];
  }
  const nodes = await listAll(api, '/api/v1/nodes', trimNode);
  const found = await Promise.all(
    nodes.map(
      async ({ name }) =>
        [name, (await lookup(name, { all: true }).catch(() => [])).map((one) => one.address)] as const,
    ),
  );
  const { address, why } = decideProxyAddress(nodes, new Map(found), undefined);
  if (address.by === 'nodeName') return [ok(id, `pods use their node's name: ${why}`)];
  const hint = 'set proxyAddress to hostIP or auto in ConfigMap nodemesh-config, webhook.yaml';
  return inCluster
    ? [failure(id, `pods use their node's name, but ${why}`, hint)]
    : [
        warning(
          id,
          `pods use their node's name, but, seen from here, ${why}`,
          `pods may see that otherwise; else ${hint}`,
        ),
      ];
}

async function checkMeshTls(api: KubernetesApi): Promise<Finding[]> {
  const map = (await getObject(api, CONFIG_PATH)) as (KubernetesObject & { data?: Record<string, string> }) | undefined;
  return [judgeMeshTls(map?.data?.['daemon.yaml'])];
}

async function checkPods(api: KubernetesApi, live: LiveSettings | undefined): Promise<Finding[]> {
  const pods = await meshedPods(api, live?.addressKnown === true ? live.settings : undefined);
  const injected = pods.flatMap(({ namespace, name, nodeName, injected }) =>
    injected && nodeName !== undefined ? [{ name: `${namespace}/${name}`, nodeName }] : [],
  );
  return [...judgeDaemons(await meshPods(api, 'daemon'), injected), ...judgeStale(pods, live)];
}

/** `pods.current`: pods of labelled namespaces are as the webhook would make them today. */
function judgeStale(pods: readonly MeshedPod[], live: LiveSettings | undefined): Finding[] {
  const id = 'pods.current';
  if (live?.addressKnown !== true) {
    return [warning(id, 'not looked at: how pods are to address their proxy is not known', 'see proxy.address')];
  }
  const findings: Finding[] = [];
  const stale = pods.filter(({ stale }) => stale !== undefined);
  const name = ({ namespace, name }: MeshedPod) => `${namespace}/${name}`;
  const missing = stale.filter((pod) => pod.stale?.kind === 'missing');
  const different = stale.filter((pod) => pod.stale?.kind === 'different');
  const hint = 'nodemesh rollout --stale lists what to restart, and restarts it with --yes';
  if (different.length > 0) {
    const text = `${count(different.length, 'pod')} with another proxy: ${few(different.map(name))}; ${different[0]?.stale?.text}`;
    findings.push(failure(id, text, hint));
  }
  if (missing.length > 0) {
    const text = `${count(missing.length, 'pod')} of labelled namespaces without the proxy: ${few(missing.map(name))}`;
    findings.push(warning(id, text, hint));
  }
  return findings.length > 0 ? findings : [ok(id, 'the pods of labelled namespaces are as they would be made today')];
}
