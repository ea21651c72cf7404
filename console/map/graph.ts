import type { EdgeView, MeshView, ServiceView } from '../../lib/stats/mesh-view.ts';

export interface MapNode {
  readonly id: string;
  readonly kind: 'service' | 'workload' | 'outside' | 'namespace';
  readonly namespace: string;
  readonly name: string;
  /** Of a namespace: how many Services stand in it. */
  readonly members: number;
  /** Requests that come in, or, of who is only a caller, go out; per second. */
  readonly rps: number;
  readonly successRate: number | null;
  readonly p95: number | null;
}

export interface MapEdge {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly rps: number;
  readonly successRate: number | null;
  readonly p95: number | null;
}

export interface MapGraph {
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
}

/** What part of the mesh the reader wants to see. Empty texts: all of it. */
export interface MapChoice {
  readonly namespace: string;
  /** Part of a name. */
  readonly search: string;
  /** Id of the node whose neighbours alone are shown. */
  readonly focus: string;
  /** Namespaces that are not in `open` are one node each. */
  readonly grouped: boolean;
  readonly open: ReadonlySet<string>;
}

/** With more nodes than this the map begins with namespaces. */
export const GROUP_ABOVE = 80;

/** The whole mesh as a graph: every Service, and every caller that stands behind none. */
export function wholeGraph(mesh: MeshView): MapGraph {
  const nodes = new Map<string, MapNode>();
  for (const service of mesh.services) nodes.set(serviceId(service), ofService(service));
  const edges: MapEdge[] = [];
  for (const edge of mesh.edges) {
    const from = sourceId(edge);
    const to = serviceId(edge.target);
    if (!nodes.has(to)) nodes.set(to, { ...bare(to, 'service', edge.target.namespace, edge.target.name) });
    const { kind, namespace, name } = edge.source;
    const caller = nodes.get(from) ?? bare(from, kind, namespace, kind === 'outside' ? 'outside' : name);
    // A Service's own number is of what comes in; who is only a caller shows what goes out.
    nodes.set(from, kind === 'service' ? caller : { ...caller, rps: caller.rps + edge.rps });
    edges.push({ id: `${from}>${to}`, from, to, rps: edge.rps, successRate: edge.successRate, p95: edge.p95 });
  }
  return { nodes: [...nodes.values()].sort(byId), edges: edges.sort(byId) };
}

/** The part that was chosen: what matches with its neighbours, and namespaces as one node each where that is asked. */
export function chosenGraph(whole: MapGraph, choice: MapChoice): MapGraph {
  const search = choice.search.trim().toLowerCase();
  const wanted = (node: MapNode): boolean =>
    (choice.focus === '' || node.id === choice.focus) &&
    (choice.namespace === '' || node.namespace === choice.namespace) &&
    (search === '' || `${node.namespace}/${node.name}`.toLowerCase().includes(search));
  if (choice.focus === '' && choice.namespace === '' && search === '') {
    return choice.grouped ? grouped(whole, choice.open) : whole;
  }
  const matching = new Set(whole.nodes.filter(wanted).map(({ id }) => id));
  const edges = whole.edges.filter(({ from, to }) => matching.has(from) || matching.has(to));
  const shown = new Set([...matching, ...edges.flatMap(({ from, to }) => [from, to])]);
  const part = { nodes: whole.nodes.filter(({ id }) => shown.has(id)), edges };
  if (part.nodes.length <= GROUP_ABOVE) return part;
  const near = new Set(part.nodes.filter(({ id }) => matching.has(id)).map(({ namespace }) => namespace));
  return grouped(part, near.size > 3 ? choice.open : near);
}

/** Every namespace that is not open becomes one node, and what goes between two of them one edge. */
function grouped(graph: MapGraph, open: ReadonlySet<string>): MapGraph {
  const place = new Map<string, string>();
  const nodes = new Map<string, MapNode>();
  for (const node of graph.nodes) {
    const single = node.kind === 'outside' || open.has(node.namespace);
    const id = single ? node.id : `namespace:${node.namespace}`;
    place.set(node.id, id);
    if (single) nodes.set(id, node);
    else nodes.set(id, joined(nodes.get(id) ?? bare(id, 'namespace', node.namespace, node.namespace), node));
  }
  const edges = new Map<string, MapEdge>();
  for (const edge of graph.edges) {
    const from = place.get(edge.from) ?? edge.from;
    const to = place.get(edge.to) ?? edge.to;
    if (from === to) continue;
    const id = `${from}>${to}`;
    const sum = edges.get(id);
    edges.set(id, sum === undefined ? { ...edge, id, from, to } : { ...sum, ...together(sum, edge) });
  }
  return { nodes: [...nodes.values()].sort(byId), edges: [...edges.values()].sort(byId) };
}

function joined(namespace: MapNode, node: MapNode): MapNode {
  if (node.kind !== 'service') return namespace;
  return { ...namespace, members: namespace.members + 1, ...together(namespace, node) };
}

type Numbers = Pick<MapNode, 'rps' | 'successRate' | 'p95'>;

/** Success by the weight of requests. The 95th percentile of both together is not known: at most the higher one. */
function together(a: Numbers, b: Numbers): Numbers {
  const rps = a.rps + b.rps;
  const rated = [a, b].filter(({ successRate }) => successRate !== null);
  const weight = rated.reduce((sum, one) => sum + one.rps, 0);
  const good = rated.reduce((sum, one) => sum + one.rps * (one.successRate ?? 0), 0);
  return { rps, successRate: weight > 0 ? good / weight : null, p95: highest(a.p95, b.p95) };
}

function highest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.max(a, b);
}

function ofService(service: ServiceView): MapNode {
  const { namespace, name, rps, successRate, p95 } = service;
  return { id: serviceId(service), kind: 'service', namespace, name, members: 0, rps, successRate, p95 };
}

function bare(id: string, kind: MapNode['kind'], namespace: string, name: string): MapNode {
  return { id, kind, namespace, name, members: 0, rps: 0, successRate: null, p95: null };
}

export function serviceId({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `service:${namespace}/${name}`;
}

export function sourceId({ source }: Pick<EdgeView, 'source'>): string {
  return source.kind === 'outside' ? 'outside' : `${source.kind}:${source.namespace}/${source.name}`;
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
