import type { Host, Terminal } from '../../cli/host.ts';
import { run } from '../../cli/run.ts';

export interface Outcome {
  readonly status: number | undefined;
  readonly out: string;
  readonly err: string;
}

export interface Surroundings {
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Wall clock, ms since 1970. */
  readonly now?: number;
  readonly terminal?: Terminal;
  /** What SIGINT and SIGTERM are. */
  readonly stop?: AbortSignal;
  /** Told of all that is written to standard output so far, after each time. */
  readonly written?: (out: string) => void;
  readonly complained?: (err: string) => void;
  readonly pause?: Host['pause'];
}

/** Runs a command in this process, and gives what it wrote and its status. */
export async function nodemesh(argv: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> {
  const { stdin = '', env = {}, now = Date.now(), terminal, stop = new AbortController().signal } = surroundings;
  let out = '';
  let err = '';
  const status = await run(argv, {
    write: (text) => {
      out += text;
      surroundings.written?.(out);
    },
    complain: (text) => {
      err += text;
      surroundings.complained?.(err);
    },
    read: async () => Buffer.from(stdin as string),
    env,
    now: () => now,
    pause: surroundings.pause ?? (() => new Promise((resolve) => setImmediate(resolve))),
    terminal,
    stopped: () => stop,
  });
  return { status, out, err };
}
