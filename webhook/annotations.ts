/** The label of a namespace or a pod, and the annotation of a pod, by which injection is asked for or refused. */
export const INJECT = 'mesh-inject';
/** Written by the webhook: what it did to the pod, as JSON (see injection.ts). */
export { INJECTION_STATUS as STATUS } from '../lib/kubernetes/pod.ts';

/** Names of containers, separated by commas, that are left as they are. */
const SKIP_CONTAINERS = 'nodemesh.dev/skip-containers';
/** Hosts, separated by commas, that the pod's clients reach without the proxy. */
const NO_PROXY = 'nodemesh.dev/no-proxy';
/** The daemon's outgoing port for this pod, in place of the configured one. */
const PROXY_PORT = 'nodemesh.dev/proxy-port';
/** Kinds of clients, separated by commas, that need more than http_proxy; see profiles.ts. */
const PROFILE = 'nodemesh.dev/profile';
/** Static pods' mirror objects: the kubelet owns them, a change has no effect (Kubernetes: static pods). */
export const MIRROR_POD = 'kubernetes.io/config.mirror';

export type Annotations = Readonly<Record<string, string>>;

export const PROFILES = ['java', 'node', 'cgi', 'grpc'] as const;
export type Profile = (typeof PROFILES)[number];

/** What a pod's annotations and label say about its injection. `problems` are complete sentences, one a wrong value. */
export interface PodWishes {
  /** Undefined where the pod says nothing, or something wrong, which is then among the problems. */
  readonly inject: 'enabled' | 'disabled' | undefined;
  readonly skipContainers: readonly string[];
  readonly noProxy: readonly string[];
  readonly proxyPort: number | undefined;
  readonly profiles: readonly Profile[];
  readonly problems: readonly string[];
}

/**
 * Reads a pod's annotations, and its label of the same name as the annotation that asks for injection. Where the two
 * contradict each other, `disabled` counts. Never throws: a value that is not understood becomes a problem that names it.
 */
export function readWishes(annotations: Annotations, labels: Annotations = {}): PodWishes {
  const problems: string[] = [];
  const said = [
    ['annotation', textOf(annotations, INJECT)],
    ['label', textOf(labels, INJECT)],
  ] as const;
  for (const [where, value] of said) {
    if (value === undefined || value === 'enabled' || value === 'disabled') continue;
    problems.push(`${where} ${INJECT}: invalid value ${quote(value)} (want enabled|disabled)`);
  }
  const port = textOf(annotations, PROXY_PORT)?.trim();
  if (port !== undefined && !isPort(port)) {
    problems.push(`annotation ${PROXY_PORT}: port must be 1-65535, got ${quote(port)}`);
  }
  const profiles = commaList(textOf(annotations, PROFILE));
  for (const profile of profiles.filter((name) => !isProfile(name))) {
    problems.push(`annotation ${PROFILE}: invalid value ${quote(profile)} (want ${PROFILES.join('|')})`);
  }
  return {
    inject: (['disabled', 'enabled'] as const).find((wish) => said.some(([, value]) => value === wish)),
    skipContainers: commaList(textOf(annotations, SKIP_CONTAINERS)),
    noProxy: commaList(textOf(annotations, NO_PROXY)),
    proxyPort: port !== undefined && isPort(port) ? Number(port) : undefined,
    profiles: profiles.filter(isProfile),
    problems,
  };
}

/** A user's text as it is shown in a message: quoted, and cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 63 ? `${text.slice(0, 60)}...` : text);
}

function textOf(texts: Annotations, key: string): string | undefined {
  return Object.hasOwn(texts, key) ? texts[key] : undefined;
}

function isProfile(name: string): name is Profile {
  return (PROFILES as readonly string[]).includes(name);
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;
}

function commaList(text: string | undefined): string[] {
  const items = (text ?? '').split(',').map((item) => item.trim());
  return [...new Set(items.filter((item) => item !== ''))];
}
