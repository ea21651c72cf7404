import { Turns } from '../turns.ts';
import type { ApiStream, KubernetesObject } from './types.ts';

/** How a watch ended; `heard` says whether it told anything (an event or a bookmark). */
export type WatchEnd =
  | { readonly kind: 'ended' | 'silent' | 'expired'; readonly heard: boolean }
  | { readonly kind: 'failed'; readonly heard: boolean; readonly why: string };

export interface WatchSink {
  event(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubernetesObject): void;
  /** Everything up to this resourceVersion has been told. */
  progress(resourceVersion: string): void;
  /** A bookmark. false where it shows that the server's history is not the one that was watched. */
  bookmark(resourceVersion: string): boolean;
}

interface Line {
  readonly type?: string;
  readonly object?: KubernetesObject & { readonly code?: number; readonly message?: string };
}

/**
 * Reads a watch to its end, which is at the latest `livenessMs` after the last line: API servers send a bookmark about
 * once a minute, so that longer silence means a connection that is dead without knowing it. Never throws.
 */
export async function readWatch(stream: ApiStream, sink: WatchSink, livenessMs: number): Promise<WatchEnd> {
  let heard = false;
  let silent = false;
  const deadline = setTimeout(() => {
    silent = true;
    stream.close();
  }, livenessMs);
  deadline.unref();
  const turns = new Turns();
  try {
    for await (const text of stream.lines) {
      const turnEnd = turns.end();
      if (turnEnd !== undefined) await turnEnd;
      deadline.refresh();
      const { type = '', object } = JSON.parse(text) as Line;
      if (type === 'ERROR' && object?.code === 410) return { kind: 'expired', heard };
      if (type === 'ERROR')
        return { kind: 'failed', heard, why: `the watch says: ${object?.message ?? text.slice(0, 200)}` };
      const resourceVersion = object?.metadata?.resourceVersion;
      if (object === undefined || resourceVersion === undefined) {
        return { kind: 'failed', heard, why: `the watch sent an event without an object: ${text.slice(0, 200)}` };
      }
      heard = true;
      if (type === 'BOOKMARK' && !sink.bookmark(resourceVersion)) return { kind: 'expired', heard: false };
      if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') sink.event(type, object);
      sink.progress(resourceVersion);
    }
    return { kind: silent ? 'silent' : 'ended', heard };
  } catch (error) {
    return { kind: 'failed', heard, why: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(deadline);
    stream.close();
  }
}

/** Whether a resourceVersion lies before another. They are numbers that only grow (KEP-5504), until a server's history is replaced. */
export function isOlder(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && (a.length === b.length ? a < b : a.length < b.length);
}
