import { createHash } from 'node:crypto';
import { type Annotations, type PodWishes, quote, STATUS } from './annotations.ts';
import type { Reason, ReasonId } from './eligibility.ts';
import { noProxyHosts, noProxyVariables } from './no-proxy.ts';
import {
  type ChosenVariable,
  chooseVariable,
  type EnvVar,
  isReferred,
  NODE_IP,
  NODE_NAME,
  variableOf,
} from './node-variable.ts';
import { asRecord, asText, type ContainerList, type ContainerView, type EnvView, type PodView } from './pod-view.ts';
import { profileVariables } from './profiles.ts';
import type { ProxyAddress } from './proxy-address.ts';

/** Variables that go into one container's env, in this order, before the entry that is at position `at` now. */
export interface EnvInsertion {
  readonly list: ContainerList;
  readonly index: number;
  readonly container: string;
  readonly at: number;
  readonly env: readonly EnvVar[];
}

export interface Injection {
  readonly insertions: readonly EnvInsertion[];
  /** The pod's new status annotation; undefined where nothing is inserted. */
  readonly status: string | undefined;
  /** Why containers were left as they are, one a container. */
  readonly reasons: readonly Reason[];
  /** For the person who creates the pod: complete sentences. */
  readonly warnings: readonly string[];
}

export interface InjectionSettings {
  readonly proxyAddress: ProxyAddress;
  readonly proxyPort: number;
  readonly clusterDomain: string;
  /** Put the pod's namespace into the proxy's URL as its user (overlay host-port, where source addresses are lost). */
  readonly namespaceInProxyUrl: boolean;
  /** Whether containers with envFrom, from where a proxy of their own may come, are injected all the same. */
  readonly envFrom: 'inject' | 'skip';
}

const STATUS_VERSION = 1;
/** A client that finds any of these already has its proxy; curl, Go and Python disagree on which one wins. */
const OWN_PROXY = /^(https?|all)_proxy$/i;
/** Obstacles that a person may not know of. */
const LOUD: readonly ReasonId[] = ['container_has_proxy', 'container_has_env_from', 'variable_conflict'];
/** As Istio and Services name the protocol of a port. */
const GRPC_PORT = /^grpc(-|$)/;
const WGET_OF_ITSELF = /\bwget\b.*(?:localhost|127\.0\.0\.1|\[?::1)/;

/**
 * What injection adds to a pod that was decided to be injected: to every container and init container
 * `NODE_NAME`, `NODE_IP` (where it is used), `http_proxy`, `no_proxy`, `NO_PROXY`, ahead of the user's own variables,
 * since a kubelet expands `$(VAR)` from earlier entries only (Kubernetes: dependent environment variables).
 *
 * A variable of the user's is never changed, repeated or moved: a container with a proxy of its own stays as it is, a
 * no_proxy of its own stays beside ours under the other name, and a NODE_NAME of its own is used where it is the node's name (ours then follow it)
 * and otherwise left alone, ours taking a name that is nobody else's. Upper-case HTTP_PROXY is not set: a CGI program
 * would read a client's `Proxy` header from there (httpoxy). Doing it twice adds nothing.
 */
export function planInjection(
  pod: PodView,
  wishes: PodWishes,
  namespace: string,
  settings: InjectionSettings,
): Injection {
  const before = containersOfStatus(pod.annotations);
  const insertions: EnvInsertion[] = [];
  const reasons: Reason[] = [];
  const warnings = unknownSkips(pod, wishes.skipContainers);
  for (const container of pod.containers) {
    const obstacle = obstacleOf(container, wishes, before, settings);
    if (obstacle !== undefined) {
      reasons.push(obstacle);
      if (LOUD.includes(obstacle.id)) warnings.push(obstacle.text);
      continue;
    }
    const planned = planContainer(container, wishes, namespace, settings);
    if (planned === undefined) {
      const text = `container ${quote(container.name)} uses every name that a variable for its node could have`;
      reasons.push({ id: 'variable_conflict', text });
      warnings.push(text);
      continue;
    }
    insertions.push(planned.insertion);
    warnings.push(...planned.warnings);
  }
  return {
    insertions,
    status: insertions.length === 0 ? undefined : statusText(before, insertions, configHash(settings)),
    reasons,
    warnings,
  };
}

function unknownSkips(pod: PodView, skips: readonly string[]): string[] {
  const names = new Set(pod.containers.map((c) => c.name));
  return skips
    .filter((name) => !names.has(name))
    .map((name) => `annotation nodemesh.dev/skip-containers names ${quote(name)}, which is no container of this pod`);
}

function obstacleOf(
  container: ContainerView,
  wishes: PodWishes,
  before: ReadonlyMap<string, readonly string[]>,
  settings: InjectionSettings,
): Reason | undefined {
  const { env, name } = container;
  const because = (id: ReasonId, text: string): Reason => ({ id, text: `container ${quote(name)} ${text}` });
  if (wishes.skipContainers.includes(name)) {
    return because('container_skipped', 'is named in annotation nodemesh.dev/skip-containers');
  }
  if (env === undefined) return because('container_invalid', 'has an env that is not a list of named variables');
  const own = env.find((entry) => OWN_PROXY.test(entry.name));
  if (own === undefined && container.hasEnvFrom && settings.envFrom === 'skip') {
    return because('container_has_env_from', "has envFrom, and such containers are left out by the webhook's config");
  }
  if (own === undefined) {
    return isReferred(container, 'http_proxy')
      ? because('variable_conflict', 'refers to $(http_proxy), which means something else once the mesh defines it')
      : undefined;
  }
  if (before.has(name)) return because('already_injected', 'has been injected before');
  return because(
    'container_has_proxy',
    `sets ${own.name} itself and keeps it; remove it to put the container on the mesh`,
  );
}

interface PlannedContainer {
  readonly insertion: EnvInsertion;
  readonly warnings: readonly string[];
}

function planContainer(
  container: ContainerView,
  wishes: PodWishes,
  namespace: string,
  settings: InjectionSettings,
): PlannedContainer | undefined {
  const byName = settings.proxyAddress.by === 'nodeName';
  const used = chooseVariable(container, byName ? NODE_NAME : NODE_IP, undefined);
  if (used === undefined) return undefined;
  // NODE_NAME is there for applications too; where only they would use it, it gives way to any conflict.
  const courtesy = byName ? undefined : chooseVariable(container, NODE_NAME, 'NODE_NAME');
  const port = wishes.proxyPort ?? settings.proxyPort;
  const env: EnvVar[] = [
    ...variableOf(courtesy, NODE_NAME),
    ...variableOf(used, byName ? NODE_NAME : NODE_IP),
    { name: 'http_proxy', value: proxyUrl(used.name, port, namespace, settings) },
  ];
  const hosts = noProxyHosts(settings.clusterDomain, wishes.noProxy);
  const noProxy = noProxyVariables(container.env ?? [], hosts, wishes.profiles.includes('cgi'));
  env.push(...noProxy.env);
  const place = { host: `$(${used.name})`, port, noProxy: hosts, clusterDomain: settings.clusterDomain };
  const profile = profileVariables(wishes.profiles, container, place);
  env.push(...profile.env);
  // What the container refers to and does not define stays as it is written: a definition of ours would change that.
  const unseen = env.filter(({ name }) => name === used.name || !isReferred(container, name));
  const at = Math.max(used.at, noProxy.at);
  return {
    insertion: { list: container.list, index: container.index, container: container.name, at, env: unseen },
    warnings: [
      ...warningsOf(container, used, noProxy.own, settings),
      ...(wishes.profiles.includes('grpc') ? [] : grpcWarnings(container)),
      ...profile.problems.map((text) => `container ${quote(container.name)} ${text}`),
    ],
  };
}

function proxyUrl(variable: string, port: number, namespace: string, settings: InjectionSettings): string {
  const { proxyAddress } = settings;
  const bracketed = proxyAddress.by === 'hostIP' && proxyAddress.family === 6;
  const host = bracketed ? `[$(${variable})]` : `$(${variable})`;
  const user = settings.namespaceInProxyUrl ? `${encodeURIComponent(namespace)}@` : '';
  return `http://${user}${host}:${port}`;
}

function warningsOf(
  container: ContainerView,
  used: ChosenVariable,
  ownNoProxy: EnvView | undefined,
  settings: InjectionSettings,
): string[] {
  const who = `container ${quote(container.name)}`;
  const warnings: string[] = [];
  const wanted = settings.proxyAddress.by === 'nodeName' ? 'NODE_NAME' : 'NODE_IP';
  if (container.env?.some((entry) => entry.name === wanted) && used.name !== wanted) {
    warnings.push(`${who} gives ${wanted} another meaning, so http_proxy uses ${used.name}`);
  }
  if (ownNoProxy !== undefined) {
    const text = 'clients that read that name first go by it alone; see that it names localhost and the Kubernetes API';
    warnings.push(`${who} keeps its own ${ownNoProxy.name}: ${text}`);
  }
  if (container.hasEnvFrom) {
    warnings.push(`${who} has envFrom: an http_proxy or no_proxy that comes from there gives way to the mesh's`);
  }
  if (container.probeCommands.some((command) => WGET_OF_ITSELF.test(command))) {
    warnings.push(
      `${who} has a probe that asks itself by wget: BusyBox's wget heeds no no_proxy and asks the mesh instead`,
    );
  }
  return warnings;
}

/** Who serves gRPC is likely to call it. Through a proxy its clients ask for CONNECT, and so for a tunnel to one pod. */
function grpcWarnings({ name, portNames }: ContainerView): string[] {
  const port = portNames.find((portName) => GRPC_PORT.test(portName));
  if (port === undefined) return [];
  const text = 'gRPC clients that heed http_proxy ask for CONNECT, and all their calls go to one pod';
  return [
    `container ${quote(name)} has port ${quote(port)}: ${text}; nodemesh.dev/profile: grpc has them call directly`,
  ];
}

/** The containers that an earlier injection changed, with the variables it added, by its annotation. */
export function containersOfStatus(annotations: Annotations): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const text = annotations[STATUS];
  if (text === undefined) return found;
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    return found; // written by someone else: a pod without a status
  }
  const containers = asRecord(status)?.containers;
  for (const item of Array.isArray(containers) ? containers : []) {
    const entry = asRecord(item);
    const name = asText(entry?.name);
    const env = Array.isArray(entry?.env) ? entry.env.filter((n) => typeof n === 'string') : [];
    if (name !== undefined) found.set(name, env);
  }
  return found;
}

/**
 * Eight hexadecimal digits that stand for the settings, as far as they show in pods: a pod whose status annotation has
 * others was injected by other settings than these, and restarting it changes its environment.
 */
export function configHash(settings: InjectionSettings): string {
  const { proxyAddress, proxyPort, clusterDomain, namespaceInProxyUrl, envFrom } = settings;
  const family = proxyAddress.by === 'hostIP' ? proxyAddress.family : undefined;
  const shown = [STATUS_VERSION, proxyAddress.by, family, proxyPort, clusterDomain, namespaceInProxyUrl, envFrom];
  return createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 8);
}

/**
 * The status annotation: `{"version":1,"config":"1a2b3c4d","containers":[{"name":"app","env":["NODE_NAME","http_proxy",…]}]}`:
 * by which settings, and all that it takes to find the added variables again.
 */
function statusText(
  before: ReadonlyMap<string, readonly string[]>,
  insertions: readonly EnvInsertion[],
  config: string,
): string {
  const all = new Map(before);
  for (const { container, env } of insertions) {
    all.set(
      container,
      env.map((variable) => variable.name),
    );
  }
  return JSON.stringify({
    version: STATUS_VERSION,
    config,
    containers: [...all].map(([name, env]) => ({ name, env })),
  });
}
