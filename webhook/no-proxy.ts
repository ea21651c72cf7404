import type { EnvVar } from './node-variable.ts';
import type { EnvView } from './pod-view.ts';

/**
 * Hosts that a pod's clients must reach themselves: the pod itself, the Kubernetes API, and the cloud's metadata services,
 * which tell callers apart by the node or pod that the connection comes from. Literal addresses, since most clients
 * do not read a CIDR in no_proxy (curl before 7.86, Python's requests, wget).
 */
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];
const METADATA = [
  '169.254.169.254', // AWS, Azure, Google, OpenStack
  'fd00:ec2::254', // AWS over IPv6
  '169.254.170.2', // AWS ECS task credentials
  '169.254.170.23', // AWS EKS pod identity
  'fd00:ec2::23', // AWS EKS pod identity over IPv6
  'metadata.google.internal',
];
/** A kubelet sets it in every container, whatever enableServiceLinks says, and expands it wherever it stands in env. */
const API_ADDRESS = '$(KUBERNETES_SERVICE_HOST)';

/** The hosts of no_proxy: those above, then the pod's own (annotation nodemesh.dev/no-proxy). */
export function noProxyHosts(clusterDomain: string, extra: readonly string[]): string[] {
  const api = [
    'kubernetes.default.svc',
    `kubernetes.default.svc.${clusterDomain}`,
    'kubernetes.default',
    'kubernetes',
    API_ADDRESS,
  ];
  return [...new Set([...LOOPBACK, ...api, ...METADATA, ...extra])];
}

const OWN_NO_PROXY = /^no_proxy$/i;

export interface NoProxyVariables {
  readonly env: readonly EnvVar[];
  /** The container's own, which stays as it is. */
  readonly own: EnvView | undefined;
  /** The position in env from which on `$(own)` expands. */
  readonly at: number;
}

/**
 * no_proxy and NO_PROXY of a container, both with the same hosts; under profile cgi the former alone. Where it has one of its own,
 * that stays, and the name that is free gets ours and then the container's, by reference: whatever it comes from, and so that clients
 * that read this name first (most read the lower-case one, Go the other) keep to both.
 */
export function noProxyVariables(
  env: readonly EnvView[],
  hosts: readonly string[],
  lowerCaseOnly: boolean,
): NoProxyVariables {
  const last = env.findLastIndex(({ name }) => OWN_NO_PROXY.test(name));
  const own = env[last];
  const value = [...hosts, ...(own === undefined ? [] : [`$(${own.name})`])].join(',');
  const names = lowerCaseOnly ? ['no_proxy'] : ['no_proxy', 'NO_PROXY'];
  const free = names.filter((name) => !env.some((entry) => entry.name === name));
  return { env: free.map((name) => ({ name, value })), own, at: last + 1 };
}
