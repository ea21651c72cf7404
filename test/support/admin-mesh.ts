import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { AdminAccess } from '../../lib/admin-access.ts';
import { type AdminRoute, type AdminServer, startAdminServer } from '../../lib/admin-server.ts';
import { tokenReviewer } from '../../lib/kubernetes/token-review.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { Readiness } from '../../lib/readiness.ts';
import type { Counts, EdgeStats, NodeStats, PodStats } from '../../lib/stats/node-stats.ts';
import { type Manifest, MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';
import { nodemesh, type Outcome, type Surroundings } from './cli.ts';
import { plainApi } from './reflector.ts';

const ACCESS = new URL('../../manifests/base/access.yaml', import.meta.url);

/** An API server in memory with pods of the mesh that have real admin servers, guarded as in a cluster, each on an address of its own. */
export class AdminMesh {
  readonly kubernetes: MemoryKubernetes;
  readonly #env: Readonly<Record<string, string>>;
  readonly #t: TestContext;
  #port = 0;
  #pods = 0;

  private constructor(t: TestContext, kubernetes: MemoryKubernetes, env: Readonly<Record<string, string>>) {
    this.#t = t;
    this.kubernetes = kubernetes;
    this.#env = env;
  }

  static async start(t: TestContext): Promise<AdminMesh> {
    const kubernetes = await MemoryKubernetes.start();
    const folder = mkdtempSync(join(tmpdir(), 'nodemesh-admin-'));
    writeFileSync(join(folder, 'config'), kubernetes.kubeconfig());
    t.after(async () => {
      await kubernetes.stop();
      rmSync(folder, { recursive: true });
    });
    const mesh = new AdminMesh(t, kubernetes, { KUBECONFIG: join(folder, 'config') });
    for (const name of ['nodemesh', 'shop'])
      await mesh.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    for (const document of parseAllDocuments(readFileSync(ACCESS, 'utf8'))) await mesh.apply(document.toJS());
    return mesh;
  }

  async apply(object: object): Promise<void> {
    await this.kubernetes.apply(object as Manifest);
  }

  /** A daemon's pod, or the webhook's; without routes nothing listens there. */
  async pod(
    component: 'daemon' | 'webhook',
    node: string,
    routes: readonly AdminRoute[] | undefined,
  ): Promise<AdminServer | undefined> {
    this.#pods += 1;
    const ip = `127.0.0.${10 + this.#pods}`;
    const server = routes === undefined ? undefined : await this.#serve(ip, component, routes);
    if (component === 'daemon' && server !== undefined) await this.#service(server.address.port);
    const labels = { 'app.kubernetes.io/name': 'nodemesh', 'app.kubernetes.io/component': component };
    const conditions = [{ type: 'Ready', status: server === undefined ? 'False' : 'True' }];
    await this.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${component}-${node}`, namespace: 'nodemesh', labels },
      spec: { nodeName: node, containers: [{ name: component, image: 'nodemesh:dev' }] },
      status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions },
    });
    return server;
  }

  nodemesh(argv: readonly string[], surroundings: Surroundings = {}): Promise<Outcome> {
    return nodemesh(argv, { ...surroundings, env: { ...this.#env, ...surroundings.env } });
  }

  async #serve(ip: string, component: string, routes: readonly AdminRoute[]): Promise<AdminServer> {
    const api = plainApi(this.kubernetes.url);
    const server = await startAdminServer({
      ip,
      // All daemons have one port, the webhook its own.
      port: component === 'webhook' ? 8080 : this.#port,
      readiness: new Readiness(),
      metrics: { render: () => '' },
      access: new AdminAccess({
        modes: { metrics: 'open', diagnostics: 'token', tap: 'token' },
        ip: '10.0.0.1', // loopback alone would be open
        review: tokenReviewer(
          async () => api,
          () => performance.now(),
        ),
        metrics: new MetricsRegistry(),
      }),
      routes,
      log: createLog('test', 'silent'),
    });
    this.#t.after(() => server.close());
    return server;
  }

  async #service(port: number): Promise<void> {
    this.#port = port;
    const ports = [
      { name: 'incoming', port: 4141, targetPort: 4141 },
      { name: 'admin', port: 9990, targetPort: port },
    ];
    const metadata = { name: 'nodemesh-daemon', namespace: 'nodemesh' };
    await this.apply({ apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: 'None', ports } });
  }
}

const BOUNDS = [10, 100, 1_000];

/** So many requests, some of which failed, all of them answered within 10 ms. */
export function counts(requests: number, failures = 0, retries = 0): Counts & Pick<EdgeStats, 'series'> {
  return {
    requests,
    successes: requests - failures,
    failures,
    retries,
    latency: [requests, 0, 0, 0],
    series: { requests: [requests], failures: [failures] },
  };
}

/** `shop/web` → `shop/world`. */
export function edge(source: string, service: string, of: ReturnType<typeof counts>): EdgeStats {
  const [from = '', workload = ''] = source.split('/');
  const [to = '', name = ''] = service.split('/');
  return { source: { namespace: from, workload }, service: { namespace: to, name }, ...of };
}

export function pod(path: string, workload: string, of: ReturnType<typeof counts>): PodStats {
  const [namespace = '', name = ''] = path.split('/');
  return { namespace, name, workload, ip: '10.1.0.1', ready: true, injected: true, services: [], ...of };
}

/** What a daemon tells of a minute. */
export function nodeStats(node: string, edges: readonly EdgeStats[], pods: readonly PodStats[] = []): NodeStats {
  return {
    node,
    at: 0,
    windowMs: 60_000,
    intervalMs: 5_000,
    boundsMs: BOUNDS,
    edges,
    pods,
    daemon: {
      ready: true,
      notes: [],
      tls: { outgoing: 'required', incoming: 'required' },
      certificateNotAfter: null,
      startedAt: 0,
      version: '0.1.0',
    },
  };
}

/** A route that answers always the same. */
export function gives(path: string, value: unknown): AdminRoute {
  return { path, access: 'diagnostics', handle: (_request, reply) => reply.json(value) };
}
