/**
 * `npm start`: the whole mesh on this machine, with nothing but Node. `--once` checks itself and exits 0, or 1 with the
 * reason. See playground.ts.
 */
import { fileURLToPath } from 'node:url';
import { check, commandsToTry, consoleUrl, install, showRequestPath } from './demonstration.ts';
import { openInBrowser } from './open-in-browser.ts';
import { Playground } from './playground.ts';
import { Steps } from './steps.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const USAGE = 'usage: npm start [-- --once]\n';
const INTERRUPTED = 130; // 128 + SIGINT, as shells have it

/**
 * Runs the playground: `argv` is `[--once]`. It stays up until SIGINT, SIGTERM or SIGHUP (status 0; 130 while it still
 * starts). With --once it checks itself and ends with status 0, or 1 with the reason and the culprit's last log lines.
 */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.some((argument) => argument !== '--once')) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  const steps = new Steps(
    (line) => process.stdout.write(`${line}\n`),
    () => performance.now(),
  );
  const playground = new Playground({
    root: ROOT,
    nodePath: process.execPath,
    path: process.env.PATH ?? '',
    steps,
    random: Math.random,
    now: () => new Date(),
  });
  let signalStatus = INTERRUPTED;
  let ending: Promise<void> | undefined;
  const end = (status: number): void => {
    ending ??= playground
      .stop()
      .catch((error: Error) => void process.stderr.write(`while stopping: ${error.message}\n`))
      .then(() => process.exit(status));
  };
  const fail = (error: unknown): void => {
    if (ending !== undefined) return; // what it stops, fails
    process.stderr.write(failureReport(error, steps, playground));
    end(1);
  };
  process.on('exit', () => playground.stopNow());
  process.on('uncaughtException', fail);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(signalStatus));
  try {
    await playground.start();
    await install(playground, steps);
    await showRequestPath(playground, steps);
    if (argv.includes('--once')) {
      await check(playground, steps);
      end(0);
    } else {
      signalStatus = 0;
      const url = consoleUrl(playground);
      if (url !== undefined) {
        steps.say(`the console: ${url}`);
        openInBrowser(url, process, process.stdout.isTTY === true);
      }
      steps.say('it stays up until Ctrl-C. In another terminal:');
      for (const [purpose, ...commands] of commandsToTry(playground)) {
        process.stdout.write(`\n  # ${purpose}\n${commands.map((command) => `  ${command}\n`).join('')}`);
      }
    }
  } catch (error) {
    fail(error);
  }
}

function failureReport(error: unknown, steps: Steps, playground: Playground): string {
  const reason = error instanceof Error ? error.message : String(error);
  const logs = playground.culprits().flatMap(({ name, why, lastLines }) => {
    const text = lastLines.length === 0 ? ['(it wrote nothing)'] : lastLines;
    return ['', `${name}${why === '' ? '' : ` (${why})`}, last log lines:`, ...text.map((line) => `  ${line}`)];
  });
  return `\nThe playground failed after ${steps.elapsedSeconds.toFixed(1)} s:\n${reason}\n${logs.join('\n')}\n`;
}

if (import.meta.main) await main(process.argv.slice(2));
