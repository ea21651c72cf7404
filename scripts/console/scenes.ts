import type { EdgeView, MeshView, NodeView, PodView, ServiceView, TotalView } from '../../lib/stats/mesh-view.ts';

/** Meshes to look at without a cluster: for the console's tests and its pictures. The same ones each time, but for `at`. */
export const SCENES = { shop, failing, empty, large, hostile } as const;

export type SceneName = keyof typeof SCENES;

const INTERVALS = 60;
const HOUR_MS = 3_600_000;

/** A web shop of eleven Services on three nodes, all well. */
export function shop(at: number): MeshView {
  const random = generator(7);
  const calls: readonly [string, string, number][] = [
    ['outside', 'web/storefront', 96],
    ['web/storefront', 'shop/catalog', 142.5],
    ['web/storefront', 'shop/cart', 38.2],
    ['web/storefront', 'shop/search', 61],
    ['web/storefront', 'accounts/session', 95.1],
    ['shop/cart', 'shop/checkout', 6.4],
    ['shop/cart', 'shop/catalog', 37.9],
    ['shop/search', 'shop/catalog', 12.3],
    ['shop/checkout', 'payments/gateway', 6.2],
    ['shop/checkout', 'shop/stock', 12.6],
    ['shop/checkout', 'messages/mail', 5.8],
    ['shop/catalog', 'shop/stock', 88],
    ['payments/gateway', 'payments/fraud', 6.2],
    ['accounts/session', 'accounts/users', 42.7],
    ['~jobs/nightly-report', 'shop/stock', 0.8],
    ['~jobs/nightly-report', 'accounts/users', 0.4],
  ];
  const edges = calls.map(([from, to, rps]) => edgeOf(from, to, rps, random() < 0.5 ? 1 : 0.9995, 4 + random() * 40));
  return meshOf(at, edges, random, ['node-a', 'node-b', 'node-c']);
}

/** The same with a Service that fails, a node whose daemon is away, and a certificate that was not renewed. */
export function failing(at: number): MeshView {
  const mesh = shop(at);
  const rates: Readonly<Record<string, number>> = { gateway: 0.712, checkout: 0.9214, cart: 0.9872 };
  const rated = <Kind extends { successRate: number | null }>(one: Kind, name: string): Kind =>
    rates[name] === undefined ? one : { ...one, successRate: rates[name] };
  const services = mesh.services.map((service) => {
    const rate = rates[service.name];
    if (rate === undefined) return service;
    const successRate = service.series.successRate.map((good, index) => (index < 38 ? good : rate + (index % 4) / 100));
    return {
      ...rated(service, service.name),
      retriesPerSecond: service.rps * 0.1,
      series: { ...service.series, successRate },
    };
  });
  return {
    ...mesh,
    total: totalOf(services),
    services,
    edges: mesh.edges.map((edge) => rated(edge, edge.target.name)),
    nodes: mesh.nodes.map((node, index) => {
      if (index === 1) return { ...node, certificateNotAfter: at + 3 * HOUR_MS };
      if (index !== 2) return node;
      const error = `no answer from ${node.address} within 2 s: look at the daemon's pod on ${node.name}`;
      return { ...node, ready: false, rps: 0, error };
    }),
  };
}

/** Nothing yet. */
export function empty(at: number): MeshView {
  return {
    at,
    windowMs: 60_000,
    scope: { kind: 'mesh' },
    total: totalOf([]),
    nodes: [nodeOf('node-a', 0, at, [])],
    services: [],
    edges: [],
    pods: [],
    hints: [
      'No pod is in the mesh: kubectl label namespace <name> mesh-inject=enabled, then kubectl -n <name> rollout restart deployment',
      'For a look: kubectl -n shop apply -f manifests/examples/hello-world.yaml',
    ],
  };
}

/** 500 Services in 20 namespaces, of which some fail. */
export function large(at: number): MeshView {
  const random = generator(11);
  const names = Array.from(
    { length: 500 },
    (_, index) => `team-${String(index % 20).padStart(2, '0')}/service-${index}`,
  );
  const edges: EdgeView[] = [];
  for (const [index, name] of names.entries()) {
    if (index === 0) continue;
    const callers = new Set(
      Array.from({ length: 1 + Math.floor(random() * 2) }, () =>
        // Teams stand like a tree: each calls itself, and three others.
        caller(index, random),
      ),
    );
    for (const caller of callers) {
      const rate = random() < 0.03 ? 0.8 : random() < 0.05 ? 0.98 : 1;
      edges.push(edgeOf(names[caller] ?? '', name, 200 * random() ** 4, rate, 3 + random() * 200));
    }
  }
  return meshOf(
    at,
    edges,
    random,
    Array.from({ length: 12 }, (_, index) => `node-${index + 1}`),
  );
}

/** Who calls the Service of that number: one of a lower number. */
function caller(index: number, random: () => number): number {
  const own = index % 20;
  const team = own === 0 || random() < 0.5 ? own : Math.floor((own - 1) / 3);
  return Math.min(index - 1, team + 20 * Math.floor(random() * (Math.floor(index / 20) + 1) * 0.6));
}

/** Names that no cluster takes, and that a page must show as they are. */
export function hostile(at: number): MeshView {
  const bad = `<img src=x onerror="window.hurt=1">`;
  const random = generator(3);
  const edges = [
    edgeOf(`~${bad}/${'a'.repeat(200)}`, `${bad}/"><script>window.hurt=1</script>`, 4, 0.9, 12),
    edgeOf('outside', `javascript:window.hurt=1/__proto__`, 2, 1, 3),
  ];
  const mesh = meshOf(at, edges, random, [bad, 'node-b']);
  return {
    ...mesh,
    hints: [bad],
    nodes: mesh.nodes.map((node) => ({ ...node, ready: false, notes: [bad], tls: bad, error: bad })),
  };
}

/** `namespace/name` of a Service, `~namespace/name` of a workload, or `outside`. */
function edgeOf(from: string, to: string, rps: number, successRate: number, p95: number): EdgeView {
  const [namespace = '', name = ''] = halves(from.replace('~', ''));
  const [targetNamespace = '', targetName = ''] = halves(to);
  const kind = from === 'outside' ? 'outside' : from.startsWith('~') ? 'workload' : 'service';
  return {
    source: kind === 'outside' ? { kind, namespace: '', name: '' } : { kind, namespace, name },
    target: { namespace: targetNamespace, name: targetName },
    rps,
    successRate,
    p95,
  };
}

/** The first slash parts them, outside of hostile names. */
function halves(name: string): readonly string[] {
  const at = name.startsWith('<') ? name.indexOf('>/') + 1 : name.indexOf('/');
  return [name.slice(0, at), name.slice(at + 1)];
}

function meshOf(at: number, edges: readonly EdgeView[], random: () => number, nodeNames: readonly string[]): MeshView {
  const byService = Map.groupBy(edges, ({ target }) => `${target.namespace}\n${target.name}`);
  for (const { source } of edges) {
    if (source.kind === 'service')
      byService.set(`${source.namespace}\n${source.name}`, byService.get(`${source.namespace}\n${source.name}`) ?? []);
  }
  const services = [...byService].map(([key, incoming]) => serviceOf(key, incoming, random));
  const pods = services.flatMap((service) => podsOf(service, nodeNames, random));
  const nodes = nodeNames.map((name, index) => nodeOf(name, index, at, pods));
  const total = totalOf(services);
  return { at, windowMs: 60_000, scope: { kind: 'mesh' }, total, nodes, services, edges, pods, hints: [] };
}

/** Scenes have no counts: percentiles of the whole are means by requests, which real ones are not. */
function totalOf(services: readonly ServiceView[]): TotalView {
  const sum = (of: (service: ServiceView) => number) => services.reduce((all, service) => all + of(service), 0);
  const rps = sum((service) => service.rps);
  const mean = (of: (service: ServiceView) => number | null) =>
    rps > 0 ? sum((service) => service.rps * (of(service) ?? 0)) / rps : null;
  const intervals = services[0]?.series.rps.keys().toArray() ?? [];
  return {
    rps,
    successRate: mean(({ successRate }) => successRate),
    p50: mean(({ p50 }) => p50),
    p95: mean(({ p95 }) => p95),
    p99: mean(({ p99 }) => p99),
    retriesPerSecond: sum(({ retriesPerSecond }) => retriesPerSecond),
    series: {
      rps: intervals.map((at) => sum(({ series }) => series.rps[at] ?? 0)),
      successRate: intervals.map((at) => mean(({ series }) => series.successRate[at] ?? null)),
    },
  };
}

function serviceOf(key: string, incoming: readonly EdgeView[], random: () => number): ServiceView {
  const [namespace = '', name = ''] = key.split('\n');
  const rps = incoming.reduce((sum, edge) => sum + edge.rps, 0);
  const good = incoming.reduce((sum, edge) => sum + edge.rps * (edge.successRate ?? 0), 0);
  const p95 = incoming.length === 0 ? null : Math.max(...incoming.map((edge) => edge.p95 ?? 0));
  const phase = random() * 6;
  const successRate = rps > 0 ? good / rps : null;
  return {
    namespace,
    name,
    workloads: [name],
    pods: 2,
    rps,
    successRate,
    p50: p95 === null ? null : p95 * 0.3,
    p95,
    p99: p95 === null ? null : p95 * 2.1,
    retriesPerSecond: successRate !== null && successRate < 0.99 ? rps * 0.1 : 0,
    series: {
      rps: Array.from(
        { length: INTERVALS },
        (_, index) => rps * (0.8 + 0.2 * Math.sin(phase + index / 7) + 0.12 * random()),
      ),
      successRate: Array.from({ length: INTERVALS }, () =>
        successRate === null ? null : Math.min(1, successRate + (random() - 0.5) * (1 - successRate)),
      ),
    },
  };
}

function podsOf(service: ServiceView, nodes: readonly string[], random: () => number): readonly PodView[] {
  return ['x7k2p', 'm9w4d'].map((id) => ({
    namespace: service.namespace,
    name: `${service.name}-5d8f9c6b7-${id}`,
    node: nodes[Math.floor(random() * nodes.length)] ?? '',
    workload: service.workloads[0] ?? '',
    ready: random() > 0.03,
    injected: random() > 0.1,
    rps: service.rps / 2,
    successRate: service.successRate,
    p95: service.p95,
  }));
}

function nodeOf(name: string, index: number, at: number, pods: readonly PodView[]): NodeView {
  const own = pods.filter((pod) => pod.node === name);
  return {
    name,
    address: `10.0.0.${index + 11}:9990`,
    ready: true,
    notes: [],
    tls: 'required',
    certificateNotAfter: at + (14 + index) * HOUR_MS,
    pods: own.length,
    injected: own.filter(({ injected }) => injected).length,
    rps: own.reduce((sum, pod) => sum + pod.rps, 0),
    error: null,
  };
}

/** Numbers of 0..1, the same ones for the same seed (a linear congruential generator: Numerical Recipes, 7.1). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 4_294_967_296;
    return state / 4_294_967_296;
  };
}
