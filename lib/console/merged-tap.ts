import type { IncomingMessage } from 'node:http';
import { formatEvent } from '../admin-server.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { DaemonAddress } from './daemon-list.ts';

const DEFAULT_MAX = 100;
const SECOND_MS = 1_000;
const HEARTBEAT_S = 10;
/** A record with all its headers is a few KB. */
const MAX_EVENT_CHARS = 256 * 1024;

export interface MergedTapOptions {
  readonly daemons: readonly DaemonAddress[];
  readonly client: DaemonClient;
  /** As the daemons take it; `max` is of all of them together, a second. */
  readonly query: URLSearchParams;
  readonly write: (text: string) => boolean;
  readonly signal: AbortSignal;
}

/**
 * Passes on what the daemons' taps tell, as one stream of server-sent events, until the signal is aborted: `request`, `dropped`
 * (with what does not fit into `max`, or what the viewer does not read), and `failed` for a daemon that cannot be tapped.
 */
export function mergeTaps({ daemons, client, query, write, signal }: MergedTapOptions): void {
  if (signal.aborted) return;
  const asked = Number(query.get('max'));
  const max = Number.isSafeInteger(asked) && asked > 0 ? asked : DEFAULT_MAX;
  let seconds = 0;
  let passed = 0;
  let dropped = 0;
  const timer = setInterval(() => {
    seconds += 1;
    passed = 0;
    if (dropped > 0) {
      if (write(formatEvent('dropped', JSON.stringify({ count: dropped })))) dropped = 0;
    } else if (seconds % HEARTBEAT_S === 0) write(':\n\n');
  }, SECOND_MS);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  const take = (name: string, data: string) => {
    const value = objectOf(data);
    if (name === 'dropped' && typeof value?.count === 'number') dropped += value.count;
    if (name !== 'request' || value === undefined) return;
    if (passed >= max || !write(formatEvent('request', data))) dropped += 1;
    else passed += 1;
  };
  for (const daemon of daemons) {
    client
      .stream(daemon, `/tap?${query}`, signal)
      .then((response) => readEvents(response, take))
      .catch((error: unknown) => {
        if (signal.aborted) return;
        const why = error instanceof Error ? error.message : String(error);
        write(formatEvent('failed', JSON.stringify({ node: daemon.node, why })));
      });
  }
}

/** Reads server-sent events until the stream ends. Rejects where it breaks, or holds an event that is too long. */
async function readEvents(response: IncomingMessage, take: (name: string, data: string) => void): Promise<void> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    const blocks = (rest + chunk).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, name] = /^event: (\w+)$/m.exec(block) ?? [];
      const data = block.split('\n').flatMap((line) => (line.startsWith('data: ') ? [line.slice(6)] : []));
      if (name !== undefined && block.length <= MAX_EVENT_CHARS) take(name, data.join('\n'));
    }
    if (rest.length > MAX_EVENT_CHARS) throw new Error('it sends what is no event');
  }
  throw new Error('the daemon ended the stream');
}

function objectOf(data: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
