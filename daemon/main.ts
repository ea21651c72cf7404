import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { performance } from 'node:perf_hooks';
import { ConfigError } from '../lib/config-file.ts';
import { createLog } from '../lib/log.ts';
import { type RunningDaemon, startDaemon } from './app.ts';
import { type DaemonConfig, parseDaemonConfig, readEnvironment } from './config.ts';
import { cpuLimit, workerCount } from './workers/worker-count.ts';

/** Beside this module: in the source tree, or in a build. */
const WORKER_ENTRY = new URL(
  import.meta.filename.endsWith('.ts') ? './workers/worker.ts' : './worker.js',
  import.meta.url,
);

const USAGE = 'usage: nodemesh daemon [--validate] <config.yaml>\n';

/**
 * Runs the daemon: `argv` are the arguments after the command, `[--validate] <config.yaml>`. With --validate it only reads
 * the config. A config that cannot be used ends the process with status 1 and one line a problem, before any port opens.
 * SIGTERM and SIGINT drain and end it with status 0; a second one ends it at once. A thread that ends by itself ends all of
 * it with status 1, as an error in a daemon of one thread does.
 */
export async function main(argv: readonly string[]): Promise<void> {
  const file = argv.find((argument) => !argument.startsWith('--'));
  const flags = argv.filter((argument) => argument.startsWith('--'));
  if (file === undefined || argv.length - flags.length !== 1 || flags.some((flag) => flag !== '--validate')) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const environment = readEnvironment(process.env);
  let config: DaemonConfig;
  try {
    config = parseDaemonConfig(file, readFileSync(file, 'utf8'), environment);
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigError ? error.message : `${file}: ${message(error)}`}\n`);
    process.exitCode = 1;
    return;
  }
  if (flags.includes('--validate')) {
    process.stdout.write(`${file}: valid\n`);
    return;
  }
  const log = createLog('nodemesh-daemon', config.logLevel);
  const { count: workers, warning } = workerCount(config.workers, {
    platform: process.platform,
    cores: availableParallelism(),
    cpuLimit: cpuLimit(readIfThere),
  });
  if (warning !== undefined) log.warn(`${file}: ${warning}`);
  let daemon: RunningDaemon;
  try {
    daemon = await startDaemon({
      config,
      environment,
      workers,
      workerEntry: WORKER_ENTRY,
      onWorkerLost: (error) => {
        log.fatal({ err: error }, `daemon ends, to be started again: ${error.message}`);
        process.exit(1);
      },
      // The client library costs more than a second to load: only where it is needed.
      loadApi: async () => (await import('../lib/kubernetes/client.ts')).loadKubernetesApi({ env: process.env, log }),
      log,
      now: () => performance.now(),
      wallClock: Date.now,
      random: Math.random,
    });
  } catch (error) {
    process.stderr.write(`nodemesh daemon: cannot start: ${message(error)}\n`);
    process.exit(1);
  }
  log.info({ node: environment.nodeName, workers }, 'daemon runs');
  const stop = (signal: string) => {
    log.info({ signal }, 'daemon stops');
    daemon.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'daemon did not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) await main(process.argv.slice(2));
