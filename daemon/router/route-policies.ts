import { POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { RetryBudgetOptions } from '../balancer/retry-budget.ts';
import type { ConnectionLimits } from '../client/connector.ts';
import type { ClientConfig, ServiceConfig } from '../policy-config.ts';
import { ResponseClassifier } from './response-classifier.ts';
import { DEFAULT_POLICY, type RoutePolicy } from './route-policy.ts';

/** More destinations than this are looked up anew each time. */
const MAX_REMEMBERED = 4_096;
const NO_LIMIT = Number.POSITIVE_INFINITY;

/** A destination as prefixes name it. */
export interface PolicyTarget {
  /** Empty for what is no Service. */
  readonly namespace: string;
  readonly service: string;
}

/**
 * Which policy a router's `service` and `client` keys make for a destination; for equal destinations the same object.
 * `workers`: how many threads serve, each of which allows its part of the retries that are always allowed.
 */
export function routePolicies(
  config: { readonly service: readonly ServiceConfig[]; readonly client: readonly ClientConfig[] },
  workers = 1,
): (of: PolicyTarget) => RoutePolicy {
  const remembered = new Map<string, RoutePolicy>();
  return (of) => {
    const key = `${of.namespace}/${of.service}`;
    let policy = remembered.get(key);
    if (policy === undefined) {
      policy = policyOf(
        merged(config.service, (prefix) => servicePaths(of).some((path) => hasPrefix(path, prefix))),
        merged(config.client, (prefix) => hasPrefix(clientPath(of), untransformed(prefix))),
        workers,
      );
      if (remembered.size >= MAX_REMEMBERED) remembered.clear();
      remembered.set(key, policy);
    }
    return policy;
  };
}

function policyOf(service: ServiceConfig, client: ClientConfig, workers: number): RoutePolicy {
  const { classifier } = DEFAULT_POLICY;
  return {
    totalTimeoutMs: service.totalTimeoutMs,
    attemptTimeoutMs: client.requestAttemptTimeoutMs,
    retryBudget: budgetOf(service.retries?.budget, DEFAULT_POLICY.retryBudget, workers),
    requeueBudget: budgetOf(client.requeueBudget, DEFAULT_POLICY.requeueBudget, workers),
    retryBackoff: service.retries?.backoff,
    classifier:
      service.responseClassifier === undefined ? classifier : new ResponseClassifier(service.responseClassifier.kind),
    connections: connectionsOf(client, workers),
    failureAccrual: accrualOf(client.failureAccrual),
    balancer: {
      kind: client.loadBalancer?.kind ?? DEFAULT_POLICY.balancer.kind,
      maxEffort: client.loadBalancer?.maxEffort ?? DEFAULT_POLICY.balancer.maxEffort,
      decayTimeMs: client.loadBalancer?.decayTimeMs ?? DEFAULT_POLICY.balancer.decayTimeMs,
    },
  };
}

function budgetOf(
  config: ClientConfig['requeueBudget'],
  standard: RetryBudgetOptions,
  workers: number,
): RetryBudgetOptions {
  return {
    ttlSecs: config?.ttlSecs ?? standard.ttlSecs,
    minRetriesPerSec: (config?.minRetriesPerSec ?? standard.minRetriesPerSec) / workers,
    percentCanRetry: config?.percentCanRetry ?? standard.percentCanRetry,
  };
}

/** Each thread gets its part of the connections, and one at least. */
function connectionsOf(
  { hostConnectionPool: pool, clientSession: session }: ClientConfig,
  workers: number,
): ConnectionLimits | undefined {
  if (pool === undefined && session === undefined) return undefined;
  const { minSize = 0, maxSize = NO_LIMIT, maxWaiters = NO_LIMIT, idleTimeMs: idleMs } = pool ?? {};
  return {
    minSize: Math.ceil(minSize / workers),
    maxSize: Math.max(1, Math.floor(maxSize / workers)),
    maxWaiters: Math.ceil(maxWaiters / workers),
    idleMs,
    sessionIdleMs: session?.idleTimeMs ?? NO_LIMIT,
    lifeMs: session?.lifeTimeMs ?? NO_LIMIT,
  };
}

function accrualOf(config: ClientConfig['failureAccrual']): RoutePolicy['failureAccrual'] {
  if (config === undefined) return POD_ACCRUAL;
  if (config.kind === 'none') return { ...POD_ACCRUAL, failures: Number.POSITIVE_INFINITY };
  const { failures = POD_ACCRUAL.failures, backoff } = config;
  if (backoff === undefined) return { ...POD_ACCRUAL, failures };
  if (backoff.kind === 'constant') return { failures, minMs: backoff.ms, maxMs: backoff.ms };
  return { failures, minMs: backoff.minMs, maxMs: backoff.maxMs };
}

/** Later entries outdo earlier ones, key by key. */
function merged<Config extends { readonly prefix?: string | undefined }>(
  configs: readonly Config[],
  applies: (prefix: string) => boolean,
): Config {
  const result = {} as Config;
  for (const config of configs) {
    if (config.prefix !== undefined && !applies(config.prefix)) continue;
    const said = Object.entries(config).filter(([, value]) => value !== undefined);
    Object.assign(result, Object.fromEntries(said));
  }
  return result;
}

/** Names that a request may give it: linkerd's `/svc/` and the Host. */
function servicePaths({ namespace, service }: PolicyTarget): string[] {
  return namespace === '' ? [`/svc/${service}`] : [`/svc/${service}`, `/svc/${service}.${namespace}`];
}

/** linkerd's client id, `/#/io.l5d.k8s/<namespace>/<port>/<service>`; endpoints of all ports are one here. */
function clientPath({ namespace, service }: PolicyTarget): string {
  return `/#/io.l5d.k8s/${namespace === '' ? '-' : namespace}/*/${service}`;
}

/** Without what a transformer puts before a client id (`/%/io.l5d.k8s.daemonset/…/#/…`). */
function untransformed(prefix: string): string {
  const id = prefix.indexOf('/#/');
  return prefix.startsWith('/%/') && id !== -1 ? prefix.slice(id) : prefix;
}

/** Whether a path begins with a prefix, segment by segment; `*` and `{name}` stand for any one. */
function hasPrefix(path: string, prefix: string): boolean {
  const segments = path.split('/');
  const wanted = prefix.split('/');
  return (
    wanted.length <= segments.length &&
    wanted.every((one, i) => one === '*' || segments[i] === '*' || one === segments[i] || /^\{\w+\}$/.test(one))
  );
}
