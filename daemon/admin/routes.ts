import type { AdminRoute } from '../../lib/admin-server.ts';
import type { WatchStatus } from '../../lib/explain.ts';
import { type DaemonConfig, tlsModeOf } from '../config.ts';
import type { ClusterState } from '../discovery/cluster-state.ts';
import type { Gateway } from '../naming/transformers/daemonset.ts';
import { redactedConfig } from './config.ts';
import { endpointsView } from './endpoints.ts';
import { peersView } from './peers.ts';
import { resolve } from './resolve.ts';
import type { RouterParts } from './router-parts.ts';

export interface ExplainOptions {
  readonly config: DaemonConfig;
  readonly nodeName: string;
  readonly threads: number;
  readonly state: ClusterState;
  /** Of the outgoing routers that listen. */
  readonly parts: () => readonly RouterParts[];
  readonly gateways: () => ReadonlyMap<string, Gateway>;
  readonly watches: () => readonly WatchStatus[];
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** What a daemon answers to questions about its own decisions: by the main thread's state, where several threads serve. */
export function explainRoutes(options: ExplainOptions): AdminRoute[] {
  const { config, nodeName, threads, state, wallClock } = options;
  const access = 'diagnostics';
  return [
    {
      path: '/resolve',
      access,
      handle: async ({ query }, reply) => {
        const [parts] = options.parts();
        if (parts === undefined) return reply.text('this daemon has no outgoing router that listens yet\n', 503);
        if ((query.get('host') ?? '') === '') {
          const how = '/resolve?host=<name>[:port]&from=<pod IP, namespace/pod or namespace>[&method=GET&path=/]';
          return reply.text(`say what to resolve: ${how}\n`, 400);
        }
        const clusterDomain = config.kubernetes?.clusterDomain ?? '';
        reply.json(await resolve(query, { nodeName, clusterDomain, threads, state, parts, wallClock }));
      },
    },
    {
      path: '/endpoints',
      access,
      handle: async ({ query }, reply) =>
        reply.json(await endpointsView(query, { ...options, parts: options.parts() })),
    },
    {
      path: '/peers',
      access,
      handle: (_request, reply) => {
        const tls = Object.fromEntries(config.routers.map((router) => [router.label, tlsModeOf(router)]));
        reply.json(peersView({ ...options, gateways: options.gateways(), parts: options.parts(), tls }));
      },
    },
    {
      path: '/config',
      access,
      handle: (_request, reply) => reply.json({ node: nodeName, threads, config: redactedConfig(config) }),
    },
  ];
}
