import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BackoffLimits, jitteredBackoffMs } from '../../lib/backoff.ts';

/** A kubelet begins at 10 s and ends at 5 min; somebody is watching here. */
const RESTART_BACKOFF: BackoffLimits = { minMs: 500, maxMs: 10_000 };
const TAIL_BYTES = 8192;
const EXIT_WITH_PARENT = fileURLToPath(new URL('exit-with-parent.ts', import.meta.url));

export interface ContainerCommand {
  /** What follows `node`: its flags, the script, the script's arguments. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly directory: string;
  /** Gets everything that the process writes, through all its restarts. */
  readonly logFile: string;
}

export interface ContainerOptions {
  readonly nodePath: string;
  readonly random: () => number;
  /** Called whenever `running`, `restarts` or `lastExit` changed. */
  readonly onChange: () => void;
}

/** One container as a local process of Node: started again, with backoff, for as long as it is not stopped. */
export class LocalContainer {
  readonly #command: ContainerCommand;
  readonly #options: ContainerOptions;
  #child: ChildProcess | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #stopped = false;
  #exited: Promise<void> = Promise.resolve();
  restarts = 0;
  /** How the last run ended, for people: `exit code 1`, `signal SIGKILL`. */
  lastExit: string | undefined;

  constructor(command: ContainerCommand, options: ContainerOptions) {
    this.#command = command;
    this.#options = options;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  start(): void {
    const { args, env, directory, logFile } = this.#command;
    const output = openSync(logFile, 'a');
    // A session of its own: the terminal's Ctrl-C reaches the playground alone, which then ends its containers in order.
    const child = spawn(this.#options.nodePath, ['--import', EXIT_WITH_PARENT, ...args], {
      cwd: directory,
      env,
      detached: true,
      stdio: ['pipe', output, output],
    });
    closeSync(output);
    child.stdin?.on('error', () => {}); // the process went away; its exit says so
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#ended(error.message);
        resolve();
      });
      child.once('exit', (code, signal) => {
        this.#ended(signal === null ? `exit code ${code}` : `signal ${signal}`);
        resolve();
      });
    });
    this.#options.onChange();
  }

  /** SIGTERM, then SIGKILL after `graceMs`. Settles when the process is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    if (this.#child === undefined) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), graceMs);
    await this.#exited;
    clearTimeout(timer);
  }

  /** The machine's power cable: SIGKILL at once, never started again. */
  kill(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    this.#child?.kill('SIGKILL');
    return this.#exited;
  }

  /** The last lines that the container wrote. */
  lastLines(count: number): string[] {
    try {
      const text = readFileSync(this.#command.logFile).subarray(-TAIL_BYTES).toString();
      return text.trimEnd().split('\n').slice(-count);
    } catch {
      return [];
    }
  }

  #ended(how: string): void {
    if (this.#child === undefined) return;
    this.#child = undefined;
    this.lastExit = how;
    if (!this.#stopped) {
      const delayMs = jitteredBackoffMs(this.restarts, RESTART_BACKOFF, this.#options.random);
      this.#restartTimer = setTimeout(() => {
        this.restarts += 1;
        this.start();
      }, delayMs);
    }
    this.#options.onChange();
  }
}
