import { layout as dagre, graphlib } from '@dagrejs/dagre';

/** What is laid out: no numbers, so that nothing moves when only numbers change. */
export interface LayoutInput {
  readonly nodes: readonly { readonly id: string; readonly width: number; readonly height: number }[];
  readonly edges: readonly { readonly id: string; readonly from: string; readonly to: string }[];
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  /** Centres. */
  readonly nodes: Readonly<Record<string, Point>>;
  /** Ways from the caller's right side to the callee's left. */
  readonly edges: Readonly<Record<string, readonly Point[]>>;
  readonly width: number;
  readonly height: number;
}

/** Taller than this, a layer is broken into columns: 500 services in four layers are else a strip that nobody can read. */
const MAX_IN_COLUMN = 24;
const COLUMN_GAP = 28;
const LAYER_GAP = 110;
const ROW_GAP = 18;

/** Callers left, callees right, few crossings (dagre's layered layout). Takes about a second for 500 nodes. */
export function layOut(input: LayoutInput): Layout {
  const graph = new graphlib.Graph()
    .setGraph({ rankdir: 'LR', nodesep: ROW_GAP, ranksep: LAYER_GAP, marginx: 24, marginy: 24, acyclicer: 'greedy' })
    .setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of input.nodes) graph.setNode(id, { width, height });
  for (const { id, from, to } of input.edges) if (from !== to) graph.setEdge(from, to, { id });
  dagre(graph);
  const placed = input.nodes.map((node) => ({
    ...node,
    x: Number(graph.node(node.id).x),
    y: Number(graph.node(node.id).y),
  }));
  if (isDense(input)) return inColumns(input, inGrid(placed));
  const layers = Map.groupBy(placed, ({ x }) => Math.round(x));
  if ([...layers.values()].every((layer) => layer.length <= MAX_IN_COLUMN)) {
    const ways = new Map<string, readonly Point[]>();
    for (const edge of graph.edges()) {
      const { id, points = [] } = graph.edge(edge);
      const [from, to] = [graph.node(edge.v), graph.node(edge.w)];
      // dagre ends an edge where it meets the outline, which may be above or below: here all leave right and arrive left.
      const start = { x: Number(from.x) + from.width / 2, y: Number(from.y) };
      const end = { x: Number(to.x) - to.width / 2, y: Number(to.y) };
      ways.set(String(id), [start, ...points.slice(1, -1), end]);
    }
    return {
      nodes: Object.fromEntries(placed.map(({ id, x, y }) => [id, { x, y }])),
      edges: Object.fromEntries(input.edges.map((edge) => [edge.id, ways.get(edge.id) ?? []])),
      width: Number(graph.graph().width),
      height: Number(graph.graph().height),
    };
  }
  return inColumns(
    input,
    [...layers.entries()].sort(([a], [b]) => a - b).map(([, layer]) => layer),
  );
}

/** With so many edges a node the ways between layers take more room than the nodes: then edges go straight, and nodes close. */
export function isDense({
  nodes,
  edges,
}: {
  readonly nodes: readonly unknown[];
  readonly edges: readonly unknown[];
}): boolean {
  return edges.length > 2.5 * nodes.length;
}

/** About as many columns as rows, callers still left of callees where that can be. */
function inGrid<Placed extends Point>(placed: readonly Placed[]): readonly (readonly Placed[])[] {
  const sorted = placed.toSorted((a, b) => a.x - b.x || a.y - b.y);
  const rows = Math.max(1, Math.ceil(Math.sqrt(sorted.length)));
  return Array.from({ length: Math.ceil(sorted.length / rows) }, (_, column) =>
    sorted.slice(column * rows, (column + 1) * rows),
  );
}

/** Keeps dagre's layers and the order in them, and breaks the tall ones into columns. Edges go straight. */
function inColumns(
  input: LayoutInput,
  layers: readonly (readonly { id: string; width: number; height: number; y: number }[])[],
): Layout {
  const nodes: Record<string, Point> = {};
  const width = Math.max(...input.nodes.map((node) => node.width));
  const height = Math.max(...input.nodes.map((node) => node.height));
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const rows = Math.min(tallest, Math.max(MAX_IN_COLUMN, Math.ceil(Math.sqrt(input.nodes.length))));
  const rowGap = isDense(input) ? 3 * ROW_GAP : ROW_GAP;
  let left = 24;
  for (const layer of layers) {
    const sorted = layer.toSorted((a, b) => a.y - b.y);
    const columns = Math.ceil(sorted.length / rows);
    const inOne = Math.ceil(sorted.length / columns);
    const top = 24 + ((rows - inOne) * (height + rowGap)) / 2;
    for (const [index, { id }] of sorted.entries()) {
      const column = Math.floor(index / inOne);
      nodes[id] = {
        x: left + column * (width + COLUMN_GAP) + width / 2,
        y: top + (index % inOne) * (height + rowGap) + height / 2,
      };
    }
    left += columns * (width + COLUMN_GAP) - COLUMN_GAP + LAYER_GAP;
  }
  const edges: Record<string, readonly Point[]> = {};
  for (const { id, from, to } of input.edges) {
    const [a, b] = [nodes[from], nodes[to]];
    if (a === undefined || b === undefined || from === to) continue;
    edges[id] = [
      { x: a.x + width / 2, y: a.y },
      { x: b.x - width / 2, y: b.y },
    ];
  }
  return { nodes, edges, width: left - LAYER_GAP + 24, height: rows * (height + rowGap) + 48 };
}
