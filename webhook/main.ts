import { readFileSync } from 'node:fs';
import { ConfigError } from '../lib/config-file.ts';
import { loadKubernetesApi } from '../lib/kubernetes/client.ts';
import { createLog } from '../lib/log.ts';
import { MetricsRegistry } from '../lib/metrics.ts';
import { Readiness } from '../lib/readiness.ts';
import { type RunningWebhook, startWebhook } from './app.ts';
import { parseWebhookConfig, readEnvironment, type WebhookConfig } from './config.ts';

const USAGE = 'usage: nodemesh webhook [--validate] <config.yaml>\n';

/**
 * Runs the webhook: `argv` are the arguments after the command, `[--validate] <config.yaml>`. With --validate it only reads
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
  let config: WebhookConfig;
  try {
    config = parseWebhookConfig(file, readFileSync(file, 'utf8'), environment);
  } catch (error) {
    process.stderr.write(`${error instanceof ConfigError ? error.message : `${file}: ${message(error)}`}\n`);
    process.exitCode = 1;
    return;
  }
  if (flags.includes('--validate')) {
    process.stdout.write(`${file}: valid\n`);
    return;
  }
  const log = createLog('nodemesh-webhook', config.logLevel);
  let webhook: RunningWebhook;
  try {
    webhook = await startWebhook({
      config,
      environment,
      api: loadKubernetesApi({ env: process.env, log }),
      log,
      metrics: new MetricsRegistry(),
      readiness: new Readiness(),
      now: () => Date.now(),
      random: Math.random,
    });
  } catch (error) {
    process.stderr.write(`nodemesh webhook: cannot start: ${message(error)}\n`);
    process.exit(1);
  }
  log.info({ pod: environment.podName }, 'webhook runs');
  stopOnSignals(webhook, (signal) => log.info({ signal, drainSeconds: config.drainSeconds }, 'webhook stops'));
}

function stopOnSignals(webhook: RunningWebhook, announce: (signal: string) => void): void {
  let stopping = false;
  const stop = (signal: string) => {
    if (stopping) process.exit(1);
    stopping = true;
    announce(signal);
    webhook.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on('SIGTERM', () => stop('SIGTERM'));
  process.on('SIGINT', () => stop('SIGINT'));
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) await main(process.argv.slice(2));
