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
});
if (status !== undefined) process.exitCode = status;
