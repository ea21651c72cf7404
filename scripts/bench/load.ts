import { connect } from 'node:net';

export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  /** Latency, ms, of every request, ascending. */
  readonly latenciesMs: Float64Array;
}

export interface LoadOptions {
  readonly port: number;
  readonly connections: number;
  readonly seconds: number;
  /** The bytes of one request. */
  readonly request: string;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const LENGTH = /\r\ncontent-length: *(\d+)/i;

/**
 * Closed-loop load: each connection sends its next request when the answer to the last one is complete. Answers must state
 * their Content-Length. Resolves when the time is over and the last answers are in.
 */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const latencies: number[] = [];
  let failures = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + options.seconds * 1_000;
  const worker = () =>
    new Promise<void>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: options.port, noDelay: true });
      let sentAt = 0;
      let missing = -1;
      let seen: Buffer = Buffer.alloc(0);
      let done = false;
      const finish = () => {
        done = true;
        socket.end();
        resolve();
      };
      const next = () => {
        if (performance.now() >= endsAt) {
          finish();
          return;
        }
        sentAt = performance.now();
        missing = -1;
        seen = Buffer.alloc(0);
        socket.write(options.request);
      };
      socket.on('connect', next);
      socket.on('data', (bytes: Buffer) => {
        if (missing === -1) {
          seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes]);
          const end = seen.indexOf(HEAD_END);
          if (end === -1) return;
          const head = seen.toString('latin1', 0, end);
          missing = Number(LENGTH.exec(head)?.[1]) - (seen.length - end - HEAD_END.length);
          if (!head.startsWith('HTTP/1.1 200')) failures += 1;
        } else {
          missing -= bytes.length;
        }
        if (missing > 0) return;
        latencies.push(performance.now() - sentAt);
        next();
      });
      socket.on('error', () => {
        failures += 1;
      });
      socket.on('close', () => {
        if (!done) failures += 1;
        resolve();
      });
    });
  await Promise.all(Array.from({ length: options.connections }, worker));
  const seconds = (performance.now() - startedAt) / 1_000;
  return { requests: latencies.length, failures, seconds, latenciesMs: Float64Array.from(latencies).sort() };
}

/** The value below which `share` (0 to 1) of an ascending list lies. */
export function quantile(ascending: Float64Array, share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}
