import { setTimeout as sleep } from 'node:timers/promises';
import type { Terminal } from './host.ts';
import { run } from './run.ts';

let output: NodeJS.WriteStream | undefined;

/** Opened only by what writes to it: a stream makes a pipe non-blocking, and the daemon's log writes past the stream. */
function openOutput(): NodeJS.WriteStream {
  // Whoever reads may stop early (`| head`), which is no fault.
  return process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

const terminal: Terminal = {
  get columns() {
    return process.stdout.columns;
  },
  get rows() {
    return process.stdout.rows;
  },
  keys: (take) => {
    const { stdin } = process;
    if (!stdin.isTTY) return () => {};
    const each = (chunk: Buffer) => take(chunk.toString());
    stdin.setRawMode(true).on('data', each).resume();
    return () => void stdin.off('data', each).setRawMode(false).pause();
  },
};

function stopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

const status = await run(process.argv.slice(2), {
  write: (text) => {
    output ??= openOutput();
    output.write(text);
  },
  complain: (text) => void process.stderr.write(text),
  read: async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  },
  env: process.env,
  now: () => Date.now(),
  pause: (ms, signal) => sleep(ms, undefined, { signal }).catch(() => {}),
  terminal: process.stdout.isTTY ? terminal : undefined,
  stopped,
});
if (status !== undefined) process.exitCode = status;
