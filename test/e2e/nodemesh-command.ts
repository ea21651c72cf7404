import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../cli/nodemesh', import.meta.url));

/** What a run of the command came to. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `nodemesh args…` to its end, with KUBECONFIG from the environment. */
export async function nodemesh(...args: readonly string[]): Promise<Ended> {
  const command = new RunningCommand(args);
  return command.ended;
}

/** `nodemesh args…` whose end is not awaited: one that goes on until it is stopped. */
export class RunningCommand {
  readonly ended: Promise<Ended>;
  readonly lines: string[] = [];
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  constructor(args: readonly string[]) {
    this.#child = spawn(PROGRAM, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    createInterface(this.#child.stdout).on('line', (line) => this.lines.push(line));
    this.ended = once(this.#child, 'close').then(([status]) => ({ status, stdout, stderr }));
  }

  /** Ends it as Ctrl-C and service managers do. */
  stop(): Promise<Ended> {
    this.#child.kill('SIGTERM');
    return this.ended;
  }
}
