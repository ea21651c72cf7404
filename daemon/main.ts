import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { ConfigError } from '../lib/config-file.ts';
import { createLog } from '../lib/log.ts';
import { type RunningDaemon, startDaemon } from './app.ts';
import { type DaemonConfig, parseDaemonConfig, readEnvironment } from './config.ts';

const USAGE = 'usage: nodemesh daemon [--validate] <config.yaml>\n';

/**
 * Runs the daemon: `argv` are the arguments after the command, `[--validate] <config.yaml>`. With --validate it only reads
 * the config. A config that cannot be used ends the process with status 1 and one line a problem, before any port opens.
 * SIGTERM and SIGINT drain and end it with status 0; a second one ends it at once.
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
  let daemon: RunningDaemon;
  try {
    daemon = await startDaemon({
      config,
      environment,
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
  log.info({ node: environment.nodeName }, 'daemon runs');
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

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) await main(process.argv.slice(2));
