import type { MapEdge, MapGraph } from './graph.ts';

/**
 * The graph of now, with edges that were seen before and are quiet: they stay, without traffic, as long as both their ends do.
 * A map that is laid out anew whenever somebody pauses for a minute cannot be learnt. Callers that have gone, go.
 */
export function keepSeen(before: MapGraph, now: MapGraph): MapGraph {
  const nodes = new Set(now.nodes.map(({ id }) => id));
  const edges = new Set(now.edges.map(({ id }) => id));
  const quiet: readonly MapEdge[] = before.edges
    .filter(({ id, from, to }) => !edges.has(id) && nodes.has(from) && nodes.has(to))
    .map((edge) => ({ ...edge, rps: 0, successRate: null, p95: null }));
  if (quiet.length === 0) return now;
  return { nodes: now.nodes, edges: [...now.edges, ...quiet].sort((a, b) => (a.id < b.id ? -1 : 1)) };
}
