/** Preloaded into a daemon's process (`--import`): SIGUSR2 makes its worker threads fail as a mistake in their code would. */
import { BroadcastChannel, isMainThread } from 'node:worker_threads';

const channel = new BroadcastChannel('crash');
channel.unref();
if (isMainThread) process.on('SIGUSR2', () => channel.postMessage('now'));
else {
  channel.onmessage = () => {
    throw new Error('failed as told');
  };
}
