import { useState } from 'preact/hooks';
import type { MeshView, NodeView, PodView } from '../../lib/stats/mesh-view.ts';
import { formatRate } from '../format.ts';
import { nodeLevel } from '../health.ts';
import { latencyColumn, rpsColumn, successColumn } from '../parts/columns.tsx';
import { Certificate, Mark, Panel } from '../parts/marks.tsx';
import { type Column, DataTable } from '../parts/table.tsx';

const POD_COLUMNS: readonly Column<PodView>[] = [
  {
    key: 'name',
    title: 'Pod',
    width: '30%',
    sort: ({ name }) => name,
    cell: ({ name, namespace }) => (
      <span class="name">
        <b>{name}</b> <small>{namespace}</small>
      </span>
    ),
  },
  { key: 'node', title: 'Node', minor: 'phone', width: '14%', sort: ({ node }) => node, cell: ({ node }) => node },
  {
    key: 'injected',
    title: 'In the mesh',
    phone: '122px',
    width: '14%',
    sort: ({ injected }) => String(injected),
    cell: ({ injected }) => (injected ? <Mark level="good">injected</Mark> : <Mark level="none">not injected</Mark>),
  },
  {
    key: 'ready',
    title: 'Ready',
    minor: 'narrow',
    width: '12%',
    sort: ({ ready }) => String(ready),
    cell: ({ ready }) => (ready ? <Mark level="good">ready</Mark> : <Mark level="warn">not ready</Mark>),
  },
  rpsColumn('9%'),
  successColumn('11%', 'phone'),
  latencyColumn('p95', '10%', 'phone'),
];

/** Nodes with their daemons, and pods with whether they are in the mesh. */
export function Nodes({ mesh }: { mesh: MeshView }) {
  const [filter, setFilter] = useState('');
  return (
    <div class="stack">
      <Panel title={`Nodes (${mesh.nodes.length})`}>
        <ul class="cards wide">
          {mesh.nodes.map((node) => (
            <Node key={node.name} node={node} now={mesh.at} />
          ))}
        </ul>
      </Panel>
      <Panel
        title={`Pods (${mesh.pods.length})`}
        class="full"
        aside={
          <label class="field">
            <span>Filter</span>
            <input
              type="search"
              value={filter}
              placeholder="namespace, pod or node"
              onInput={({ currentTarget }) => setFilter(currentTarget.value)}
            />
          </label>
        }
      >
        <PodTable pods={mesh.pods} filter={filter} empty={mesh.hints[0] ?? 'No pods.'} />
      </Panel>
    </div>
  );
}

export function PodTable({ pods, filter, empty }: { pods: readonly PodView[]; filter: string; empty: string }) {
  const wanted = filter.trim().toLowerCase();
  const rows = pods.filter((pod) => `${pod.namespace}/${pod.name} ${pod.node}`.toLowerCase().includes(wanted));
  return (
    <DataTable
      caption="Pods"
      columns={POD_COLUMNS}
      rows={rows}
      keyOf={({ namespace, name }) => `${namespace}/${name}`}
      initial={{ key: 'name', down: false }}
      empty={pods.length === 0 ? empty : `None is called "${filter}".`}
    />
  );
}

function Node({ node, now }: { node: NodeView; now: number }) {
  return (
    <li>
      <Mark level={nodeLevel(node, now)}>
        <b>{node.name}</b> <small>{node.address}</small>
      </Mark>
      {node.error !== null && <p class="said">{node.error}</p>}
      {node.notes.length > 0 && (
        <ul class="said">
          {node.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      <dl>
        <dt>Daemon</dt>
        <dd>{node.error !== null ? 'no answer' : node.ready ? 'ready' : 'not ready'}</dd>
        <dt>TLS</dt>
        <dd>{node.tls || '–'}</dd>
        <dt>Certificate</dt>
        <dd>
          <Certificate notAfter={node.certificateNotAfter} now={now} />
        </dd>
        <dt>In the mesh</dt>
        <dd>
          {node.injected} of {node.pods} pods
        </dd>
        <dt>Requests/s</dt>
        <dd>{formatRate(node.rps)}</dd>
      </dl>
    </li>
  );
}
