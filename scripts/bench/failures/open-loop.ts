import { Agent, type RequestOptions, request } from 'node:http';

/** Requests that are sent when they are due, whatever has become of those before. */
export interface LoadOrder {
  readonly perSecond: number;
  /** At most. */
  readonly seconds: number;
  /** Ends it before. */
  readonly end?: AbortSignal;
  /** Sent in turns. */
  readonly methods: readonly ('GET' | 'POST')[];
  /** Where the n-th goes to. */
  readonly to: (n: number) => RequestOptions;
}

/** What became of one request. Times in ms. */
export interface Outcome {
  readonly id: string;
  readonly method: 'GET' | 'POST';
  /** When it was sent, since 1970. */
  readonly atMs: number;
  readonly latencyMs: number;
  /** 0: no complete answer. */
  readonly status: number;
  /** Who answered; undefined where it was no pod. */
  readonly pod: string | undefined;
  /** What the mesh, or the socket, says of a failure. */
  readonly why: string | undefined;
}

const TICK_MS = 2;
const PATIENCE_MS = 10_000;
const POSTED = Buffer.alloc(256, 'x');
let requests = 0;

/** Sends an order's requests; resolves with what became of them, in the order of their ends, when all have ended. */
export async function sendOpenLoop({ perSecond, seconds, end, methods, to }: LoadOrder): Promise<Outcome[]> {
  const agent = new Agent({ keepAlive: true });
  const outcomes: Outcome[] = [];
  let total = perSecond * seconds;
  const startedAt = performance.now();
  let sent = 0;
  await new Promise<void>((resolve) => {
    const take = (outcome: Outcome) => {
      outcomes.push(outcome);
      if (outcomes.length === total) resolve();
    };
    const timer = setInterval(() => {
      if (end?.aborted === true) total = Math.min(total, sent + 1); // one more, so that the last outcome ends the load
      const due = Math.min(total, Math.floor(((performance.now() - startedAt) * perSecond) / 1_000));
      for (; sent < due; sent += 1) {
        const method = methods[sent % methods.length] ?? 'GET';
        sendOne(method, { ...to(sent), agent, method, timeout: PATIENCE_MS }, take);
      }
      if (sent === total) clearInterval(timer);
    }, TICK_MS);
  });
  agent.destroy();
  return outcomes;
}

function sendOne(method: 'GET' | 'POST', options: RequestOptions, take: (outcome: Outcome) => void): void {
  requests += 1;
  const id = String(requests);
  const [atMs, startedAt] = [Date.now(), performance.now()];
  let over = false;
  const end = (status: number, pod?: string, why?: string) => {
    if (over) return;
    over = true;
    take({ id, method, atMs, latencyMs: performance.now() - startedAt, status, pod, why });
  };
  const asked = request({ ...options, headers: { 'request-id': id } }, (response) => {
    const { pod, 'l5d-err': error } = response.headers;
    let text = '';
    response.on('data', (piece: Buffer) => {
      text += piece.toString();
    });
    response.on('error', () => {});
    response.on('close', () => {
      const why = error === undefined ? undefined : `${error}: ${text.split('\n', 1)[0]}`;
      end(response.complete ? (response.statusCode ?? 0) : 0, pod as string | undefined, why);
    });
  });
  asked.on('timeout', () => asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
  asked.on('error', (error) => end(0, undefined, error.message));
  asked.end(method === 'POST' ? POSTED : undefined);
}

/** Those that did not get a 2xx. */
export function failed(outcomes: readonly Outcome[]): Outcome[] {
  return outcomes.filter(({ status }) => status < 200 || status >= 300);
}

/** Of what did not get a 2xx: how often each reason, the commonest first. */
export function reasons(outcomes: readonly Outcome[]): string[] {
  const counts = new Map<string, number>();
  for (const { method, status, why, pod } of failed(outcomes)) {
    const reason = `${method} ${status} ${why ?? `answered by ${pod}`}`;
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([reason, count]) => `${count} × ${reason}`);
}

/** In hundredths of all, how many did not get a 2xx. */
export function failedPercent(outcomes: readonly Outcome[]): number {
  return (100 * failed(outcomes).length) / Math.max(1, outcomes.length);
}

/** The latency that `part` of the requests stayed within, ms. */
export function latencyQuantile(outcomes: readonly Outcome[], part: number): number {
  const ascending = outcomes.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  return ascending[Math.min(ascending.length - 1, Math.floor(part * ascending.length))] ?? 0;
}
