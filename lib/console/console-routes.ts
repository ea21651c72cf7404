import type { AdminRoute } from '../admin-server.ts';
import type { MeshView } from '../stats/mesh-view.ts';
import { WINDOW_FORMS, windowOf } from '../stats/window.ts';
import { LiveViews, MAX_VIEWERS } from './live-views.ts';
import { Page } from './page-files.ts';
import { pageRoutes } from './page-routes.ts';

export interface ConsoleSource {
  /** What there is to show now. Never rejects: what cannot be read is part of it. */
  view(windowMs: number): Promise<MeshView>;
  /** As AdminRoute has it; undefined where there is no such thing. */
  readonly tap: AdminRoute['handle'] | undefined;
  readonly resolve: AdminRoute['handle'] | undefined;
}

/**
 * The console: its page, and what that asks. `/api/mesh?window=60` (a MeshView), `/api/stream?window=60` (server-sent events
 * `mesh`, one every two seconds), `/api/tap`, `/api/resolve`. The same on a daemon, of its node, and on the control plane, of all.
 */
export function consoleRoutes(source: ConsoleSource, now: () => number, page: Page = new Page()): AdminRoute[] {
  const live = new LiveViews((windowMs) => source.view(windowMs), now);
  const missing: AdminRoute['handle'] = (_request, reply) => reply.text('this process cannot tell that\n', 404);
  return [
    ...pageRoutes(page),
    {
      path: '/api/mesh',
      access: 'diagnostics',
      handle: async ({ query }, reply) => {
        const windowMs = windowOf(query);
        if (windowMs === undefined) return reply.text(WINDOW_FORMS, 400);
        reply.send(await live.current(windowMs), 'application/json');
      },
    },
    {
      path: '/api/stream',
      access: 'diagnostics',
      handle: ({ query, signal }, reply) => {
        const windowMs = windowOf(query);
        if (windowMs === undefined) return reply.text(WINDOW_FORMS, 400);
        if (live.viewers >= MAX_VIEWERS) {
          return reply.text(`${MAX_VIEWERS} viewers look already: close some pages, or ask /api/mesh\n`, 503);
        }
        live.follow(windowMs, reply.events(), signal);
      },
    },
    { path: '/api/tap', access: 'tap', handle: source.tap ?? missing },
    { path: '/api/resolve', access: 'diagnostics', handle: source.resolve ?? missing },
  ];
}
