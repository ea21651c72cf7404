import type { AdminRoute } from '../../lib/admin-server.ts';
import type { TapRequest } from './tap-request.ts';

/** What linkerd's `io.l5d.recentRequests` asks for: each thread gives so many a second at most, drawn from all. */
export const RECENT: TapRequest = { filter: {}, max: 100, headers: false, query: false };
/** Under this number other threads give theirs; taps are counted from 1. */
export const RECENT_TAP = 0;

/** The last finished requests of those that were drawn, as `/requests` shows them: the latest first. */
export class RecentRequests {
  readonly #capacity: number;
  /** JSON. */
  readonly #records: string[] = [];

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(json: string): void {
    this.#records.push(json);
    if (this.#records.length > this.#capacity) this.#records.shift();
  }

  readonly route: AdminRoute = {
    path: '/requests',
    access: 'tap',
    handle: (_request, reply) => reply.send(`[${this.#records.toReversed().join(',\n')}]\n`, 'application/json'),
  };
}

/** In place of one where the config asks for none. */
export const NO_RECENT_REQUESTS: AdminRoute = {
  path: '/requests',
  access: 'tap',
  handle: (_request, reply) =>
    reply.text(
      'no requests are kept: give the daemon\'s config "telemetry: [{kind: io.l5d.recentRequests, sampleRate: 0.25}]"\n',
      404,
    ),
};
