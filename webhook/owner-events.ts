import { isDeepStrictEqual } from 'node:util';
import type { KubernetesApi } from '../lib/kubernetes/types.ts';
import type { Log } from '../lib/log.ts';
import type { Counter } from '../lib/metrics.ts';
import type { OwnerView } from './pod-view.ts';

/** Changes wait this long for more of the same. */
const FLUSH_MS = 1_000;
/** At most so many calls at a flush; what is left waits for the next one. */
const CALLS_A_FLUSH = 10;
/** So many calls at once where there were none for long, and then one a second: whoever reaches the port can make reviews. */
const MAX_TOKENS = 100;
const TOKENS_A_MS = 1 / 1_000;
/** At most so many events are remembered; more than that at a time are dropped, and counted. */
const MAX_EVENTS = 1_000;
/** An event that was not seen for so long begins anew. */
const FORGET_MS = 600_000;
const MAX_MESSAGE_LENGTH = 1_024; // core/v1 Event
/** Of anything that names an object (RFC 1123 subdomain). Longer ones name none, and are only there to be remembered. */
const MAX_NAME_LENGTH = 253;
const TIMEOUT_MS = 5_000;

/** What happened to the pods of one controller. */
export interface OwnerEvent {
  readonly namespace: string;
  readonly owner: OwnerView;
  readonly type: 'Normal' | 'Warning';
  readonly reason: 'Injected' | 'InjectionSkipped' | 'InjectionFailed';
  readonly message: string;
}

export interface OwnerEventsOptions {
  readonly api: KubernetesApi;
  readonly log: Log;
  /** Events written anew or counted up; events that could not be. */
  readonly counts: { readonly done: Counter; readonly failed: Counter };
  /** ms since 1970. */
  readonly now: () => number;
  readonly random: () => number;
}

interface Remembered {
  readonly event: OwnerEvent;
  /** Of the object that was made for it; undefined while there is none. */
  name: string | undefined;
  readonly first: number;
  last: number;
  count: number;
  /** The count that the object has. */
  told: number;
}

/**
 * Events (core/v1) on the controllers of pods: what `kubectl describe` shows to whoever wonders why pods do or do not have
 * their proxy, since a review's warnings reach the controller alone. Events of the same words on one controller are one object with a
 * count. Recording is immediate and never fails; writing comes later, and one that fails is counted and dropped.
 */
export class OwnerEvents {
  readonly #options: OwnerEventsOptions;
  readonly #remembered = new Map<string, Remembered>();
  #flushing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #tokens = MAX_TOKENS;
  #tokensAt: number;

  constructor(options: OwnerEventsOptions) {
    this.#options = options;
    this.#tokensAt = options.now();
  }

  record(what: OwnerEvent): void {
    const { now, counts } = this.#options;
    const { namespace, owner } = what;
    const names = [namespace, owner.apiVersion, owner.kind, owner.name, owner.uid];
    if (names.some(({ length }) => length === 0 || length > MAX_NAME_LENGTH)) return;
    const event = { ...what, message: what.message.slice(0, MAX_MESSAGE_LENGTH) };
    const key = [event.namespace, event.owner.uid, event.reason, event.message].join('\n');
    const known = this.#remembered.get(key);
    if (known !== undefined && isDeepStrictEqual(known.event.owner, event.owner)) {
      known.last = now();
      known.count += 1;
    } else if (this.#remembered.size < MAX_EVENTS) {
      this.#remembered.set(key, { event, name: undefined, first: now(), last: now(), count: 1, told: 0 });
    } else {
      counts.failed.inc();
    }
    this.#schedule();
  }

  /** Writes what there is to write, and nothing more after that. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#flushing;
    await this.#flush();
  }

  #schedule(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#flushing = this.#flush().then(() => {
        this.#timer = undefined;
        if (this.#waiting().length > 0) this.#schedule();
      });
    }, FLUSH_MS);
    this.#timer.unref();
  }

  #waiting(): [string, Remembered][] {
    return [...this.#remembered].filter(([, { count, told }]) => count > told);
  }

  async #flush(): Promise<void> {
    const { now } = this.#options;
    this.#tokens = Math.min(MAX_TOKENS, this.#tokens + Math.max(0, now() - this.#tokensAt) * TOKENS_A_MS);
    this.#tokensAt = now();
    for (const [key, one] of this.#waiting().slice(0, Math.min(CALLS_A_FLUSH, Math.floor(this.#tokens)))) {
      this.#tokens -= 1;
      if (!(await this.#write(key, one))) break; // an API server that is away is not asked for each of them
    }
    for (const [key, { last, count, told }] of this.#remembered) {
      if (count === told && now() - last > FORGET_MS) this.#remembered.delete(key);
    }
  }

  async #write(key: string, one: Remembered): Promise<boolean> {
    const { api, counts, log, random } = this.#options;
    const { event, count } = one;
    const collection = `/api/v1/namespaces/${encodeURIComponent(event.namespace)}/events`;
    const lastTimestamp = apiTime(one.last);
    try {
      if (one.name === undefined) {
        const suffix = Math.floor(random() * 2 ** 48).toString(16);
        const name = `${event.owner.name.slice(0, 200)}.${suffix}`;
        const body = eventObject(event, name, { firstTimestamp: apiTime(one.first), lastTimestamp, count });
        await api.request({ method: 'POST', path: collection, body, timeoutMs: TIMEOUT_MS });
        one.name = name;
      } else {
        const path = `${collection}/${encodeURIComponent(one.name)}`;
        const contentType = 'application/merge-patch+json';
        await api.request({
          method: 'PATCH',
          path,
          contentType,
          body: { count, lastTimestamp },
          timeoutMs: TIMEOUT_MS,
        });
      }
      one.told = count;
      counts.done.inc();
      return true;
    } catch (error) {
      this.#remembered.delete(key);
      counts.failed.inc();
      const why = error instanceof Error ? error.message : String(error);
      log.warn({ namespace: event.namespace, owner: event.owner.name }, `an Event could not be written: ${why}`);
      return false;
    }
  }
}

function eventObject(event: OwnerEvent, name: string, times: object): object {
  const { namespace, owner, type, reason, message } = event;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace },
    involvedObject: { ...owner, namespace },
    type,
    reason,
    message,
    source: { component: 'nodemesh-webhook' },
    ...times,
  };
}

/** metav1.Time: whole seconds. */
function apiTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
