/** The terminal that standard output is. */
export interface Terminal {
  /** As it is now. */
  readonly columns: number;
  readonly rows: number;
  /** Gives each key as it is pressed, Ctrl-C too, until what it gives is called. */
  keys(take: (key: string) => void): () => void;
}

/** The process as commands see it; only main.ts touches the real one. */
export interface Host {
  /** Standard output. */
  write(text: string): void;
  /** Standard error. */
  complain(text: string): void;
  /** Standard input, to its end. */
  read(): Promise<Uint8Array>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall clock, ms since 1970. */
  now(): number;
  /** Settles after so many ms, or at once when the signal is aborted. */
  pause(ms: number, signal: AbortSignal): Promise<void>;
  /** Undefined where standard output is a file or a pipe. */
  readonly terminal: Terminal | undefined;
  /** Who asks for it ends by itself when it is aborted, on SIGINT or SIGTERM; a second one ends the process. */
  stopped(): AbortSignal;
}

/** A command as it was called. */
export interface Call {
  readonly host: Host;
  readonly positionals: readonly string[];
  /** By long name; a flag is true, undefined where it was not given. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>;
}

/** A wrong call; the message says what to give instead. Ends with status 1. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** Something that cannot be done, in words for the person who asked. Ends with status 1. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CommandError';
  }
}

/** The text of an option, or undefined. */
export function textOption({ options }: Call, name: string): string | undefined {
  const value = options[name];
  return typeof value === 'string' ? value : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
