import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse, stringify } from 'yaml';
import { type CpuList, PROXY_CPU, type Processes } from './processes.ts';

/** Where a pod's service account is; only a kubelet could put anything there. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const CONFIG = 'manifests/base/config/daemon.yaml';
const DAEMON_SET = 'manifests/base/daemon/daemon-set.yaml';

export interface DiscoveryDaemon {
  readonly pid: number;
  readonly port: number;
  readonly adminPort: number;
  /** When it was started, on performance.now's clock. */
  readonly startedAt: number;
  stop(): void;
}

interface Config {
  readonly admin: { port: number };
  readonly routers: readonly { tls?: string; readonly servers: readonly { port: number }[] }[];
  workers?: number;
}

/**
 * Starts a daemon with the config and the service account that it has in a pod, of a cluster whose API server is
 * https://localhost at `apiPort`. Settles when its admin server listens, long before it has read the cluster.
 */
export async function startDiscoveryDaemon(
  processes: Processes,
  main: string,
  place: {
    readonly dir: string;
    readonly root: string;
    readonly apiPort: number;
    readonly ca: string;
    readonly nodeName: string;
    readonly ports: readonly [port: number, incoming: number, admin: number];
    readonly workers: number;
    readonly cpu?: CpuList;
    readonly nodeArgs?: readonly string[];
  },
): Promise<DiscoveryDaemon> {
  const { dir, root, apiPort, ca, nodeName, workers, nodeArgs = [] } = place;
  const [port, incoming, adminPort] = place.ports;
  const own = join(dir, `discovery-${port}`);
  mkdirSync(own, { recursive: true });
  const parsed = parse(readFileSync(join(root, CONFIG), 'utf8')) as Config;
  parsed.admin.port = adminPort;
  for (const [i, router] of parsed.routers.entries()) {
    router.tls = 'off'; // nobody signs here, and the probe is of the daemon's own node
    for (const server of router.servers) server.port = [port, incoming][i] ?? 0;
  }
  if (workers > 1) parsed.workers = workers;
  const config = join(own, 'daemon.yaml');
  writeFileSync(config, stringify(parsed));
  writeFileSync(join(own, 'token'), 'token');
  writeFileSync(join(own, 'ca.crt'), ca);
  const preload = join(own, 'service-account.mjs');
  writeFileSync(preload, redirection(own));
  const env = {
    ...settings(readFileSync(join(root, DAEMON_SET), 'utf8')),
    NODE_NAME: nodeName,
    NODE_IP: '127.0.0.1',
    POD_NAMESPACE: 'nodemesh',
    KUBECONFIG: '',
    KUBERNETES_SERVICE_HOST: 'localhost',
    KUBERNETES_SERVICE_PORT: String(apiPort),
  };
  const startedAt = performance.now();
  const args = [...nodeArgs, '--import', pathToFileURL(preload).href, main, config];
  const child = processes.start(process.execPath, args, { cpu: place.cpu ?? PROXY_CPU, env });
  const pid = await processes.listening(child, adminPort);
  return { pid, port, adminPort, startedAt, stop: () => child.kill() };
}

/** The variables of a DaemonSet's container that have a value of their own. */
function settings(manifest: string): Record<string, string> {
  const { spec } = parse(manifest) as {
    spec: { template: { spec: { containers: readonly { env: readonly { name: string; value?: string }[] }[] } } };
  };
  const env = spec.template.spec.containers[0]?.env ?? [];
  return Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])));
}

/** A module that has the daemon read its service account from `dir`. JavaScript: stripping types would cost memory that is measured. */
function redirection(dir: string): string {
  return `import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
const moved = (path) => (String(path).startsWith('${SERVICE_ACCOUNT}/') ? '${dir}/' + String(path).slice(${SERVICE_ACCOUNT.length + 1}) : path);
for (const name of ['readFileSync', 'existsSync']) {
  const original = fs[name];
  fs[name] = (path, ...rest) => original(moved(path), ...rest);
}
syncBuiltinESMExports();
`;
}
