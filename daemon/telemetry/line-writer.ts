import { close, constants, fstat, open, write } from 'node:fs';
import type { Log } from '../../lib/log.ts';
import type { Counter } from '../../lib/metrics.ts';

/** Of lines that wait to be written, each thread's. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** Writes to files are whole, however long; those to pipes up to PIPE_BUF, and other threads write there too (pipe(7)). */
const FILE_BATCH_BYTES = 64 * 1024;
const PIPE_BATCH_BYTES = 4 * 1024;
/** Lines are gathered for so long: a write is a trip to another thread. */
const GATHER_MS = 20;
/** A file that cannot be opened or written is tried again after this time, a pipe that is full sooner. */
const REOPEN_MS = 1_000;
const FULL_PIPE_MS = 50;
/** A disk that hangs does not keep the daemon from ending. */
const END_MS = 500;
/** A pipe without a reader, or with one that reads nothing, must not hold up a thread of libuv's pool, which DNS needs too. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
const MODE = 0o640;
const STDOUT = 1;

export interface LineWriterOptions {
  /** Absolute, or `stdout`. */
  readonly path: string;
  /** Of lines that were given and not written. */
  readonly dropped: Counter;
  readonly log: Log;
}

/**
 * Writes lines to a file, a pipe or stdout, later and without anyone's waiting for it. What waits is limited; what comes when
 * there is no room is dropped and counted. A file is made where there is none.
 */
export class LineWriter {
  readonly #options: LineWriterOptions;
  /** Each with its line end. */
  #waiting: string[] = [];
  /** Of them, and of those under way. */
  #waitingBytes = 0;
  #underWay = 0;
  #fd: number | undefined;
  #batchBytes = FILE_BATCH_BYTES;
  /** A call to the system is under way, or the timer runs for the next one. */
  #busy = false;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer is for. */
  #then: (() => void) | undefined;
  /** What has been logged last of why nothing is written. */
  #told: string | undefined;
  #ending: (() => void) | undefined;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  /** `line`: without its end. */
  write(line: string): void {
    const bytes = line.length + 1;
    if (this.#waitingBytes + bytes > MAX_WAITING_BYTES) {
      this.#options.dropped.value += 1;
      return;
    }
    this.#waiting.push(`${line}\n`);
    this.#waitingBytes += bytes;
    if (this.#busy) return;
    this.#busy = true;
    this.#later(GATHER_MS, () => this.#next());
  }

  /** Settles once all is written, or cannot be written soon. */
  async end(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const then = this.#then;
    clearTimeout(this.#timer);
    this.#then = undefined;
    this.#ending = resolve;
    const late = setTimeout(resolve, END_MS);
    if (then !== undefined) then();
    else if (!this.#busy) resolve();
    await promise;
    clearTimeout(late);
    clearTimeout(this.#timer);
    if (this.#fd !== undefined && this.#fd !== STDOUT) close(this.#fd, () => {});
    this.#fd = undefined;
  }

  #next(): void {
    if (this.#waiting.length === 0) {
      this.#rest();
      return;
    }
    if (this.#fd === undefined) {
      this.#open();
      return;
    }
    this.#writeBatch(this.#fd, this.#takeBatch());
  }

  #rest(): void {
    this.#busy = false;
    this.#ending?.();
  }

  /** Stdout anew, so that its other writers' descriptor keeps its ways; a socket cannot be opened so, and is written to as it is. */
  #open(): void {
    const { path } = this.#options;
    open(path === 'stdout' ? '/proc/self/fd/1' : path, FLAGS, MODE, (error, fd) => {
      if (error !== null && path !== 'stdout') {
        this.#fail(error);
        return;
      }
      this.#fd = error === null ? fd : STDOUT;
      fstat(this.#fd, (_error, stats) => {
        this.#batchBytes = stats?.isFile() === true ? FILE_BATCH_BYTES : PIPE_BATCH_BYTES;
        this.#next();
      });
    });
  }

  #takeBatch(): Buffer {
    let bytes = 0;
    let count = 0;
    while (count < this.#waiting.length) {
      bytes += (this.#waiting[count] as string).length;
      if (count > 0 && bytes > this.#batchBytes) break;
      count += 1;
    }
    const text = this.#waiting.splice(0, count).join('');
    this.#underWay = text.length;
    return Buffer.from(text, 'utf8');
  }

  #writeBatch(fd: number, batch: Buffer): void {
    write(fd, batch, 0, batch.length, null, (error, written) => {
      if (error === null) this.#told = undefined;
      const rest = error === null ? batch.subarray(written) : batch;
      if (rest.length === 0) {
        this.#waitingBytes -= this.#underWay;
        this.#next();
      } else if (error === null) {
        this.#writeBatch(fd, rest);
      } else if (error.code === 'EAGAIN') {
        this.#later(FULL_PIPE_MS, () => this.#writeBatch(fd, rest));
      } else {
        this.#lose(rest);
        if (fd !== STDOUT) close(fd, () => {});
        this.#fd = undefined;
        this.#fail(error);
      }
    });
  }

  #lose(batch: Buffer): void {
    this.#waitingBytes -= this.#underWay;
    this.#options.dropped.value += batch.filter((byte) => byte === 0x0a).length;
  }

  #fail(error: Error): void {
    if (this.#told !== error.message) {
      this.#told = error.message;
      const { path, log } = this.#options;
      log.warn(
        { path },
        `access log: ${error.message}; it is tried again each second, and what finds no room is dropped`,
      );
    }
    this.#later(REOPEN_MS, () => this.#next());
  }

  #later(ms: number, then: () => void): void {
    this.#then = then;
    this.#timer = setTimeout(() => {
      this.#then = undefined;
      then();
    }, ms);
    this.#timer.unref();
    this.#ending?.();
  }
}
