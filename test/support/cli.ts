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
}

/** Runs a command in this process, and gives what it wrote and its status. */
export async function nodemesh(argv: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> {
  const { stdin = '', env = {}, now = Date.now() } = surroundings;
  let out = '';
  let err = '';
  const status = await run(argv, {
    write: (text) => {
      out += text;
    },
    complain: (text) => {
      err += text;
    },
    read: async () => Buffer.from(stdin as string),
    env,
    now: () => now,
  });
  return { status, out, err };
}
