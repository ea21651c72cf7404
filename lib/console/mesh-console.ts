import type { AdminReply, AdminRequest, AdminRoute } from '../admin-server.ts';
import type { KubernetesApi } from '../kubernetes/types.ts';
import { consoleRoutes } from './console-routes.ts';
import { DaemonClient } from './daemon-client.ts';
import { DaemonList } from './daemon-list.ts';
import { mergeTaps } from './merged-tap.ts';
import { MeshDaemons } from './mesh-daemons.ts';
import { NodeProxy } from './node-proxy.ts';
import { ViewerToken } from './viewer-token.ts';

const RESOLVE_MS = 5_000;
/** Each holds a connection to every daemon. */
const MAX_TAPS = 10;

export interface MeshConsoleOptions {
  readonly api: KubernetesApi;
  /** The mesh's own. */
  readonly namespace: string;
  readonly labelledNamespaces: () => number | undefined;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** The console of the whole mesh, as the control plane serves it: what all daemons tell, and `/nodes/<node>/…`, each by itself. */
export class MeshConsole {
  readonly routes: readonly AdminRoute[];
  readonly #client: DaemonClient;
  readonly #daemons: MeshDaemons;
  #taps = 0;

  constructor(options: MeshConsoleOptions) {
    const { api, namespace, now } = options;
    const list = new DaemonList(api, namespace, now);
    this.#client = new DaemonClient(new ViewerToken(api, namespace, now));
    this.#daemons = new MeshDaemons({ ...options, list, client: this.#client });
    const source = {
      view: (windowMs: number) => this.#daemons.view(windowMs),
      tap: (request: AdminRequest, reply: AdminReply) => this.#tap(request, reply),
      resolve: (request: AdminRequest, reply: AdminReply) => this.#resolve(request, reply),
    };
    this.routes = [...consoleRoutes(source, now), new NodeProxy(this.#client, () => list.get()).route];
  }

  close(): void {
    this.#client.close();
  }

  async #tap({ query, signal }: AdminRequest, reply: AdminReply): Promise<void> {
    if (this.#taps >= MAX_TAPS) {
      return reply.text(
        `${MAX_TAPS} taps of the whole mesh are open: close one, or ask one node, /nodes/<node>/tap\n`,
        503,
      );
    }
    if (signal.aborted) return;
    this.#taps += 1;
    signal.addEventListener('abort', () => (this.#taps -= 1), { once: true });
    const daemons = await this.#daemons.list();
    mergeTaps({ daemons, client: this.#client, query, write: reply.events(), signal });
  }

  /** Asked of the daemon of the caller's node: each knows its own pods. */
  async #resolve({ query, signal }: AdminRequest, reply: AdminReply): Promise<void> {
    const daemon = await this.#daemons.daemonOf(query.get('from') ?? '');
    if (daemon === undefined)
      return reply.text('no daemon was found to ask: kubectl -n nodemesh get pods -o wide\n', 503);
    try {
      const { status, body } = await this.#client.get(daemon, `/resolve?${query}`, RESOLVE_MS, signal);
      if (status === 200) reply.send(body, 'application/json');
      else reply.text(body, status >= 400 && status < 600 ? status : 502);
    } catch (error) {
      reply.text(`the daemon of ${daemon.node} did not answer: ${(error as Error).message}\n`, 502);
    }
  }
}
