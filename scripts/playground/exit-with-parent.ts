/**
 * Preloaded (`--import`) into every container process: standard input is a pipe from the playground, which ends when the
 * playground does, however it dies. So nothing of it is ever left running.
 */
process.stdin.on('error', leave);
process.stdin.on('end', leave);
process.stdin.resume();
(process.stdin as unknown as { unref(): void }).unref();

function leave(): void {
  process.kill(process.pid, 'SIGKILL');
}
