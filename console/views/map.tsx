import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { MeshView } from '../../lib/stats/mesh-view.ts';
import { type Level, SHAPES } from '../health.ts';
import { Diagram } from '../map/diagram.tsx';
import { describeNode, NODE_HEIGHT, NODE_WIDTH } from '../map/drawing.ts';
import { chosenGraph, GROUP_ABOVE, type MapEdge, type MapGraph, type MapNode, wholeGraph } from '../map/graph.ts';
import type { Layout, LayoutInput } from '../map/layout.ts';
import { requestLayout } from '../map/layout-worker.ts';
import { keepSeen } from '../map/seen.ts';
import { latencyColumn, rpsColumn, successColumn } from '../parts/columns.tsx';
import { type Column, DataTable } from '../parts/table.tsx';
import { routeTo } from '../route.ts';

const LEGEND: readonly [Level, string][] = [
  ['good', '99% or more answered well'],
  ['warn', 'below 99%'],
  ['bad', 'below 95%'],
  ['none', 'no answers lately'],
];

/** Who calls whom. What is chosen is in the address. */
export function MapView({ mesh, query }: { mesh: MeshView; query: URLSearchParams }) {
  const seen = useRef<MapGraph>({ nodes: [], edges: [] });
  const whole = useMemo(() => {
    seen.current = keepSeen(seen.current, wholeGraph(mesh));
    return seen.current;
  }, [mesh]);
  const [search, setSearch] = useState('');
  const [selected, setSelected] = useState('');
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [asTable, setAsTable] = useState(false);
  const focus = query.get('focus') ?? '';
  const namespace = query.get('namespace') ?? '';
  const many = whole.nodes.length > GROUP_ABOVE;
  const grouped = query.get('show') === 'all' ? false : many;
  const go = (change: Readonly<Record<string, string>>) => {
    location.hash = routeTo('map', [], { focus, namespace, show: query.get('show') ?? '', ...change });
  };
  const graph = chosenGraph(whole, { namespace, search, focus, grouped, open });
  const layout = useLayout(graph);
  const namespaces = [...new Set(whole.nodes.map((node) => node.namespace))].filter((one) => one !== '').sort();
  const openNode = (node: MapNode) => {
    setSelected('');
    if (node.kind === 'namespace') setOpen(new Set([...open, node.namespace]));
    else go({ focus: node.id === focus ? '' : node.id });
  };
  const chosen = graph.nodes.find(({ id }) => id === selected);
  return (
    <div class="map-view">
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        <label class="field">
          <span>Search</span>
          <input
            type="search"
            value={search}
            placeholder="namespace or name"
            onInput={({ currentTarget }) => setSearch(currentTarget.value)}
          />
        </label>
        <label class="field">
          <span>Namespace</span>
          <select value={namespace} onChange={({ currentTarget }) => go({ namespace: currentTarget.value, focus: '' })}>
            <option value="">all</option>
            {namespaces.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        {many && (
          <label class="check">
            <input type="checkbox" checked={grouped} onChange={() => go({ show: grouped ? 'all' : '' })} /> Group by
            namespace
          </label>
        )}
        <label class="check">
          <input type="checkbox" checked={asTable} onChange={() => setAsTable(!asTable)} /> As a table
        </label>
        {open.size > 0 && grouped && (
          <button type="button" class="quiet" onClick={() => setOpen(new Set())}>
            Close namespaces
          </button>
        )}
        <button
          type="button"
          class="quiet"
          disabled={focus === '' && namespace === '' && search === ''}
          onClick={() => {
            setSearch('');
            go({ focus: '', namespace: '' });
          }}
        >
          Show all
        </button>
      </form>
      {asTable ? (
        <ConnectionTable graph={graph} />
      ) : whole.nodes.length === 0 ? (
        <p class="map empty">{mesh.hints[0] ?? 'Nobody called anybody yet.'}</p>
      ) : layout === null ? (
        <p class="map empty">Laying out {graph.nodes.length} nodes…</p>
      ) : (
        <Diagram graph={graph} layout={layout} selected={selected} onSelect={setSelected} onOpen={openNode} />
      )}
      <div class="below">
        <ul class="legend" aria-label="Legend">
          {LEGEND.map(([level, text]) => (
            <li key={level} class={`is-${level}`}>
              <svg width="34" height="10" aria-hidden="true" class={`edge is-${level}`}>
                <path class="way" d="M1 5H33" stroke-width="3" />
              </svg>
              <span aria-hidden="true">{SHAPES[level]}</span> {text}
            </li>
          ))}
          <li>The wider, the more requests</li>
        </ul>
        <p class="chosen">
          {chosen === undefined ? (
            'Choose a node to see what goes in and out; open it (double click, Enter) to see it and its neighbours alone.'
          ) : (
            <>
              <span>{describeNode(chosen)}</span>{' '}
              <button type="button" class="quiet" onClick={() => openNode(chosen)}>
                {chosen.kind === 'namespace' ? 'Open it' : 'Neighbours alone'}
              </button>{' '}
              {chosen.kind === 'service' && <a href={routeTo('services', [chosen.namespace, chosen.name])}>Details</a>}
            </>
          )}
        </p>
      </div>
    </div>
  );
}

/**
 * The layout of what is shown; it is asked for again only when nodes or edges come or go, and the one before stays until it has
 * come, as long as it has a place for every node.
 */
function useLayout(graph: MapGraph): Layout | null {
  const [layout, setLayout] = useState<Layout | null>(null);
  const key = `${graph.nodes.map(({ id }) => id).join('\n')}\n\n${graph.edges.map(({ id }) => id).join('\n')}`;
  useEffect(() => {
    const input: LayoutInput = {
      nodes: graph.nodes.map(({ id }) => ({ id, width: NODE_WIDTH, height: NODE_HEIGHT })),
      edges: graph.edges.map(({ id, from, to }) => ({ id, from, to })),
    };
    return requestLayout(input, setLayout);
  }, [key]);
  const covers = layout !== null && graph.nodes.some(({ id }) => layout.nodes[id] !== undefined);
  return covers ? layout : null;
}

const COLUMNS: readonly Column<MapEdge & { caller: string; callee: string }>[] = [
  { key: 'from', title: 'Caller', width: '32%', sort: ({ caller }) => caller, cell: ({ caller }) => <b>{caller}</b> },
  { key: 'to', title: 'Calls', width: '32%', sort: ({ callee }) => callee, cell: ({ callee }) => callee },
  rpsColumn('12%'),
  successColumn('14%'),
  latencyColumn('p95', '10%', 'phone'),
];

function ConnectionTable({ graph }: { graph: MapGraph }) {
  const names = new Map(
    graph.nodes.map((node) => [
      node.id,
      node.namespace === '' || node.kind === 'namespace' ? node.name : `${node.namespace}/${node.name}`,
    ]),
  );
  const rows = graph.edges.map((edge) => ({
    ...edge,
    caller: names.get(edge.from) ?? edge.from,
    callee: names.get(edge.to) ?? edge.to,
  }));
  return (
    <section class="panel full" aria-label="Connections">
      <DataTable
        caption="Who calls whom"
        columns={COLUMNS}
        rows={rows}
        keyOf={({ id }) => id}
        initial={{ key: 'rps', down: true }}
        empty="Nobody called anybody yet."
      />
    </section>
  );
}
