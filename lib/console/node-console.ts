import type { AdminRoute } from '../admin-server.ts';
import { mergeStats } from '../stats/merge.ts';
import type { NodeStats } from '../stats/node-stats.ts';
import { WINDOW_FORMS, windowOf } from '../stats/window.ts';
import { consoleRoutes } from './console-routes.ts';

export interface NodeConsoleOptions {
  readonly node: string;
  stats(windowMs: number): NodeStats;
  /** What the daemon answers elsewhere already; `/tap` and `/resolve` of them serve the page too. */
  readonly routes: readonly AdminRoute[];
  /** ms since 1970. */
  readonly wallClock: () => number;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/** `/stats?window=60`, and the console of one daemon. */
export function nodeConsole({ node, stats, routes, wallClock, now }: NodeConsoleOptions): AdminRoute[] {
  const handleOf = (path: string) => routes.find((route) => route.path === path)?.handle;
  const view = async (windowMs: number) => {
    const reading = { name: node, address: '', stats: stats(windowMs), error: null };
    return mergeStats([reading], { scope: { kind: 'node', node }, at: wallClock(), labelledNamespaces: undefined });
  };
  return [
    {
      path: '/stats',
      access: 'diagnostics',
      handle: ({ query }, reply) => {
        const windowMs = windowOf(query);
        if (windowMs === undefined) reply.text(WINDOW_FORMS, 400);
        else reply.json(stats(windowMs));
      },
    },
    ...consoleRoutes({ view, tap: handleOf('/tap'), resolve: handleOf('/resolve') }, now),
  ];
}
