/** One kind of object that the API stores. */
export interface ResourceType {
  /** '' is the core group. */
  readonly group: string;
  /** The preferred version first; all of them show the same objects. */
  readonly versions: readonly string[];
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Its `status` is written through the status subresource only. */
  readonly hasStatus: boolean;
  /** The conditions of its status are written through the approval subresource. */
  readonly hasApproval?: boolean;
}

/** A path of the API, taken apart: a collection (no `name`), an object, or a subresource of one. */
export interface ResourcePath {
  readonly type: ResourceType;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

const namespaced = (kind: string, plural: string, hasStatus = false) => ({ kind, plural, hasStatus, namespaced: true });
const clusterWide = (kind: string, plural: string, hasStatus = false) => ({
  kind,
  plural,
  hasStatus,
  namespaced: false,
});

const GROUPS = [
  {
    group: '',
    versions: ['v1'],
    types: [
      clusterWide('Namespace', 'namespaces', true),
      clusterWide('Node', 'nodes', true),
      namespaced('Pod', 'pods', true),
      namespaced('Service', 'services', true),
      namespaced('Endpoints', 'endpoints'),
      namespaced('ConfigMap', 'configmaps'),
      namespaced('Secret', 'secrets'),
      namespaced('ServiceAccount', 'serviceaccounts'),
      namespaced('Event', 'events'),
    ],
  },
  {
    group: 'apps',
    versions: ['v1'],
    types: [
      namespaced('Deployment', 'deployments', true),
      namespaced('ReplicaSet', 'replicasets', true),
      namespaced('StatefulSet', 'statefulsets', true),
      namespaced('DaemonSet', 'daemonsets', true),
    ],
  },
  {
    group: 'certificates.k8s.io',
    versions: ['v1'],
    types: [{ ...clusterWide('CertificateSigningRequest', 'certificatesigningrequests', true), hasApproval: true }],
  },
  { group: 'discovery.k8s.io', versions: ['v1'], types: [namespaced('EndpointSlice', 'endpointslices')] },
  {
    group: 'admissionregistration.k8s.io',
    versions: ['v1'],
    types: [clusterWide('MutatingWebhookConfiguration', 'mutatingwebhookconfigurations')],
  },
  {
    group: 'policy',
    versions: ['v1', 'v1beta1'],
    types: [namespaced('PodDisruptionBudget', 'poddisruptionbudgets', true)],
  },
  {
    group: 'rbac.authorization.k8s.io',
    versions: ['v1'],
    types: [
      namespaced('Role', 'roles'),
      namespaced('RoleBinding', 'rolebindings'),
      clusterWide('ClusterRole', 'clusterroles'),
      clusterWide('ClusterRoleBinding', 'clusterrolebindings'),
    ],
  },
  { group: 'scheduling.k8s.io', versions: ['v1'], types: [clusterWide('PriorityClass', 'priorityclasses')] },
  {
    group: 'apiextensions.k8s.io',
    versions: ['v1'],
    types: [clusterWide('CustomResourceDefinition', 'customresourcedefinitions', true)],
  },
  { group: 'nodemesh.dev', versions: ['v1alpha1'], types: [namespaced('MeshPolicy', 'meshpolicies')] },
  { group: 'networking.k8s.io', versions: ['v1'], types: [namespaced('NetworkPolicy', 'networkpolicies')] },
] as const;

/**
 * Every type of the API; without EndpointSlice for a server older than discovery.k8s.io/v1 (Kubernetes 1.21), and without
 * MeshPolicy for one that has not been given its definition.
 */
export function resourceTypes({ endpointSlices = true, meshPolicies = true }): ResourceType[] {
  const absent = [endpointSlices ? [] : ['discovery.k8s.io'], meshPolicies ? [] : ['nodemesh.dev']].flat();
  return GROUPS.filter(({ group }) => !absent.includes(group)).flatMap(({ group, versions, types }) =>
    types.map((type) => ({ group, versions, ...type })),
  );
}

export function apiVersionOf(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}

/** Takes a URL's path; gives what it names, or undefined where the API has no such path. */
export function parseResourcePath(pathname: string, types: readonly ResourceType[]): ResourcePath | undefined {
  const [root, ...parts] = decodeSegments(pathname);
  if (root !== 'api' && root !== 'apis') return undefined;
  const group = root === 'api' ? '' : (parts.shift() ?? '');
  const version = parts.shift() ?? '';
  // `namespaces/x` and `namespaces/x/status` are the Namespace itself; anything longer or other is inside it.
  const inNamespace = parts[0] === 'namespaces' && parts.length >= 3 && parts[2] !== 'status';
  const namespace = inNamespace ? parts.splice(0, 2)[1] : undefined;
  const [plural, name, subresource, ...rest] = parts;
  const type = types.find((t) => t.group === group && t.versions.includes(version) && t.plural === plural);
  if (type === undefined || rest.length > 0 || (root === 'apis' && group === '')) return undefined;
  if (!type.namespaced && namespace !== undefined) return undefined;
  if (type.namespaced && namespace === undefined && name !== undefined) return undefined;
  const known = (subresource === 'status' && type.hasStatus) || (subresource === 'approval' && type.hasApproval);
  if (subresource !== undefined && !known) return undefined;
  return { type, version, namespace, name, subresource };
}

/** A path that is not well encoded names nothing. */
function decodeSegments(pathname: string): string[] {
  try {
    return pathname.slice(1).split('/').map(decodeURIComponent);
  } catch {
    return [];
  }
}

/** The path of an object's collection from the object itself, or undefined for a type that the API does not know. */
export function collectionPath(
  object: { readonly apiVersion?: string; readonly kind?: string; readonly metadata?: { readonly namespace?: string } },
  types: readonly ResourceType[],
): string | undefined {
  const { apiVersion = '', kind, metadata } = object;
  const type = types.find((t) => t.kind === kind && t.versions.some((v) => apiVersionOf(t.group, v) === apiVersion));
  if (type === undefined) return undefined;
  const root = type.group === '' ? '/api' : '/apis';
  const namespace = type.namespaced ? `/namespaces/${metadata?.namespace ?? 'default'}` : '';
  return `${root}/${apiVersion}${namespace}/${type.plural}`;
}

/** The discovery documents: `/api`, `/apis`, `/apis/<group>`, `/api/v1`, `/apis/<group>/<version>`; undefined for others. */
export function discoveryDocument(pathname: string, types: readonly ResourceType[]): object | undefined {
  if (pathname === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  const groups = [...new Set(types.map((t) => t.group))].filter((group) => group !== '');
  if (pathname === '/apis') {
    return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map((group) => groupDocument(group, types)) };
  }
  const group = groups.find((g) => pathname === `/apis/${g}`);
  if (group !== undefined) return { kind: 'APIGroup', apiVersion: 'v1', ...groupDocument(group, types) };
  const groupVersion = pathname.replace(/^\/apis?\//, '');
  const served = types.filter((t) => t.versions.some((v) => apiVersionOf(t.group, v) === groupVersion));
  if (served.length === 0 || pathname.startsWith('/apis/') !== groupVersion.includes('/')) return undefined;
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: served.flatMap(resourceDocuments) };
}

function groupDocument(group: string, types: readonly ResourceType[]): object {
  const versions = types.find((t) => t.group === group)?.versions ?? [];
  const [preferredVersion, ...others] = versions.map((version) => ({
    groupVersion: apiVersionOf(group, version),
    version,
  }));
  return { name: group, versions: [preferredVersion, ...others], preferredVersion };
}

function resourceDocuments({ plural, kind, namespaced, hasStatus }: ResourceType): object[] {
  const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];
  const status = { name: `${plural}/status`, singularName: '', namespaced, kind, verbs: ['get', 'patch', 'update'] };
  return [{ name: plural, singularName: kind.toLowerCase(), namespaced, kind, verbs }, ...(hasStatus ? [status] : [])];
}
