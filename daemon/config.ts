import { hostname } from 'node:os';
import { z } from 'zod';
import { parseConfig } from '../lib/config-file.ts';
import { LOG_LEVELS } from '../lib/log.ts';
import { type AdminConfig, adminSchema } from './admin-config.ts';
import { defaultPort, misfits, namersOf, needsKubernetes, roleOf } from './config-checks.ts';
import { ip, isCidr, LOOPBACK, port, required } from './config-values.ts';
import { egressConfig, egressSchema } from './egress-config.ts';
import type { EgressConfig } from './policy/egress-guard.ts';
import type { PolicyMode } from './policy/request-judge.ts';
import {
  type ClientConfig,
  clientConfigs,
  clientSchema,
  misplacedKeys,
  type ServiceConfig,
  serviceConfigs,
  serviceSchema,
} from './policy-config.ts';
import { type TracingConfig, traceForms, tracePropagator, tracingConfig } from './telemetry/tracing/tracing-config.ts';
import { httpAccessLog, ofKind, type TelemetryConfig, telemetrySchema } from './telemetry-config.ts';
import {
  type ClientTlsConfig,
  clientTls,
  misplacedTls,
  type ServerTlsConfig,
  serverTls,
  serverTlsSchema,
} from './tls-config.ts';
import { MAX_WORKERS } from './workers/worker-count.ts';

const BINDING_TIMEOUT_MS = 10_000; // linkerd's default
const CONNECTIONS_PER_CALLER = 8_192; // idle ones take some 9 KB each

const client = z
  .string()
  .refine(
    (text) => text === 'localPods' || text === 'loopback' || isCidr(text),
    'give "localPods", "loopback" or a CIDR such as 10.0.0.0/8',
  );

const daemonsetTransformer = z.strictObject({
  kind: z.literal('io.l5d.k8s.daemonset'),
  namespace: required("the namespace of the daemons' Service, e.g. nodemesh"),
  service: required("the daemons' Service, e.g. nodemesh-daemon"),
  port: required("the name of the daemons' incoming port in that Service, e.g. incoming"),
  hostNetwork: z.boolean().optional(), // linkerd's; pods are always matched to daemons by node name here
  fallback: z.enum(['direct', 'fail'], { error: 'give "direct" or "fail"' }).default('direct'),
});
const localnodeTransformer = z.strictObject({
  kind: z.literal('io.l5d.k8s.localnode'),
  hostNetwork: z.boolean().optional(),
});
const TRANSFORMER_KINDS = 'io.l5d.k8s.daemonset, io.l5d.k8s.localnode';
const transformer = z.discriminatedUnion('kind', [daemonsetTransformer, localnodeTransformer], {
  error: (issue) => (issue.code === 'invalid_union' ? `unknown kind; known kinds: ${TRANSFORMER_KINDS}` : undefined),
});

const server = z.strictObject({
  ip: ip.default(LOOPBACK),
  port: port.optional(),
  allowedClients: z.array(client).optional(),
  clearContext: z.boolean().default(true),
  maxConcurrentRequests: z.int({ error: 'give a number, 1 or more' }).min(1, 'give a number, 1 or more').optional(),
  maxConnectionsPerCaller: z
    .int({ error: 'give a number, 1 or more' })
    .min(1, 'give a number, 1 or more')
    .default(CONNECTIONS_PER_CALLER),
  socketOptions: z.strictObject({ reusePort: z.boolean().default(false) }).prefault({}),
  tls: serverTlsSchema.optional(),
});

const TLS_MODES = ['off', 'permissive', 'required'] as const;
const POLICY_MODES = ['off', 'audit', 'enforce'] as const;

const router = z.strictObject({
  protocol: z.literal('http', { error: 'only "http" is spoken' }),
  label: z.string().min(1).default('http'),
  bindingTimeoutMs: z
    .int({ error: 'give a number of milliseconds, 1 or more' })
    .min(1, 'give a number of milliseconds, 1 or more')
    .default(BINDING_TIMEOUT_MS),
  interpreter: z
    .strictObject({
      kind: z.literal('default', { error: 'only "default" is known' }).default('default'),
      transformers: z.array(transformer).default([]),
    })
    .prefault({}),
  service: serviceSchema.prefault({}),
  client: clientSchema.prefault({}),
  tls: z.enum(TLS_MODES, { error: `give one of ${TLS_MODES.join(', ')}` }).optional(),
  policy: z.enum(POLICY_MODES, { error: `give one of ${POLICY_MODES.join(', ')}` }).default('off'),
  clientHeader: z.boolean().default(false),
  tracePropagator: tracePropagator.optional(),
  httpAccessLog,
  servers: z.array(server).min(1, 'give at least one server, or leave the key out for the default one').prefault([{}]),
});

const namer = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({ kind: z.literal('io.l5d.k8s') }),
    z.strictObject({
      kind: z.literal('io.l5d.fs'),
      rootDir: required('the directory with one file a service, one "host port" a line'),
    }),
  ],
  {
    error: (issue) => (issue.code === 'invalid_union' ? 'unknown kind; known kinds: io.l5d.k8s, io.l5d.fs' : undefined),
  },
);

const WORKERS_FORMS = `give a number of threads, 1 to ${MAX_WORKERS}, or "auto": one for each core`;

/** `daemon.yaml`, as it may be written. */
export const schema = z.strictObject(
  {
    admin: adminSchema,
    workers: z
      .union([z.literal('auto'), z.int().min(1, WORKERS_FORMS).max(MAX_WORKERS, WORKERS_FORMS)], {
        error: WORKERS_FORMS,
      })
      .default(1),
    routers: z.array(router, { error: 'required: a list of at least one router' }).min(1, 'give at least one router'),
    namers: z.array(namer).optional(),
    kubernetes: z.strictObject({ clusterDomain: z.string().min(1).default('cluster.local') }).prefault({}),
    egress: egressSchema,
    telemetry: telemetrySchema,
    logLevel: z.enum(LOG_LEVELS).default('info'),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'a mapping with the key "routers" is wanted' : undefined) },
);

export type TransformerConfig = z.output<typeof transformer>;
export type DaemonsetConfig = z.output<typeof daemonsetTransformer>;

export interface ServerConfig {
  readonly ip: string;
  readonly port: number;
  readonly reusePort: boolean;
  /** Drop linkerd's context headers (`l5d-*`) that applications send; linkerd's key. */
  readonly clearContext: boolean;
  /** Undefined where the config does not say: the role's own default applies. */
  readonly allowedClients: readonly string[] | undefined;
  /** Undefined: no limit. */
  readonly maxConcurrentRequests: number | undefined;
  readonly maxConnectionsPerCaller: number;
  /** TLS by files, whoever connects. */
  readonly tls: ServerTlsConfig | undefined;
}

/** Mutual TLS between daemons: never, where the other side speaks it, or always. */
export type TlsMode = (typeof TLS_MODES)[number];

export interface RouterConfig {
  readonly label: string;
  /** An incoming router takes requests from other daemons and routes to pods of this node; an outgoing one serves those pods. */
  readonly role: 'outgoing' | 'incoming';
  readonly transformers: readonly TransformerConfig[];
  /** What is said of destinations, the last of those that apply counting, key by key. */
  readonly service: readonly ServiceConfig[];
  readonly client: readonly ClientConfig[];
  /** Of an outgoing router: its connections to peers; of an incoming one: those that it accepts. */
  readonly tls: TlsMode;
  /** For a name to be resolved, and a connection to be had, ms. */
  readonly bindingTimeoutMs: number;
  /** What becomes of requests that the cluster's policies forbid. */
  readonly policy: PolicyMode | 'off';
  /** Of an incoming router: applications are told who calls (`mesh-client`). */
  readonly clientHeader: boolean;
  /** How requests that are traced say so, beside traceparent and the forms that they came in: bits of TraceForm. */
  readonly traceForms: number;
  /** A file for lines in Apache's combined format. */
  readonly httpAccessLog: string | undefined;
  /** TLS by files, to peers; `tls` is off then. */
  readonly clientTls: ClientTlsConfig | undefined;
  readonly servers: readonly ServerConfig[];
}

export interface DaemonConfig {
  readonly admin: AdminConfig;
  /** Threads that serve. */
  readonly workers: number | 'auto';
  readonly routers: readonly RouterConfig[];
  /** Directories of io.l5d.fs namers, the first consulted first. */
  readonly fsRootDirs: readonly string[];
  /** Whether names are looked up in Kubernetes. */
  readonly kubernetes: { readonly clusterDomain: string } | undefined;
  readonly egress: EgressConfig;
  readonly telemetry: readonly TelemetryConfig[];
  /** What of it is traces; undefined: nothing is traced. */
  readonly tracing: TracingConfig | undefined;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** How a router speaks to other daemons, for people: a TLS mode, or `files`. */
export function tlsModeOf({ tls, clientTls, servers }: RouterConfig): TlsMode | 'files' {
  return clientTls !== undefined || servers.some((server) => server.tls !== undefined) ? 'files' : tls;
}

/** What the daemon's environment says of where it runs. */
export interface DaemonEnvironment {
  readonly nodeName: string;
  readonly nodeIp: string | undefined;
  readonly podNamespace: string | undefined;
}

/**
 * Reads the daemon's place from its environment (downward API: NODE_NAME, NODE_IP, POD_NAMESPACE). Without NODE_NAME the
 * host's name stands in: it is what a kubelet registers its node under unless told otherwise.
 */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): DaemonEnvironment {
  return {
    nodeName: env.NODE_NAME || hostname().toLowerCase(),
    nodeIp: env.NODE_IP || undefined,
    podNamespace: env.POD_NAMESPACE || undefined,
  };
}

/**
 * Reads a daemon config of linkerd 1.x's shape (DESIGN §3). `file` is only named in messages.
 * Throws ConfigError with every problem found: unknown keys, missing keys, ports used twice, labels used twice.
 */
export function parseDaemonConfig(file: string, text: string, environment: DaemonEnvironment): DaemonConfig {
  const raw = parseConfig(file, text, schema, (config) => [
    ...config.routers.flatMap((r, i) => [
      ...misplacedKeys(`routers[${i}].service`, r.service),
      ...misplacedKeys(`routers[${i}].client`, r.client),
      ...misplacedTls(`routers[${i}]`, r),
    ]),
    ...misfits(config, environment),
  ]);
  const address = (text: string) => (text === 'node' ? (environment.nodeIp ?? LOOPBACK) : text);
  const namers = namersOf(raw);
  return {
    admin: { ...raw.admin, ip: address(raw.admin.ip) },
    workers: raw.workers,
    routers: raw.routers.map((r) => ({
      label: r.label,
      role: roleOf(r),
      transformers: r.interpreter.transformers,
      service: serviceConfigs(r.service),
      client: clientConfigs(r.client),
      tls: r.tls ?? 'off',
      clientTls: clientTls(r.client),
      bindingTimeoutMs: r.bindingTimeoutMs,
      policy: r.policy,
      clientHeader: r.clientHeader,
      traceForms: traceForms(r.tracePropagator),
      httpAccessLog: r.httpAccessLog,
      servers: r.servers.map((s) => ({
        ip: address(s.ip),
        port: s.port ?? defaultPort(r),
        reusePort: s.socketOptions.reusePort,
        clearContext: s.clearContext,
        allowedClients: s.allowedClients,
        maxConcurrentRequests: s.maxConcurrentRequests,
        maxConnectionsPerCaller: s.maxConnectionsPerCaller,
        tls: serverTls(s.tls),
      })),
    })),
    // linkerd consults the namer that is declared last first.
    fsRootDirs: namers.flatMap((n) => (n.kind === 'io.l5d.fs' ? [n.rootDir] : [])).reverse(),
    kubernetes: needsKubernetes(raw) ? raw.kubernetes : undefined,
    egress: egressConfig(raw.egress),
    telemetry: raw.telemetry,
    tracing: tracingConfig([...ofKind(raw.telemetry, 'io.l5d.zipkin'), ...ofKind(raw.telemetry, 'nodemesh.otlp')]),
    logLevel: raw.logLevel,
  };
}

/** As the schema gives it. */
export type RawConfig = z.output<typeof schema>;
