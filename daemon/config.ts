import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';
import { type ConfigProblem, parseConfig } from '../lib/config-file.ts';
import { LOG_LEVELS } from '../lib/log.ts';
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
import {
  type ClientTlsConfig,
  clientTls,
  misplacedTls,
  type ServerTlsConfig,
  serverTls,
  serverTlsSchema,
} from './tls-config.ts';
import { MAX_WORKERS } from './workers/worker-count.ts';

/** Ports that a router listens on where its config names none (DESIGN §3). */
const OUTGOING_PORT = 4140;
const INCOMING_PORT = 4141;
const ADMIN_PORT = 9990;
const LOOPBACK = '127.0.0.1'; // linkerd's own default for every `ip`
const BINDING_TIMEOUT_MS = 10_000; // linkerd's default
const CONNECTIONS_PER_CALLER = 8_192; // idle ones take some 9 KB each
const SHUTDOWN_GRACE_MS = 10_000; // linkerd's default

const required = (what: string) => z.string({ error: `required: ${what}` }).min(1, `required: ${what}`);

const ip = z
  .string()
  .refine((text) => text === 'node' || isIP(text) !== 0, 'give an IP address, or "node" for the address in NODE_IP');
const port = z
  .int({ error: 'give a port number, 0 to 65535' })
  .min(0, 'give a port number, 0 to 65535')
  .max(65_535, 'give a port number, 0 to 65535');

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

const EGRESS_FORMS = 'give "allow", "deny", or a mapping with the keys default and allow';
const egressDefault = z.enum(['allow', 'deny'], { error: 'give "allow" or "deny"' });
const egress = z.strictObject({
  default: egressDefault.default('deny'),
  allow: z
    .array(
      z.string().refine(isDestination, 'give a name such as api.example.com or *.example.com, an address, or a CIDR'),
    )
    .default([]),
  parentProxy: z
    .string()
    .refine((text) => parseHostPort(text) !== undefined, 'give host:port of the proxy, e.g. proxy.example.com:3128')
    .transform((text) => parseHostPort(text))
    .optional(),
});

const WORKERS_FORMS = `give a number of threads, 1 to ${MAX_WORKERS}, or "auto": one for each core`;

const schema = z.strictObject(
  {
    admin: z
      .strictObject({
        ip: ip.default(LOOPBACK),
        port: port.default(ADMIN_PORT),
        shutdownGraceMs: z.int().min(0).default(SHUTDOWN_GRACE_MS),
      })
      .prefault({}),
    workers: z
      .union([z.literal('auto'), z.int().min(1, WORKERS_FORMS).max(MAX_WORKERS, WORKERS_FORMS)], {
        error: WORKERS_FORMS,
      })
      .default(1),
    routers: z.array(router, { error: 'required: a list of at least one router' }).min(1, 'give at least one router'),
    namers: z.array(namer).optional(),
    kubernetes: z.strictObject({ clusterDomain: z.string().min(1).default('cluster.local') }).prefault({}),
    egress: z.union([egressDefault, egress], { error: EGRESS_FORMS }).default('allow'),
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
  /** TLS by files, to peers; `tls` is off then. */
  readonly clientTls: ClientTlsConfig | undefined;
  readonly servers: readonly ServerConfig[];
}

export interface DaemonConfig {
  readonly admin: { readonly ip: string; readonly port: number; readonly shutdownGraceMs: number };
  /** Threads that serve. */
  readonly workers: number | 'auto';
  readonly routers: readonly RouterConfig[];
  /** Directories of io.l5d.fs namers, the first consulted first. */
  readonly fsRootDirs: readonly string[];
  /** Whether names are looked up in Kubernetes. */
  readonly kubernetes: { readonly clusterDomain: string } | undefined;
  readonly egress: EgressConfig;
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
    ...duplicateLabels(config),
    ...duplicatePorts(config),
    ...policyWithoutCallers(config),
    ...misplacedClientHeaders(config),
    ...unknownNodeAddress(config, environment),
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
      clientTls: clientTls(r.client.tls),
      bindingTimeoutMs: r.bindingTimeoutMs,
      policy: r.policy,
      clientHeader: r.clientHeader,
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
    egress: typeof raw.egress === 'string' ? { default: raw.egress, allow: [] } : raw.egress,
    logLevel: raw.logLevel,
  };
}

type RawConfig = z.output<typeof schema>;
type RawRouter = RawConfig['routers'][number];

function namersOf(config: RawConfig): NonNullable<RawConfig['namers']> {
  return config.namers ?? [{ kind: 'io.l5d.k8s' as const }];
}

function needsKubernetes(config: RawConfig): boolean {
  return (
    namersOf(config).some((n) => n.kind === 'io.l5d.k8s') ||
    config.routers.some((r) => r.interpreter.transformers.length > 0)
  );
}

function roleOf(r: RawRouter): 'outgoing' | 'incoming' {
  const local = r.interpreter.transformers.some((t) => t.kind === 'io.l5d.k8s.localnode');
  return local || r.label === 'incoming' ? 'incoming' : 'outgoing';
}

function defaultPort(r: RawRouter): number {
  return roleOf(r) === 'incoming' ? INCOMING_PORT : OUTGOING_PORT;
}

function duplicateLabels(config: RawConfig): ConfigProblem[] {
  const seen = new Map<string, number>();
  return config.routers.flatMap((r, i) => {
    const first = seen.get(r.label);
    if (first === undefined) {
      seen.set(r.label, i);
      return [];
    }
    return [
      {
        where: `routers[${i}].label`,
        what: `"${r.label}" is already the label of routers[${first}]; give each router its own`,
      },
    ];
  });
}

function duplicatePorts(config: RawConfig): ConfigProblem[] {
  const listeners = [
    { where: 'admin.port', ip: config.admin.ip, port: config.admin.port },
    ...config.routers.flatMap((r, i) =>
      r.servers.map((s, j) => ({
        where: `routers[${i}].servers[${j}].port`,
        ip: s.ip,
        port: s.port ?? defaultPort(r),
      })),
    ),
  ];
  return listeners.flatMap((one, i) => {
    const taken = listeners
      .slice(0, i)
      .find((other) => other.port === one.port && one.port !== 0 && overlap(other.ip, one.ip));
    if (taken === undefined) return [];
    return [
      {
        where: one.where,
        what: `port ${one.port} is already taken by ${taken.where}; give each listener its own port`,
      },
    ];
  });
}

/** Policies speak of pods: whoever cannot tell them by their addresses can enforce nothing. */
function policyWithoutCallers(config: RawConfig): ConfigProblem[] {
  const masked = config.routers.flatMap((r, i) =>
    r.servers.flatMap(({ allowedClients }, j) =>
      roleOf(r) === 'outgoing' && allowedClients?.includes('localPods') === false
        ? [`routers[${i}].servers[${j}].allowedClients`]
        : [],
    ),
  );
  return config.routers.flatMap((r, i) => {
    const where = `routers[${i}].policy`;
    if (r.policy !== 'off' && !needsKubernetes(config)) {
      return [{ where, what: "policies are the cluster's, and this config reads no cluster: give off" }];
    }
    if (r.policy !== 'enforce' || masked.length === 0) return [];
    const what = `enforce tells pods by their own addresses, and ${masked.join(', ')} does without: a hostPort, for one, hides them behind the node's (overlay host-port). List localPods there, or give audit or off`;
    return [{ where, what }];
  });
}

function misplacedClientHeaders(config: RawConfig): ConfigProblem[] {
  return config.routers.flatMap((r, i) =>
    r.clientHeader && (roleOf(r) === 'outgoing' || !needsKubernetes(config))
      ? [{ where: `routers[${i}].clientHeader`, what: 'goes with the incoming router of a cluster only' }]
      : [],
  );
}

function overlap(a: string, b: string): boolean {
  const wildcard = (text: string) => text === '0.0.0.0' || text === '::';
  return a === b || wildcard(a) || wildcard(b);
}

function unknownNodeAddress(config: RawConfig, environment: DaemonEnvironment): ConfigProblem[] {
  if (environment.nodeIp !== undefined && isIP(environment.nodeIp) !== 0) return [];
  const what = `"node" needs the node's address in NODE_IP (downward API: status.hostIP), which is ${
    environment.nodeIp === undefined ? 'not set' : `"${environment.nodeIp}"`
  }`;
  const places = config.routers.flatMap((r, i) =>
    r.servers.flatMap((s, j) => (s.ip === 'node' ? [`routers[${i}].servers[${j}].ip`] : [])),
  );
  return [...(config.admin.ip === 'node' ? ['admin.ip'] : []), ...places].map((where) => ({ where, what }));
}

function parseHostPort(text: string): { host: string; port: number } | undefined {
  const match = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([0-9a-z._-]+)):(\d{1,5})\/?$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function isDestination(text: string): boolean {
  return isIP(text) !== 0 || isCidr(text) || /^(?:\*\.)?[0-9a-z_-]+(?:\.[0-9a-z_-]+)*$/i.test(text);
}

function isCidr(text: string): boolean {
  const [address, prefix, ...rest] = text.split('/');
  const family = isIP(address ?? '');
  if (family === 0 || rest.length > 0) return false;
  return prefix !== undefined && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128);
}
