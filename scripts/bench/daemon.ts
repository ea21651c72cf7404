import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CpuList, PROXY_CPU, type Processes } from './processes.ts';

/**
 * Where the daemon of a working tree starts: the bundle that its image carries, made anew, or its source where the tree has
 * no build. Throws with the build's output where that fails.
 */
export function buildDaemon(tree: string): string {
  const build = join(tree, 'scripts/build.ts');
  if (!existsSync(build)) return join(tree, 'daemon/main.ts');
  const { status, stderr } = spawnSync(process.execPath, [build], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${build} failed:\n${stderr}`);
  return join(tree, 'dist/app/daemon.js');
}

/**
 * Starts a daemon, metrics and all, with one router that sends the name `web` to one port. Two of them make two hops
 * without a cluster: the outgoing router of the first sends `web` to the port of the second's incoming router.
 */
export async function startDaemon(
  processes: Processes,
  main: string,
  place: {
    readonly dir: string;
    readonly router: 'outgoing' | 'incoming';
    readonly port: number;
    readonly adminPort: number;
    readonly webPort: number;
    /** Threads that serve, and on which cores; one on the proxy's. */
    readonly workers?: number;
    readonly cpu?: CpuList;
    /** Further names, and the ports that they stand for. */
    readonly names?: Readonly<Record<string, readonly number[]>>;
    readonly nodeArgs?: readonly string[];
    /** Further keys of the router (flow style YAML). */
    readonly routerKeys?: string;
    /** Further keys of the whole, one or more lines. */
    readonly keys?: string;
  },
): Promise<number> {
  const { router, port, adminPort, webPort, workers, cpu = PROXY_CPU, routerKeys = '', keys = '' } = place;
  const own = join(place.dir, `daemon-${port}`);
  mkdirSync(join(own, 'disco'), { recursive: true });
  for (const [name, ports] of Object.entries({ web: [webPort], ...place.names })) {
    writeFileSync(join(own, 'disco', name), ports.map((one) => `127.0.0.1 ${one}\n`).join(''));
  }
  const config = join(own, 'daemon.yaml');
  writeFileSync(
    config,
    `${workers === undefined ? '' : `workers: ${workers}\n`}${keys}${keys === '' ? '' : '\n'}admin: {port: ${adminPort}}
namers: [{kind: io.l5d.fs, rootDir: ${own}/disco}]
routers: [{protocol: http, label: ${router}, servers: [{port: ${port}}], ${routerKeys}}]
`,
  );
  const env = { NODE_NAME: `node-${port}` };
  const args = [...(place.nodeArgs ?? []), main, config];
  return processes.listening(processes.start(process.execPath, args, { cpu, env }), port);
}
