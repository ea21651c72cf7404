import { formatMs, formatRate, formatShare, NONE } from '../format.ts';
import { levelOf, WORDS } from '../health.ts';
import type { MapEdge, MapNode } from './graph.ts';
import type { Point } from './layout.ts';

export const NODE_WIDTH = 196;
export const NODE_HEIGHT = 52;

const MIN_WIDTH_PX = 1.5;
const MAX_WIDTH_PX = 9;

/** How wide an edge is: by the square root of its share of the busiest one, so that small traffic is seen beside large. */
export function widthOf(rps: number, busiest: number): number {
  if (rps <= 0 || busiest <= 0) return MIN_WIDTH_PX;
  return MIN_WIDTH_PX + (MAX_WIDTH_PX - MIN_WIDTH_PX) * Math.sqrt(Math.min(1, rps / busiest));
}

/** A smooth way through the points, flat where it leaves and where it arrives. */
export function curveThrough(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  let path = `M${first.x.toFixed(1)} ${first.y.toFixed(1)}`;
  let from = first;
  for (const to of rest) {
    const middle = ((from.x + to.x) / 2).toFixed(1);
    path += `C${middle} ${from.y.toFixed(1)} ${middle} ${to.y.toFixed(1)} ${to.x.toFixed(1)} ${to.y.toFixed(1)}`;
    from = to;
  }
  return path;
}

/** The point halfway, where an edge's label stands. */
export function middleOf(points: readonly Point[]): Point {
  const at = (points.length - 1) / 2;
  const [a, b] = [points[Math.floor(at)], points[Math.ceil(at)]];
  return { x: ((a?.x ?? 0) + (b?.x ?? 0)) / 2, y: ((a?.y ?? 0) + (b?.y ?? 0)) / 2 };
}

/** What stands under a node's name. */
export function underName(node: MapNode): string {
  if (node.kind === 'outside') return `${formatRate(node.rps)}/s come in`;
  if (node.kind === 'workload') return `${formatRate(node.rps)}/s sent`;
  const success = node.successRate === null ? '' : ` · ${formatShare(node.successRate)}`;
  return `${formatRate(node.rps)}/s${success}${node.p95 === null ? '' : ` · p95 ${formatMs(node.p95)}`}`;
}

/** A node in a sentence. */
export function describeNode(node: MapNode): string {
  const what = {
    service: `Service ${node.name} in ${node.namespace}`,
    workload: `Workload ${node.name} in ${node.namespace}, a caller`,
    outside: 'Callers outside the mesh',
    namespace: `Namespace ${node.name} with ${node.members} Services`,
  }[node.kind];
  return `${what}: ${underName(node)}, ${WORDS[levelOf(node.successRate)]}`;
}

/** What an edge's label says: nothing where all is well, since a map of labels shows nothing. */
export function edgeLabel(edge: MapEdge, always: boolean): string {
  const level = levelOf(edge.successRate);
  if (always) return `${formatRate(edge.rps)}/s · ${formatShare(edge.successRate)}`;
  return level === 'warn' || level === 'bad' ? formatShare(edge.successRate) : '';
}

/** As much of a name as fits into a node. */
export function fitted(name: string, most: number): string {
  return name.length <= most ? name || NONE : `${name.slice(0, most - 1)}…`;
}
