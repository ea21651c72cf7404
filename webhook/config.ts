import { isIP } from 'node:net';
import { z } from 'zod';
import { type AccessModes, accessSchema } from '../lib/admin-access.ts';
import { parseConfig } from '../lib/config-file.ts';
import { LOG_LEVELS } from '../lib/log.ts';

const HTTPS_PORT = 8443;
const ADMIN_PORT = 8080;
const OUTGOING_PORT = 4140; // the daemon's
/** An API server goes on using its connections to a pod that is going away until it hears of it (kubernetes#127335). */
const DRAIN_SECONDS = 10;
const MAX_DRAIN_SECONDS = 300;

const A_PORT = 'give a port number, 0 to 65535';
const port = z.int({ error: A_PORT }).min(0, A_PORT).max(65_535, A_PORT);
const ip = z
  .string()
  .refine((text) => text === 'pod' || isIP(text) !== 0, 'give an IP address, or "pod" for the address in POD_IP');

/** `webhook.yaml`, as it may be written. */
export const schema = z.strictObject(
  {
    proxyAddress: z
      .enum(['auto', 'nodeName', 'hostIP'], { error: 'give "auto", "nodeName" or "hostIP"' })
      .default('auto'),
    proxyPort: port.min(1, 'give a port number, 1 to 65535').default(OUTGOING_PORT),
    clusterDomain: z
      .string()
      .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'give a domain such as cluster.local')
      .default('cluster.local'),
    namespaceInProxyUrl: z.boolean({ error: 'give true or false' }).default(false),
    envFrom: z.enum(['inject', 'skip'], { error: 'give "inject" or "skip"' }).default('inject'),
    servingCertificate: z
      .enum(['selfMade', 'provided'], { error: 'give "selfMade" or "provided"' })
      .default('selfMade'),
    drainSeconds: z
      .number({ error: `give a number of seconds, 0 to ${MAX_DRAIN_SECONDS}` })
      .min(0, `give a number of seconds, 0 to ${MAX_DRAIN_SECONDS}`)
      .max(MAX_DRAIN_SECONDS, `give a number of seconds, 0 to ${MAX_DRAIN_SECONDS}`)
      .default(DRAIN_SECONDS),
    https: z.strictObject({ ip: ip.optional(), port: port.default(HTTPS_PORT) }).prefault({}),
    admin: z.strictObject({ ip: ip.optional(), port: port.default(ADMIN_PORT), access: accessSchema }).prefault({}),
    logLevel: z.enum(LOG_LEVELS, { error: `give one of ${LOG_LEVELS.join(', ')}` }).default('info'),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'a mapping of keys to values is wanted' : undefined) },
);

export interface ListenAddress {
  /** Undefined: every address of the machine. */
  readonly ip: string | undefined;
  readonly port: number;
}

export interface WebhookConfig {
  readonly proxyAddress: 'auto' | 'nodeName' | 'hostIP';
  readonly proxyPort: number;
  readonly clusterDomain: string;
  readonly namespaceInProxyUrl: boolean;
  /** What becomes of containers with envFrom, from where a proxy of their own may come. */
  readonly envFrom: 'inject' | 'skip';
  /** Whose: of a CA of the webhook's own, or made by others, in Secret nodemesh-webhook-serving. */
  readonly servingCertificate: 'selfMade' | 'provided';
  readonly drainSeconds: number;
  readonly https: ListenAddress;
  /** `access`: who may read, where `ip` is not loopback. */
  readonly admin: ListenAddress & { readonly access: AccessModes };
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** What the webhook's environment says of where it runs (downward API: POD_NAME, POD_NAMESPACE, POD_IP). */
export interface WebhookEnvironment {
  readonly podName: string;
  readonly podNamespace: string;
  readonly podIp: string | undefined;
}

/** Reads the webhook's place from its environment; without POD_NAMESPACE the namespace is the one of the manifests. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): WebhookEnvironment {
  return {
    podName: env.POD_NAME || 'nodemesh-webhook',
    podNamespace: env.POD_NAMESPACE || 'nodemesh',
    podIp: env.POD_IP || undefined,
  };
}

/**
 * Reads a webhook config (YAML text; `file` is only named in messages). Every key has a default.
 * Throws ConfigError with every problem found.
 */
export function parseWebhookConfig(file: string, text: string, environment: WebhookEnvironment): WebhookConfig {
  const raw = parseConfig(file, text, schema, (config) => [
    ...(['https', 'admin'] as const).flatMap((key) =>
      config[key].ip === 'pod' && isIP(environment.podIp ?? '') === 0
        ? [{ where: `${key}.ip`, what: '"pod" needs the pod\'s address in POD_IP (downward API: status.podIP)' }]
        : [],
    ),
    ...(config.https.port !== 0 && config.https.port === config.admin.port && overlap(config.https.ip, config.admin.ip)
      ? [{ where: 'admin.port', what: `port ${config.admin.port} is already taken by https.port; give each its own` }]
      : []),
  ]);
  const listen = ({ ip, port }: { ip?: string | undefined; port: number }): ListenAddress => ({
    ip: ip === 'pod' ? environment.podIp : ip,
    port,
  });
  return { ...raw, https: listen(raw.https), admin: { ...listen(raw.admin), access: raw.admin.access } };
}

function overlap(a: string | undefined, b: string | undefined): boolean {
  const every = (text: string | undefined) => text === undefined || text === '0.0.0.0' || text === '::';
  return a === b || every(a) || every(b);
}
