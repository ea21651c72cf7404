import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { type Level, levelOf, SHAPES } from '../health.ts';
import { drawnOnChange } from '../parts/unchanged.ts';
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
import { isDense, type Layout, type Point } from './layout.ts';
import { detailAt, fit, move, type Viewport, zoom } from './viewport.ts';

const PAN_PX = 60;
const ZOOM_STEP = 1.25;

interface DiagramProps {
  readonly graph: MapGraph;
  readonly layout: Layout;
  readonly selected: string;
  readonly onSelect: (id: string) => void;
  readonly onOpen: (node: MapNode) => void;
}

/** What nodes act on, by a reference that stays: they need not be drawn again for a new function. */
type Latest = { readonly current: DiagramProps };

/**
 * The map as a drawing that is moved and zoomed by mouse, fingers and keys. Where it stands goes straight to the one element
 * that holds all others: 500 nodes are not looked at again for each pixel. Screen readers get the table instead.
 */
export function Diagram(props: DiagramProps) {
  const { graph, layout, selected } = props;
  const latest = useRef(props);
  latest.current = props;
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
              <Edge key={edge.id} {...lookOf(edge, selected, busiest, dense)} points={layout.edges[edge.id]} />
            ))}
            {graph.nodes.map((node) => (
              <Node
                key={node.id}
                id={node.id}
                kind={node.kind}
                namespace={node.namespace}
                name={node.name}
                members={node.members}
                level={levelOf(node.successRate)}
                under={underName(node)}
                says={describeNode(node)}
                place={layout.nodes[node.id]}
                selected={node.id === selected}
                latest={latest}
              />
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

/** What of an edge's numbers is seen, as plain values: most of them are the same after an update. */
function lookOf(edge: MapEdge, selected: string, busiest: number, dense: boolean) {
  const level = levelOf(edge.successRate);
  // Among many, what is small and well stands back.
  const small = dense && edge.rps < busiest / 8 && level !== 'bad';
  const touched = selected !== '' && (edge.from === selected || edge.to === selected);
  return {
    look: `is-${edge.rps > 0 ? level : 'none'} ${touched || (selected === '' && !small) ? '' : 'faint'}`,
    width: Math.round(widthOf(edge.rps, busiest) * 10) / 10,
    label: small && !touched ? '' : edgeLabel(edge, touched),
  };
}

const Edge = drawnOnChange(
  ({
    points,
    look,
    width,
    label,
  }: {
    points: readonly Point[] | undefined;
    look: string;
    width: number;
    label: string;
  }) => {
    if (points === undefined || points.length === 0) return null;
    const middle = middleOf(points);
    const end = points.at(-1) ?? middle;
    const tip = 5 + width / 2;
    return (
      <g class={`edge ${look}`}>
        <path class="way" d={curveThrough(points)} stroke-width={width} />
        <path class="tip" d={`M${end.x} ${end.y}l${-tip * 1.6} ${-tip}v${tip * 2}z`} />
        {label !== '' && (
          <text x={middle.x} y={middle.y - width / 2 - 3} text-anchor="middle">
            {label}
          </text>
        )}
      </g>
    );
  },
);

const Node = drawnOnChange(
  (props: {
    id: string;
    kind: MapNode['kind'];
    namespace: string;
    name: string;
    members: number;
    level: Level;
    under: string;
    says: string;
    place: Point | undefined;
    selected: boolean;
    latest: Latest;
  }) => {
    const { id, kind, name, level, place, selected, latest } = props;
    if (place === undefined) return null;
    const outline = kind === 'workload' || kind === 'outside' ? NODE_HEIGHT / 2 : 8;
    const open = () => {
      const node = latest.current.graph.nodes.find((one) => one.id === id);
      if (node !== undefined) latest.current.onOpen(node);
    };
    return (
      // biome-ignore lint/a11y/noStaticElementInteractions: by keyboard the map's own keys choose and open nodes
      <g
        class={`node is-${level} kind-${kind} ${selected ? 'selected' : ''}`}
        transform={`translate(${place.x - NODE_WIDTH / 2} ${place.y - NODE_HEIGHT / 2})`}
        onClick={() => latest.current.onSelect(selected ? '' : id)}
        onDblClick={open}
      >
        <title>{props.says}</title>
        {kind === 'namespace' && (
          <rect class="behind" x={5} y={5} width={NODE_WIDTH} height={NODE_HEIGHT} rx={outline} />
        )}
        <rect class="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx={outline} />
        <text class="shape" x={18} y={NODE_HEIGHT / 2 + 6} text-anchor="middle">
          {SHAPES[level]}
        </text>
        <text class="title" x={34} y={21}>
          {fitted(name, 20)}
          {kind === 'service' && name.length < 16 && (
            <tspan class="where"> {fitted(props.namespace, 18 - name.length)}</tspan>
          )}
          {kind === 'namespace' && <tspan class="where"> {props.members}</tspan>}
        </text>
        <text class="numbers" x={34} y={39}>
          {props.under}
        </text>
      </g>
    );
  },
);

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
