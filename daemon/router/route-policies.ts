import { type FailureAccrualOptions, POD_ACCRUAL } from '../balancer/failure-accrual.ts';
import type { ClientConfig, ServiceConfig } from '../policy-config.ts';
import { ResponseClassifier } from './response-classifier.ts';
import { DEFAULT_POLICY, type RoutePolicy } from './route-policy.ts';

/** More destinations than this are looked up anew each time. */
const MAX_REMEMBERED = 4_096;

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
  const { retryBudget, classifier } = DEFAULT_POLICY;
  const budget = service.retries?.budget;
  return {
    totalTimeoutMs: service.totalTimeoutMs,
    attemptTimeoutMs: client.requestAttemptTimeoutMs,
    retryBudget: {
      ttlSecs: budget?.ttlSecs ?? retryBudget.ttlSecs,
      minRetriesPerSec: (budget?.minRetriesPerSec ?? retryBudget.minRetriesPerSec) / workers,
      percentCanRetry: budget?.percentCanRetry ?? retryBudget.percentCanRetry,
    },
    retryBackoff: service.retries?.backoff,
    classifier:
      service.responseClassifier === undefined ? classifier : new ResponseClassifier(service.responseClassifier.kind),
    failureAccrual: accrualOf(client.failureAccrual),
    balancer: balancerOf(client.loadBalancer),
    adaptiveConcurrency: service.adaptiveConcurrency,
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
