/** The label of a namespace, and the annotation of a pod, by which injection is asked for or refused. */
export const INJECT = 'mesh-inject';
/** Written by the webhook: what it did to the pod, as JSON (see injection.ts). */
export const STATUS = 'nodemesh.dev/status';
/** Names of containers, separated by commas, that are left as they are. */
const SKIP_CONTAINERS = 'nodemesh.dev/skip-containers';
/** Hosts, separated by commas, that the pod's clients reach without the proxy. */
const NO_PROXY = 'nodemesh.dev/no-proxy';
/** The daemon's outgoing port for this pod, in place of the configured one. */
const PROXY_PORT = 'nodemesh.dev/proxy-port';
/** Static pods' mirror objects: the kubelet owns them, a change has no effect (Kubernetes: static pods). */
export const MIRROR_POD = 'kubernetes.io/config.mirror';

export type Annotations = Readonly<Record<string, string>>;

/** What a pod's annotations say about its injection. `problems` are complete sentences, one a wrong value. */
export interface PodWishes {
  /** Undefined where the annotation is absent or wrong; a wrong one is among the problems. */
  readonly inject: 'enabled' | 'disabled' | undefined;
  readonly skipContainers: readonly string[];
  readonly noProxy: readonly string[];
  readonly proxyPort: number | undefined;
  readonly problems: readonly string[];
}

/** Reads a pod's annotations. Never throws: a value that is not understood becomes a problem that names it. */
export function readWishes(annotations: Annotations): PodWishes {
  const problems: string[] = [];
  const inject = annotations[INJECT];
  if (inject !== undefined && inject !== 'enabled' && inject !== 'disabled') {
    problems.push(`annotation ${INJECT}: invalid value ${quote(inject)} (want enabled|disabled)`);
  }
  const port = annotations[PROXY_PORT]?.trim();
  if (port !== undefined && !isPort(port)) {
    problems.push(`annotation ${PROXY_PORT}: port must be 1-65535, got ${quote(port)}`);
  }
  return {
    inject: inject === 'enabled' || inject === 'disabled' ? inject : undefined,
    skipContainers: commaList(annotations[SKIP_CONTAINERS]),
    noProxy: commaList(annotations[NO_PROXY]),
    proxyPort: port !== undefined && isPort(port) ? Number(port) : undefined,
    problems,
  };
}

/** A user's text as it is shown in a message: quoted, and cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 63 ? `${text.slice(0, 60)}...` : text);
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
}

function commaList(text: string | undefined): string[] {
  const items = (text ?? '').split(',').map((item) => item.trim());
  return [...new Set(items.filter((item) => item !== ''))];
}
