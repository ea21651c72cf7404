import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { PATH, PATH_FORMS, STATUS, STATUS_FORMS } from './telemetry/record-filter.ts';
import { otlpTelemeter, zipkinTelemeter } from './telemetry/tracing/tracing-config.ts';

/** The config's key `telemetry`, linkerd's: a list, each entry of one kind. */

export const fraction = z
  .number({ error: 'give a number from 0 to 1' })
  .min(0, 'give a number from 0 to 1')
  .max(1, 'give a number from 0 to 1');
const name = z.string().min(1, 'give a name');

const rule = z
  .strictObject({
    status: z
      .union([z.string(), z.int()], { error: STATUS_FORMS })
      .transform(String)
      .refine((text) => STATUS.test(text), STATUS_FORMS)
      .optional(),
    minMs: z.number({ error: 'give a number of milliseconds' }).min(0, 'give a number of milliseconds').optional(),
    namespace: name.optional(),
    service: name.optional(),
    method: name.optional(),
    path: z.string().regex(PATH, PATH_FORMS).optional(),
  })
  .refine(
    (keys) => Object.keys(keys).length > 0,
    'give at least one of status, minMs, namespace, service, method, path',
  );

/** What a line may be without: the names of people and programs, and where they are. */
const REDACTABLE = [
  'client_addr',
  'src_pod',
  'host',
  'uri',
  'backend',
  'dst_pod',
  'peer',
  'trace_id',
  'user_agent',
] as const;

const accessLog = z
  .strictObject({
    kind: z.literal('nodemesh.accessLog'),
    sampleRate: fraction.optional(),
    only: z.array(rule).default([]),
    path: z
      .string()
      .refine((text) => text === 'stdout' || isAbsolute(text), 'give an absolute path, or "stdout"')
      .default('stdout'),
    redact: z.array(z.enum(REDACTABLE, { error: `give some of ${REDACTABLE.join(', ')}` })).default([]),
  })
  // Who names rules and no rate wants what they name, and nothing else.
  .transform((log) => ({ ...log, sampleRate: log.sampleRate ?? (log.only.length === 0 ? 1 : 0) }));

/** linkerd's levels, and from which of ours on they are shown. */
const TRACE_LEVELS = {
  TRACE: 'trace',
  ALL: 'trace',
  DEBUG: 'debug',
  INFO: 'info',
  WARNING: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
  FATAL: 'error',
} as const;
const LEVEL_NAMES = Object.keys(TRACE_LEVELS) as (keyof typeof TRACE_LEVELS)[];

const traceLog = z
  .strictObject({
    kind: z.literal('io.l5d.tracelog'),
    sampleRate: fraction.default(1),
    level: z.enum(LEVEL_NAMES, { error: `give one of ${LEVEL_NAMES.join(', ')}` }).default('INFO'),
  })
  .transform((log) => ({ ...log, level: TRACE_LEVELS[log.level] }));

/** linkerd's router key: a file for the requests of one router, in the format of Apache's httpd that is called combined. */
export const httpAccessLog = z.string().refine(isAbsolute, 'give an absolute path').optional();

const REQUESTS = 'give a number of requests, 1 to 1000';
const recentRequests = z.strictObject({
  kind: z.literal('io.l5d.recentRequests'),
  sampleRate: z
    .number({ error: 'required: the part of all requests that is kept, a number from 0 to 1' })
    .pipe(fraction),
  capacity: z.int({ error: REQUESTS }).min(1, REQUESTS).max(1_000, REQUESTS).default(10),
});

const tap = z.strictObject({
  kind: z.literal('nodemesh.tap'),
  redact: z.array(z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'give the name of a header')).default([]),
});

/** Where linkerd's stats are told whatever the config says, as it does. */
export const METRICS_JSON = '/admin/metrics.json';
export const PING = '/admin/ping';
/** A path of the admin server with nothing in it that its router would read otherwise; all else that is served lies elsewhere. */
const ADMIN_PATH = /^\/admin(\/[\w.~-]+)+$/;
const ADMIN_PATH_FORMS = `give a path below /admin/ (letters, digits, ".", "~", "_", "-"), but ${METRICS_JSON} and ${PING}`;

const prometheus = z.strictObject({
  kind: z.literal('io.l5d.prometheus'),
  path: z
    .string()
    .refine((path) => ADMIN_PATH.test(path) && path !== METRICS_JSON && path !== PING, ADMIN_PATH_FORMS)
    .default('/admin/metrics/prometheus'),
  prefix: z
    .string()
    .regex(/^([a-zA-Z_:][a-zA-Z0-9_:]*)?$/, 'give what a metric\'s name may begin with: letters, digits, "_", ":"')
    .default(''),
});

const KINDS = [accessLog, traceLog, recentRequests, tap, otlpTelemeter, zipkinTelemeter, prometheus] as const;
const KIND_NAMES = [
  'nodemesh.accessLog',
  'nodemesh.tap',
  'nodemesh.otlp',
  'io.l5d.zipkin',
  'io.l5d.prometheus',
  'io.l5d.recentRequests',
  'io.l5d.tracelog',
];
/** Sinks of linkerd's that are not here, and what does their work. */
const OTHERS: Readonly<Record<string, string>> = {
  'io.l5d.influxdb': 'InfluxDB reads /metrics with its Prometheus input (Telegraf)',
  'io.l5d.statsd': 'a statsd exporter of Prometheus reads /metrics; leave this out',
};

export const telemetrySchema = z
  .array(
    z.discriminatedUnion('kind', KINDS, {
      error: ({ code, input }) => (code === 'invalid_union' ? unknownKind(input) : undefined),
    }),
    { error: 'give a list, one entry a kind' },
  )
  .superRefine((telemetry, context) => {
    const kept = telemetry.flatMap(({ kind }, i) => (kind === 'io.l5d.recentRequests' ? [i] : []));
    for (const i of kept.slice(1)) {
      context.addIssue({
        code: 'custom',
        path: [i, 'kind'],
        message: 'there is one already, and one list of requests',
      });
    }
    telemetry.forEach((one, i) => {
      if (one.kind !== 'io.l5d.prometheus') return;
      const earlier = telemetry.slice(0, i);
      if (!earlier.some((other) => other.kind === one.kind && other.path === one.path)) return;
      context.addIssue({ code: 'custom', path: [i, 'path'], message: `${one.path} is another one's already` });
    });
  })
  .default([]);

export type TelemetryConfig = z.output<typeof telemetrySchema>[number];
export type AccessLogConfig = z.output<typeof accessLog>;

/** The entries of one kind. */
export function ofKind<Kind extends TelemetryConfig['kind']>(
  telemetry: readonly TelemetryConfig[],
  kind: Kind,
): Extract<TelemetryConfig, { kind: Kind }>[] {
  return telemetry.filter((one): one is Extract<TelemetryConfig, { kind: Kind }> => one.kind === kind);
}

function unknownKind(input: unknown): string {
  const kind = (input as { kind?: unknown } | null)?.kind;
  const instead = typeof kind === 'string' && Object.hasOwn(OTHERS, kind) ? `: ${OTHERS[kind]}` : '';
  return `unknown kind${instead}; known kinds: ${KIND_NAMES.join(', ')}`;
}
