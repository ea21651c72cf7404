/** A worker thread of a daemon that stands still, when it is told to, until it is told to go on: a word of shared memory. */
import { BroadcastChannel } from 'node:worker_threads';
import '../../daemon/workers/worker.ts';

export const STALLS = 1;

const channel = new BroadcastChannel('stall');
channel.onmessage = (event) => {
  const word = new Int32Array((event as { data: SharedArrayBuffer }).data);
  Atomics.store(word, 0, STALLS);
  Atomics.notify(word, 0);
  Atomics.wait(word, 0, STALLS);
};
channel.unref();
