import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { delimiter } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { Credentials, ServerAccess } from './credentials.ts';

interface Named {
  readonly name: string;
}

interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly (Named & { readonly context: { readonly cluster: string } })[];
  readonly clusters?: readonly (Named & { readonly cluster: { readonly server?: string } })[];
}

/**
 * Access as a kubeconfig gives it. Takes `KUBECONFIG` (files joined with the system's path delimiter, the first that
 * names a thing wins). Throws an Error naming the file and what it lacks. Client certificates, tokens and login commands are left to
 * @kubernetes/client-node, which is loaded at the first request: it costs 43 MB, and a pod in the cluster needs none of it.
 */
export function kubeconfigAccess(paths: string): ServerAccess {
  const files = paths.split(delimiter).filter((path) => path !== '');
  const present = files.filter((file) => existsSync(file));
  if (present.length === 0) throw new Error(`kubeconfig ${files.join(', ')}: no such file`);
  const server = currentServer(present);
  let login: Promise<(renew: boolean) => Promise<Credentials>> | undefined;
  return {
    server,
    credentials: async (renew) => {
      login ??= loginWith(present);
      return (await login)(renew);
    },
  };
}

function currentServer(files: readonly string[]): URL {
  const where = files.join(', ');
  const configs = files.map(readKubeconfig);
  const contextName = configs.map((config) => config['current-context'] ?? '').find((name) => name !== '');
  if (contextName === undefined) throw new Error(`kubeconfig ${where}: it has no current-context`);
  const byName = (name: string) => (entry: Named) => entry.name === name;
  const context = configs.flatMap(({ contexts }) => contexts ?? []).find(byName(contextName));
  if (context === undefined)
    throw new Error(`kubeconfig ${where}: its current-context "${contextName}" does not exist`);
  const { cluster: clusterName } = context.context;
  const cluster = configs.flatMap(({ clusters }) => clusters ?? []).find(byName(clusterName));
  if (cluster === undefined) throw new Error(`kubeconfig ${where}: there is no cluster "${clusterName}"`);
  const { server = '' } = cluster.cluster;
  if (!URL.canParse(server))
    throw new Error(`kubeconfig ${where}: cluster "${clusterName}": server "${server}" is no URL`);
  return new URL(server);
}

function readKubeconfig(file: string): Kubeconfig {
  try {
    return (parseYaml(readFileSync(file, 'utf8')) ?? {}) as Kubeconfig;
  } catch (error) {
    throw new Error(`kubeconfig ${file}: ${error instanceof Error ? error.message : error}`);
  }
}

async function loginWith(files: readonly string[]): Promise<(renew: boolean) => Promise<Credentials>> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const load = () => {
    const [first, ...others] = files.map((file) => {
      const config = new KubeConfig();
      config.loadFromFile(file);
      // The library takes plain HTTP for a mistake unless told that nothing is to be verified, and there nothing is.
      config.clusters = config.clusters.map((c) => (c.server.startsWith('http:') ? { ...c, skipTLSVerify: true } : c));
      return config;
    });
    if (first === undefined) throw new Error('no kubeconfig was given');
    for (const other of others) {
      other.clusters = other.clusters.filter(({ name }) => first.getCluster(name) === null);
      other.users = other.users.filter(({ name }) => first.getUser(name) === null);
      other.contexts = other.contexts.filter(({ name }) => first.getContextObject(name) === null);
      first.mergeConfig(other, Boolean(first.currentContext));
    }
    return first;
  };
  let config = load();
  return async (renew) => {
    // A config that is loaded anew has no cached token, and the files of today.
    if (renew) config = load();
    const options: RequestOptions = { headers: {} };
    await config.applyToHTTPSOptions(options);
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername, auth, agent } = options;
    const tls = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
    const basic = auth ? { authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
    const viaProxy = config.getCurrentCluster()?.proxyUrl !== undefined && typeof agent === 'object';
    return {
      headers: { ...basic, ...lowerCased(options.headers) },
      tls: Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined)),
      ...(viaProxy ? { proxy: agent } : {}),
    };
  };
}

function lowerCased(headers: RequestOptions['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]));
}
