import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { levelOf, SHAPES } from '../health.ts';
import {
  curveThrough,
  describeNode,
  edgeLabel,
  fitted,
  middleOf,
  NODE_HEIGHT,
  NODE_WIDTH,
  underName,
  widthOf,
} from './drawing.ts';
import type { MapEdge, MapGraph, MapNode } from './graph.ts';
import { isDense, type Layout } from './layout.ts';
import { detailAt, fit, move, type Viewport, zoom } from './viewport.ts';

const PAN_PX = 60;
const ZOOM_STEP = 1.25;

/**
 * The map as a drawing that is moved and zoomed by mouse, fingers and keys. Where it stands goes straight to the one element
 * that holds all others: 500 nodes are not looked at again for each pixel. Screen readers get the table instead.
 */
export function Diagram(props: {
  graph: MapGraph;
  layout: Layout;
  selected: string;
  onSelect: (id: string) => void;
  onOpen: (node: MapNode) => void;
}) {
  const { graph, layout, selected } = props;
  const frame = useRef<HTMLDivElement>(null);
  const stage = useRef<SVGGElement>(null);
  const viewport = useRef<Viewport>({ left: 0, top: 0, scale: 1 });

  const show = (next: Viewport) => {
    viewport.current = next;
    const { left, top, scale } = next;
    stage.current?.setAttribute(
      'transform',
      `translate(${left.toFixed(1)} ${top.toFixed(1)}) scale(${scale.toFixed(4)})`,
    );
    frame.current?.setAttribute('data-detail', detailAt(scale));
  };
  const sizeOf = () => ({ width: frame.current?.clientWidth ?? 0, height: frame.current?.clientHeight ?? 0 });
  const showAll = () => show(fit(layout, sizeOf()));
  const zoomMiddle = (factor: number) => show(zoom(viewport.current, factor, sizeOf().width / 2, sizeOf().height / 2));

  useLayoutEffect(showAll, [layout]);
  useMoves(frame, viewport, show);

  const select = (step: number) => {
    const at = graph.nodes.findIndex(({ id }) => id === selected);
    const node = graph.nodes.at((at + step + graph.nodes.length) % graph.nodes.length);
    const place = node === undefined ? undefined : layout.nodes[node.id];
    if (node === undefined || place === undefined) return;
    props.onSelect(node.id);
    const { scale } = viewport.current;
    const { width, height } = sizeOf();
    show({ scale, left: width / 2 - place.x * scale, top: height / 2 - place.y * scale });
  };
  const pressed = (event: KeyboardEvent) => {
    const node = graph.nodes.find(({ id }) => id === selected);
    const act: Readonly<Record<string, () => void>> = {
      ArrowLeft: () => show(move(viewport.current, PAN_PX, 0)),
      ArrowRight: () => show(move(viewport.current, -PAN_PX, 0)),
      ArrowUp: () => show(move(viewport.current, 0, PAN_PX)),
      ArrowDown: () => show(move(viewport.current, 0, -PAN_PX)),
      '+': () => zoomMiddle(ZOOM_STEP),
      '=': () => zoomMiddle(ZOOM_STEP),
      '-': () => zoomMiddle(1 / ZOOM_STEP),
      '0': showAll,
      n: () => select(1),
      p: () => select(selected === '' ? 0 : -1),
      Enter: () => node !== undefined && props.onOpen(node),
      Escape: () => props.onSelect(''),
    };
    const what = act[event.key];
    if (what === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    what();
    event.preventDefault();
  };

  const busiest = Math.max(0, ...graph.edges.map(({ rps }) => rps));
  const dense = isDense(graph);
  return (
    <div class="frame">
      <div
        ref={frame}
        class="map"
        tabIndex={0}
        role="application"
        aria-label={`Map of ${graph.nodes.length} nodes and ${graph.edges.length} connections. Arrows move, plus and minus zoom, n and p go from node to node, Enter opens one. The table shows the same.`}
        onKeyDown={pressed}
      >
        <svg width="100%" height="100%" aria-hidden="true">
          <g ref={stage}>
            {graph.edges.map((edge) => (
              <Edge key={edge.id} edge={edge} layout={layout} busiest={busiest} selected={selected} dense={dense} />
            ))}
            {graph.nodes.map((node) => (
              <Node key={node.id} {...props} node={node} />
            ))}
          </g>
        </svg>
      </div>
      <p class="zoom">
        <button type="button" onClick={() => zoomMiddle(ZOOM_STEP)} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => zoomMiddle(1 / ZOOM_STEP)} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={showAll}>
          All
        </button>
      </p>
      <output class="unseen">
        {selected !== '' && graph.nodes.filter(({ id }) => id === selected).map(describeNode)}
      </output>
    </div>
  );
}

function Edge(props: { edge: MapEdge; layout: Layout; busiest: number; selected: string; dense: boolean }) {
  const { edge, layout, busiest, selected } = props;
  // Among many, what is small and well stands back.
  const small = props.dense && edge.rps < busiest / 8 && levelOf(edge.successRate) !== 'bad';
  const points = layout.edges[edge.id];
  if (points === undefined || points.length === 0) return null;
  const touched = selected !== '' && (edge.from === selected || edge.to === selected);
  const width = widthOf(edge.rps, busiest);
  const label = small && !touched ? '' : edgeLabel(edge, touched);
  const middle = middleOf(points);
  const end = points.at(-1) ?? middle;
  const tip = 5 + width / 2;
  return (
    <g
      class={`edge is-${edge.rps > 0 ? levelOf(edge.successRate) : 'none'} ${touched || (selected === '' && !small) ? '' : 'faint'}`}
    >
      <path class="way" d={curveThrough(points)} stroke-width={width} />
      <path class="tip" d={`M${end.x} ${end.y}l${-tip * 1.6} ${-tip}v${tip * 2}z`} />
      {label !== '' && (
        <text x={middle.x} y={middle.y - width / 2 - 3} text-anchor="middle">
          {label}
        </text>
      )}
    </g>
  );
}

function Node(props: {
  node: MapNode;
  layout: Layout;
  selected: string;
  onSelect: (id: string) => void;
  onOpen: (node: MapNode) => void;
}) {
  const { node, layout, selected } = props;
  const place = layout.nodes[node.id];
  if (place === undefined) return null;
  const level = levelOf(node.successRate);
  const outline = node.kind === 'workload' || node.kind === 'outside' ? NODE_HEIGHT / 2 : 8;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: by keyboard the map's own keys choose and open nodes
    <g
      class={`node is-${level} kind-${node.kind} ${node.id === selected ? 'selected' : ''}`}
      transform={`translate(${place.x - NODE_WIDTH / 2} ${place.y - NODE_HEIGHT / 2})`}
      onClick={() => props.onSelect(node.id === selected ? '' : node.id)}
      onDblClick={() => props.onOpen(node)}
    >
      <title>{describeNode(node)}</title>
      {node.kind === 'namespace' && (
        <rect class="behind" x={5} y={5} width={NODE_WIDTH} height={NODE_HEIGHT} rx={outline} />
      )}
      <rect class="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx={outline} />
      <text class="shape" x={18} y={NODE_HEIGHT / 2 + 6} text-anchor="middle">
        {SHAPES[level]}
      </text>
      <text class="title" x={34} y={21}>
        {fitted(node.name, 20)}
        {node.kind === 'service' && node.name.length < 16 && (
          <tspan class="where"> {fitted(node.namespace, 18 - node.name.length)}</tspan>
        )}
        {node.kind === 'namespace' && <tspan class="where"> {node.members}</tspan>}
      </text>
      <text class="numbers" x={34} y={39}>
        {underName(node)}
      </text>
    </g>
  );
}

/** Dragging, the wheel, and two fingers. A click that moved nothing is a click. */
function useMoves(
  frame: { readonly current: HTMLDivElement | null },
  viewport: { readonly current: Viewport },
  show: (next: Viewport) => void,
): void {
  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const gone = new AbortController();
    const pointers = new Map<number, { x: number; y: number }>();
    const on = { signal: gone.signal };
    const spread = () => {
      const [a, b] = [...pointers.values()];
      return a === undefined || b === undefined ? 0 : Math.hypot(a.x - b.x, a.y - b.y);
    };
    element.addEventListener(
      'pointerdown',
      (event) => pointers.set(event.pointerId, { x: event.clientX, y: event.clientY }),
      on,
    );
    element.addEventListener(
      'pointermove',
      (event) => {
        const before = pointers.get(event.pointerId);
        if (before === undefined || event.buttons === 0) return;
        const apart = spread();
        pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
        element.setPointerCapture(event.pointerId);
        const box = element.getBoundingClientRect();
        if (pointers.size === 1) show(move(viewport.current, event.clientX - before.x, event.clientY - before.y));
        else if (apart > 0)
          show(zoom(viewport.current, spread() / apart, event.clientX - box.left, event.clientY - box.top));
      },
      on,
    );
    for (const end of ['pointerup', 'pointercancel', 'pointerleave'] as const) {
      element.addEventListener(end, (event) => pointers.delete(event.pointerId), on);
    }
    element.addEventListener(
      'wheel',
      (event) => {
        event.preventDefault();
        const box = element.getBoundingClientRect();
        show(zoom(viewport.current, Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top));
      },
      { ...on, passive: false },
    );
    return () => gone.abort();
  }, []);
}
