import { type FailureAccrualOptions, POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { RetryBudgetOptions } from '../balancer/retry-budget.ts';
import type { ConnectionLimits } from '../client/connector.ts';
import type { RouterConfig, TransformerConfig } from '../config.ts';
import type { ClientConfig, ServiceConfig } from '../policy-config.ts';
import { hasPrefix } from './path-prefix.ts';
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
  /** The name outside the cluster that it is, where it is asked for there. */
  readonly outside?: { readonly host: string; readonly port: number } | undefined;
}

/**
 * Which policy a router's `service` and `client` keys make for a destination; for equal destinations the same object.
 * `workers`: how many threads serve, each of which allows its part of the retries that are always allowed.
 */
export function routePolicies(
  config: Pick<RouterConfig, 'service' | 'client' | 'transformers'>,
  { workers = 1, clusterDomain = 'cluster.local' }: { workers?: number; clusterDomain?: string | undefined } = {},
): (of: PolicyTarget) => RoutePolicy {
  const remembered = new Map<string, RoutePolicy>();
  return (of) => {
    const { namespace, service, outside } = of;
    const key = outside === undefined ? `${namespace}/${service}` : `${outside.host}:${outside.port}`;
    let policy = remembered.get(key);
    if (policy === undefined) {
      policy = policyOf(
        merged(config.service, (prefix) => servicePaths(of, clusterDomain).some((path) => hasPrefix(path, prefix))),
        merged(config.client, (prefix) => {
          const wanted = [prefix, untransformed(prefix)];
          return clientPaths(of, config.transformers).some((path) => wanted.some((one) => hasPrefix(path, one)));
        }),
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
    failFast: client.failFast ?? DEFAULT_POLICY.failFast,
    balancer: balancerOf(client.loadBalancer),
    adaptiveConcurrency: service.adaptiveConcurrency,
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

function balancerOf(config: ClientConfig['loadBalancer']): RoutePolicy['balancer'] {
  if (config === undefined) return DEFAULT_POLICY.balancer;
  const { enableProbation: _, ...said } = config;
  return { ...DEFAULT_POLICY.balancer, ...(said as Partial<RoutePolicy['balancer']>) };
}

function accrualOf(config: ClientConfig['failureAccrual']): RoutePolicy['failureAccrual'] {
  if (config === undefined) return POD_ACCRUAL;
  if (config.kind === 'none') return { ...POD_ACCRUAL, failures: Number.POSITIVE_INFINITY };
  return { ...pausesOf(config.backoff), ...badnessOf(config) };
}

type SaidAccrual = Exclude<NonNullable<ClientConfig['failureAccrual']>, { kind: 'none' }>;

function badnessOf(config: SaidAccrual): Pick<FailureAccrualOptions, 'failures' | 'successRate'> {
  if (config.kind === 'io.l5d.consecutiveFailures') return { failures: config.failures ?? POD_ACCRUAL.failures };
  const over = config.kind === 'io.l5d.successRate' ? { requests: config.requests } : { ms: config.window * 1_000 };
  return { failures: Number.POSITIVE_INFINITY, successRate: { least: config.successRate, over } };
}

function pausesOf(backoff: SaidAccrual['backoff']): Pick<FailureAccrualOptions, 'minMs' | 'maxMs'> {
  if (backoff === undefined) return { minMs: POD_ACCRUAL.minMs, maxMs: POD_ACCRUAL.maxMs };
  if (backoff.kind === 'constant') return { minMs: backoff.ms, maxMs: backoff.ms };
  return { minMs: backoff.minMs, maxMs: backoff.maxMs };
}

/** Later entries outdo earlier ones, key by key; the keys within `retries` are apart (they are two parameters in linkerd). */
function merged<Config extends { readonly prefix?: string | undefined }>(
  configs: readonly Config[],
  applies: (prefix: string) => boolean,
): Config {
  const result: Record<string, unknown> = {};
  for (const config of configs) {
    if (config.prefix !== undefined && !applies(config.prefix)) continue;
    for (const [key, value] of Object.entries<unknown>({ ...config })) {
      if (value === undefined) continue;
      result[key] = key === 'retries' ? { ...(result[key] ?? {}), ...(value as object) } : value;
    }
  }
  return result as Config;
}

/** Names that a request may give it: linkerd's `/svc/` and the Host. */
function servicePaths({ namespace, service, outside }: PolicyTarget, clusterDomain: string): string[] {
  if (outside !== undefined) return [`/svc/${outside.host}`, `/svc/${outside.host}:${outside.port}`];
  if (namespace === '') return [`/svc/${service}`];
  const full = `/svc/${service}.${namespace}.svc`;
  return [`/svc/${service}`, `/svc/${service}.${namespace}`, full, `${full}.${clusterDomain}`];
}

/** linkerd's client ids: as its namer makes it, endpoints of all ports being one here, and with what transformers put before. */
function clientPaths(
  { namespace, service, outside }: PolicyTarget,
  transformers: readonly TransformerConfig[],
): string[] {
  let id = `/#/io.l5d.k8s/${namespace}/*/${service}`;
  if (outside !== undefined) id = `/$/inet/${outside.host}/${outside.port}`;
  else if (namespace === '') id = `/#/io.l5d.fs/${service}`;
  return [id, transformers.reduce((inner, transformer) => transformerPrefix(transformer) + inner, id)];
}

function transformerPrefix(transformer: TransformerConfig): string {
  if (transformer.kind === 'io.l5d.k8s.localnode') return `/%/${transformer.kind}/*`;
  const { kind, namespace, port, service } = transformer;
  return `/%/${kind}/${namespace}/${port}/${service}`;
}

/** Without what a transformer puts before a client id (`/%/io.l5d.k8s.daemonset/…/#/…`): which one it is need not be said rightly. */
function untransformed(prefix: string): string {
  const id = prefix.search(/\/[#$]\//);
  return prefix.startsWith('/%/') && id !== -1 ? prefix.slice(id) : prefix;
}
