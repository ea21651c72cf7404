import { trimPod } from '../../lib/kubernetes/pod.ts';
import { type KubernetesApi, KubernetesError, type KubernetesObject } from '../../lib/kubernetes/types.ts';
import { getObject } from '../cluster/connection.ts';
import { listAll } from '../cluster/list-all.ts';
import { MESH_NAMESPACE } from '../settings.ts';
import { type Finding, failure, few, ok, warning } from './finding.ts';
import { type CheckContext, readable } from './installed.ts';

/** What `kubectl apply` of the manifests creates: each has to be allowed. */
const CREATED: readonly (readonly [group: string, resource: string, namespaced: boolean])[] = [
  ['', 'namespaces', false],
  ['', 'resourcequotas', true],
  ['', 'serviceaccounts', true],
  ['', 'configmaps', true],
  ['', 'services', true],
  ['networking.k8s.io', 'networkpolicies', true],
  ['apiextensions.k8s.io', 'customresourcedefinitions', false],
  ['apps', 'deployments', true],
  ['apps', 'daemonsets', true],
  ['rbac.authorization.k8s.io', 'clusterroles', false],
  ['rbac.authorization.k8s.io', 'clusterrolebindings', false],
  ['rbac.authorization.k8s.io', 'roles', true],
  ['rbac.authorization.k8s.io', 'rolebindings', true],
  ['admissionregistration.k8s.io', 'mutatingwebhookconfigurations', false],
];
/** The daemon's, on every node. */
const PORTS = [4140, 4141, 9990];
/** Certificates are dated back an hour; token and lease times suffer earlier. */
const MAX_SKEW_MS = 3_600_000;
const TOLERATED_SKEW_MS = 60_000;

/** Whether a mesh can be installed. Never throws: what cannot be read is a finding. */
export async function checkBefore({ api, now }: CheckContext): Promise<Finding[]> {
  const groups = [
    readable('pre.admission', () => checkAdmission(api)),
    readable('pre.permissions', () => checkPermissions(api)),
    readable('pre.clock', () => checkClock(api, now)),
    readable('pre.pod-security', () => checkPodSecurity(api)),
    readable('pre.ports', () => checkPorts(api)),
  ];
  return (await Promise.all(groups)).flat();
}

async function checkAdmission(api: KubernetesApi): Promise<Finding[]> {
  const id = 'pre.admission';
  const group = await getObject(api, '/apis/admissionregistration.k8s.io/v1');
  return [
    group === undefined
      ? failure(id, 'the API server has no admissionregistration.k8s.io/v1', 'Kubernetes 1.16 or later is needed')
      : ok(id, 'the API server has admissionregistration.k8s.io/v1'),
  ];
}

async function checkPermissions(api: KubernetesApi): Promise<Finding[]> {
  const id = 'pre.permissions';
  const denied: string[] = [];
  for (const [group, resource, namespaced] of CREATED) {
    const attributes = { group, resource, verb: 'create', ...(namespaced ? { namespace: MESH_NAMESPACE } : {}) };
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: attributes },
    };
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    const { status } = (await api.request({ method: 'POST', path, body })) as { status?: { allowed?: boolean } };
    if (status?.allowed !== true) denied.push(resource);
  }
  return [
    denied.length === 0
      ? ok(id, 'all that the manifests hold may be created')
      : failure(id, `you may not create ${denied.join(', ')}`, 'install as an administrator of the cluster'),
  ];
}

/** By an object that is not created: it carries the server's time. */
async function checkClock(api: KubernetesApi, now: number): Promise<Finding[]> {
  const id = 'pre.clock';
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'nodemesh-check-' } };
  let created: KubernetesObject & { readonly metadata: { readonly creationTimestamp?: string } };
  try {
    const path = '/api/v1/namespaces/default/configmaps?dryRun=All';
    created = (await api.request({ method: 'POST', path, body })) as typeof created;
  } catch (error) {
    if (!(error instanceof KubernetesError && error.status === 403)) throw error;
    return [
      warning(id, 'not compared: you may not create ConfigMaps in namespace default', 'check as someone who may'),
    ];
  }
  const skew = Date.parse(created.metadata.creationTimestamp ?? '') - now;
  const text = `the API server's clock is ${Math.abs(Math.round(skew / 1000))} s ${skew < 0 ? 'behind' : 'ahead of'} this one`;
  const hint = 'certificates are refused where clocks differ by an hour: set both by NTP';
  if (Math.abs(skew) >= MAX_SKEW_MS) return [failure(id, text, hint)];
  return [Math.abs(skew) >= TOLERATED_SKEW_MS ? warning(id, text, hint) : ok(id, 'the clocks here and there agree')];
}

/** Daemons are on their hosts' network, which Pod Security allows only to `privileged`. */
async function checkPodSecurity(api: KubernetesApi): Promise<Finding[]> {
  const id = 'pre.pod-security';
  const namespace = await getObject(api, `/api/v1/namespaces/${MESH_NAMESPACE}`);
  const level = namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'];
  if (level === undefined || level === 'privileged')
    return [ok(id, `Pod Security lets daemons run in ${MESH_NAMESPACE}`)];
  const text = `namespace ${MESH_NAMESPACE} enforces Pod Security "${level}", under which no daemon may be on its host's network`;
  const hint = 'the manifests set pod-security.kubernetes.io/enforce: privileged; apply the Namespace again';
  return [failure(id, text, hint)];
}

async function checkPorts(api: KubernetesApi): Promise<Finding[]> {
  const id = 'pre.ports';
  const takers = await listAll(api, '/api/v1/pods', (object) => {
    const { namespace, name, terminating } = trimPod(object);
    const taken =
      namespace === MESH_NAMESPACE || terminating ? [] : hostPortsOf(object).filter((p) => PORTS.includes(p));
    return taken.length === 0 ? undefined : `${namespace}/${name} (${taken.join(', ')})`;
  });
  if (takers.length === 0) return [ok(id, `no pod holds port ${PORTS.join(', ')} of its node`)];
  const hint = 'give the daemon other ports in daemon.yaml, its Service and proxyPort in webhook.yaml';
  return [failure(id, `the daemon's ports are taken on some nodes: ${few(takers)}`, hint)];
}

interface PodWithPorts extends KubernetesObject {
  readonly spec?: {
    readonly hostNetwork?: boolean;
    readonly containers?: readonly {
      readonly ports?: readonly { readonly containerPort: number; readonly hostPort?: number }[] | null;
    }[];
  };
}

function hostPortsOf(object: KubernetesObject): number[] {
  const { spec } = object as PodWithPorts;
  const ports = (spec?.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports.flatMap(({ containerPort, hostPort }) => hostPort ?? (spec?.hostNetwork === true ? containerPort : []));
}
