import { z } from 'zod';
import type { ConfigProblem } from '../lib/config-file.ts';
import { DEFAULT_BALANCER } from './balancer/balancer.ts';
import { CLASSIFIER_KINDS } from './router/response-classifier.ts';
import { clientTlsSchema } from './tls-config.ts';

/** linkerd's `routers[].service` and `routers[].client`: what is said of destinations, for all of them or by prefix. */

const known = (what: string, kinds: readonly string[]) => `unknown ${what}; known kinds: ${kinds.join(', ')}`;
const oneOf = <const Kinds extends readonly [string, ...string[]]>(kinds: Kinds) =>
  z.enum(kinds, { error: known('kind', kinds) });
const unknownKind = (kinds: string) => ({
  error: (issue: { readonly code?: string | undefined }) =>
    issue.code === 'invalid_union' ? `unknown kind; known kinds: ${kinds}` : undefined,
});

const milliseconds = z.int({ error: 'give a number of milliseconds' }).min(0, 'give a number of milliseconds');
const timeout = z
  .int({ error: 'give a number of milliseconds, 1 or more' })
  .min(1, 'give a number of milliseconds, 1 or more');

const backoff = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('constant'), ms: milliseconds.default(0) }),
    z
      .strictObject({ kind: z.literal('jittered'), minMs: milliseconds, maxMs: milliseconds })
      .refine(({ minMs, maxMs }) => minMs <= maxMs, { path: ['maxMs'], error: 'give at least minMs' }),
  ],
  unknownKind('constant, jittered'),
);

const retryBudget = z.strictObject({
  // finagle's own bounds
  ttlSecs: z.number({ error: 'give 1 to 60' }).min(1, 'give 1 to 60').max(60, 'give 1 to 60').optional(),
  minRetriesPerSec: z.number({ error: 'give 0 or more' }).min(0, 'give 0 or more').optional(),
  percentCanRetry: z
    .number({ error: 'give a part of the requests: 0.2 allows one retry for five' })
    .min(0, 'give 0 to 1000')
    .max(1_000, 'give 0 to 1000')
    .optional(),
});

const requests = z
  .int({ error: 'give a number of requests, 1 or more' })
  .min(1, 'give a number of requests, 1 or more');
const adaptiveConcurrency = z
  .strictObject({ minLimit: requests.default(5), maxLimit: requests.default(1_000) })
  .refine(({ minLimit, maxLimit }) => minLimit <= maxLimit, { path: ['maxLimit'], error: 'give at least minLimit' });

const serviceKeys = {
  totalTimeoutMs: timeout.optional(),
  retries: z.strictObject({ budget: retryBudget.optional(), backoff: backoff.optional() }).optional(),
  responseClassifier: z.strictObject({ kind: oneOf(CLASSIFIER_KINDS) }).optional(),
  adaptiveConcurrency: adaptiveConcurrency.optional(),
};

const successRate = z
  .number({ error: 'required: a part of the requests, such as 0.9' })
  .min(0, 'give a part of the requests, 0 to 1')
  .max(1, 'give a part of the requests, 0 to 1');

const maxEffort = z.int({ error: 'give a number, 1 or more' }).min(1, 'give a number, 1 or more').optional();
const load = z.number({ error: 'give a number of requests, above 0' }).gt(0, 'give a number of requests, above 0');
const ofAllBalancers = {
  // Accepted, and without effect: what is gone from a Service is never asked.
  enableProbation: z.boolean({ error: 'give true or false' }).optional(),
  slowStartMs: milliseconds.optional(),
};

const count = (least: number) =>
  z.int({ error: `give a number, ${least} or more` }).min(least, `give a number, ${least} or more`);

const clientKeys = {
  failFast: z.boolean({ error: 'give true or false' }).optional(),
  hostConnectionPool: z
    .strictObject({
      minSize: count(0).optional(),
      maxSize: count(1).optional(),
      idleTimeMs: timeout.optional(),
      maxWaiters: count(0).optional(),
    })
    .refine(({ minSize = 0, maxSize = Number.POSITIVE_INFINITY }) => minSize <= maxSize, {
      path: ['maxSize'],
      error: 'give at least minSize',
    })
    .optional(),
  requeueBudget: retryBudget.optional(),
  clientSession: z.strictObject({ idleTimeMs: timeout.optional(), lifeTimeMs: timeout.optional() }).optional(),
  requestAttemptTimeoutMs: timeout.optional(),
  failureAccrual: z
    .discriminatedUnion(
      'kind',
      [
        z.strictObject({
          kind: z.literal('io.l5d.consecutiveFailures'),
          failures: z.int({ error: 'give a number, 1 or more' }).min(1, 'give a number, 1 or more').optional(),
          backoff: backoff.optional(),
        }),
        z.strictObject({
          kind: z.literal('io.l5d.successRate'),
          successRate,
          requests: z.int({ error: 'required: a number of requests' }).min(1, 'give a number, 1 or more'),
          backoff: backoff.optional(),
        }),
        z.strictObject({
          kind: z.literal('io.l5d.successRateWindowed'),
          successRate,
          window: z.number({ error: 'required: a number of seconds' }).min(1, 'give a number of seconds, 1 or more'),
          backoff: backoff.optional(),
        }),
        z.strictObject({ kind: z.literal('none') }),
      ],
      unknownKind('io.l5d.consecutiveFailures, io.l5d.successRate, io.l5d.successRateWindowed, none'),
    )
    .optional(),
  loadBalancer: z
    .discriminatedUnion(
      'kind',
      [
        z.strictObject({ kind: z.literal('ewma'), maxEffort, decayTimeMs: timeout.optional(), ...ofAllBalancers }),
        z.strictObject({ kind: z.literal('p2c'), maxEffort, ...ofAllBalancers }),
        z
          .strictObject({
            kind: z.literal('aperture'),
            maxEffort,
            smoothWindowMs: timeout.optional(),
            lowLoad: load.optional(),
            highLoad: load.optional(),
            minAperture: z.int({ error: 'give a number, 1 or more' }).min(1, 'give a number, 1 or more').optional(),
            ...ofAllBalancers,
          })
          .refine(
            ({ lowLoad = DEFAULT_BALANCER.lowLoad, highLoad = DEFAULT_BALANCER.highLoad }) => lowLoad < highLoad,
            { path: ['highLoad'], error: 'give more than lowLoad' },
          ),
        z.strictObject({ kind: z.literal('heap'), ...ofAllBalancers }),
        z.strictObject({ kind: z.literal('roundRobin'), ...ofAllBalancers }),
      ],
      unknownKind('ewma, p2c, aperture, heap, roundRobin'),
    )
    .optional(),
};

const prefix = z
  .string({ error: 'required: a path such as /svc/world' })
  .refine((text) => /^\/(?:[^/\s]+(?:\/|$))*$/.test(text), 'give a path such as /svc/world; * stands for one segment');

const KINDS = ['io.l5d.global', 'io.l5d.static'] as const;

export const serviceSchema = z.strictObject({
  kind: oneOf(KINDS).default('io.l5d.global'),
  ...serviceKeys,
  configs: z.array(z.strictObject({ prefix, ...serviceKeys })).optional(),
});
export const clientSchema = z.strictObject({
  kind: oneOf(KINDS).default('io.l5d.global'),
  ...clientKeys,
  tls: clientTlsSchema.optional(),
  configs: z.array(z.strictObject({ prefix, ...clientKeys, tls: clientTlsSchema.optional() })).optional(),
});

/** Keys for the destinations that `prefix` matches; undefined: for all. */
export type ServiceConfig = Omit<NonNullable<z.output<typeof serviceSchema>['configs']>[number], 'prefix'> & Scope;
export type ClientConfig = Omit<NonNullable<z.output<typeof clientSchema>['configs']>[number], 'prefix' | 'tls'> &
  Scope;
interface Scope {
  readonly prefix?: string | undefined;
}

/** As one list, of which later entries outdo earlier ones key by key (linkerd's rule). */
export function serviceConfigs({ kind: _, configs, ...all }: z.output<typeof serviceSchema>): ServiceConfig[] {
  return configs ?? [all];
}

/** As `serviceConfigs`. TLS is of the router: tls-config.ts. */
export function clientConfigs({ kind: _, tls: _tls, configs, ...all }: z.output<typeof clientSchema>): ClientConfig[] {
  return configs?.map(({ tls: _ofEntry, ...keys }) => keys) ?? [all];
}

/** Keys that do not go with the kind: `configs` is of io.l5d.static, all others of io.l5d.global. `where`: the config's path. */
export function misplacedKeys(
  where: string,
  config: z.output<typeof serviceSchema> | z.output<typeof clientSchema>,
): ConfigProblem[] {
  const { kind, tls: _, ...keys } = { tls: undefined, ...config };
  const present = Object.entries(keys).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  if (kind === 'io.l5d.static') {
    if (!present.includes('configs')) return [{ where: `${where}.configs`, what: 'required: a list of {prefix, …}' }];
    return present
      .filter((key) => key !== 'configs')
      .map((key) => ({ where: `${where}.${key}`, what: 'with kind io.l5d.static, give it in an entry of configs' }));
  }
  if (!present.includes('configs')) return [];
  return [{ where: `${where}.configs`, what: 'goes with kind: io.l5d.static only' }];
}
