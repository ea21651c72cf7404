import { z } from 'zod';
import { INTERVALS, type NodeStats } from './node-stats.ts';

/** More than any cluster has on a node, and less than what would keep a reader busy. */
const MAX_ROWS = 20_000;
const MAX_BOUNDS = 64;

const text = z.string().max(512);
const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
const counts = (max: number) => z.array(count).max(max);
const shared = {
  requests: count,
  successes: count,
  failures: count,
  retries: count,
  latency: counts(MAX_BOUNDS + 1),
  series: z.object({ requests: counts(INTERVALS), failures: counts(INTERVALS) }),
};

const schema = z.object({
  node: text,
  at: count,
  windowMs: count,
  intervalMs: count,
  boundsMs: counts(MAX_BOUNDS),
  edges: z
    .array(
      z.object({
        source: z.object({ namespace: text, workload: text }),
        service: z.object({ namespace: text, name: text }),
        ...shared,
      }),
    )
    .max(MAX_ROWS),
  pods: z
    .array(
      z.object({
        namespace: text,
        name: text,
        workload: text,
        ip: text,
        ready: z.boolean(),
        injected: z.boolean(),
        services: z.array(text).max(1_000),
        ...shared,
      }),
    )
    .max(MAX_ROWS),
  daemon: z.object({
    ready: z.boolean(),
    notes: z.array(z.string().max(2_000)).max(50),
    tls: z.record(text, text),
    certificateNotAfter: count.nullable(),
    startedAt: count,
    version: text,
  }),
});

/** Takes what a daemon answered as JSON. Throws an Error that says what is wrong with it: it may be of another version, or no daemon. */
export function readNodeStats(value: unknown): NodeStats {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [problem] = read.error.issues;
  throw new Error(`${problem?.path.join('.') || 'the answer'}: ${problem?.message ?? 'is not as expected'}`);
}
