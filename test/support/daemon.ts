import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningDaemon, startDaemon } from '../../daemon/app.ts';
import { type DaemonEnvironment, parseDaemonConfig } from '../../daemon/config.ts';
import type { KubernetesApi } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';

export interface TestDaemon extends RunningDaemon {
  /** The port of a router's first listener. */
  port(label: string): number;
  metrics(): Promise<string>;
}

export const TEST_ENVIRONMENT: DaemonEnvironment = { nodeName: 'node-1', nodeIp: undefined, podNamespace: undefined };

export interface TestDaemonOptions {
  readonly environment?: DaemonEnvironment | undefined;
  readonly loadApi?: (() => Promise<KubernetesApi>) | undefined;
  readonly now?: (() => number) | undefined;
  readonly workers?: number | undefined;
  readonly workerEntry?: URL | undefined;
  readonly onWorkerLost?: ((error: Error) => void) | undefined;
}

const WORKER_ENTRY = new URL('../../daemon/workers/worker.ts', import.meta.url);
const lost = (error: Error) => {
  throw error;
};

const noKubernetes = () => Promise.reject(new Error('no Kubernetes in this test'));

/** Runs a whole daemon in this process from a config text. */
export async function runDaemon(config: string, options: TestDaemonOptions = {}): Promise<TestDaemon> {
  const { environment = TEST_ENVIRONMENT, loadApi = noKubernetes, now = () => performance.now() } = options;
  const daemon = await startDaemon({
    config: parseDaemonConfig('test.yaml', config, environment),
    environment,
    workers: options.workers ?? 1,
    workerEntry: options.workerEntry ?? WORKER_ENTRY,
    onWorkerLost: options.onWorkerLost ?? lost,
    loadApi,
    log: createLog('test', 'silent'),
    now,
    cpuMs: options.now, // whoever makes time pass makes it pass in work
    wallClock: Date.now,
    random: Math.random,
  });
  return Object.assign(daemon, {
    port: (label: string) => daemon.listening[label]?.[0]?.port ?? 0,
    metrics: async () => (await fetch(`http://${daemon.admin.ip}:${daemon.admin.port}/metrics`)).text(),
  });
}

export interface DiscoDaemon {
  readonly daemon: TestDaemon;
  readonly port: number;
  /** Sets the endpoints of a name: `host port` each. */
  set(name: string, ...endpoints: string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface DiscoDaemonOptions {
  readonly routerKeys?: string;
  readonly serverKeys?: string;
  /** Of the whole: lines of YAML. */
  readonly keys?: string;
  readonly now?: () => number;
  readonly workers?: number;
  readonly workerEntry?: URL;
}

/**
 * Runs a daemon with one outgoing router over a directory of endpoint files, without Kubernetes. `routerKeys` and `serverKeys`
 * are added to its config (flow style YAML: `service: {…}, client: {…}`).
 */
export async function runDiscoDaemon(
  names: Readonly<Record<string, readonly string[]>>,
  { routerKeys = '', serverKeys = '', keys = '', ...options }: DiscoDaemonOptions = {},
): Promise<DiscoDaemon> {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-disco-'));
  const set = (name: string, ...endpoints: string[]) => writeFile(join(dir, name), `${endpoints.join('\n')}\n`);
  for (const [name, endpoints] of Object.entries(names)) await set(name, ...endpoints);
  const daemon = await runDaemon(
    `admin: {port: 0, shutdownGraceMs: 500}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0, ${serverKeys}}], ${routerKeys}}]
${keys}`,
    options,
  );
  return {
    daemon,
    port: daemon.port('outgoing'),
    set,
    async stop() {
      await daemon.stop();
      await rm(dir, { recursive: true });
    },
  };
}

/** The value of a series in Prometheus text; 0 where it is not there. `labels` must all be among the series' own. */
export function metricValue(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue;
    if (!Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`))) continue;
    sum += Number(line.slice(line.lastIndexOf(' ') + 1));
  }
  return sum;
}
