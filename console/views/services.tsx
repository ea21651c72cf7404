import { useState } from 'preact/hooks';
import type { EdgeView, MeshView, ServiceView } from '../../lib/stats/mesh-view.ts';
import { INTERVAL_MS } from '../../lib/stats/node-stats.ts';
import { formatMs, formatRate, formatShare, formatTime } from '../format.ts';
import { serviceId, sourceId } from '../map/graph.ts';
import { Chart } from '../parts/chart.tsx';
import { latencyColumn, rpsColumn, successColumn } from '../parts/columns.tsx';
import { Panel, ServiceName, Success } from '../parts/marks.tsx';
import { Sparkline } from '../parts/sparkline.tsx';
import { type Column, DataTable } from '../parts/table.tsx';
import { type Route, routeTo } from '../route.ts';
import { PodTable } from './nodes.tsx';

const COLUMNS: readonly Column<ServiceView>[] = [
  {
    key: 'name',
    title: 'Service',
    width: '24%',
    sort: ({ name }) => name,
    cell: (service) => <ServiceName {...service} />,
  },
  rpsColumn('8%'),
  {
    key: 'rps-line',
    title: '5 minutes',
    minor: 'phone',
    width: '12%',
    cell: ({ series }) => <Sparkline values={series.rps} kind="rps" />,
  },
  successColumn('11%'),
  {
    key: 'success-line',
    title: '5 minutes',
    minor: 'narrow',
    width: '12%',
    cell: ({ series }) => <Sparkline values={series.successRate} kind="success" floor={0.9} ceiling={1} />,
  },
  latencyColumn('p50', '8%', 'narrow'),
  latencyColumn('p95', '8%', 'phone'),
  latencyColumn('p99', '9%'),
  {
    key: 'retries',
    title: 'Retries/s',
    numeric: true,
    minor: 'phone',
    width: '8%',
    sort: ({ retriesPerSecond }) => retriesPerSecond,
    cell: ({ retriesPerSecond }) => formatRate(retriesPerSecond),
  },
];

/** All Services, or the one that the route names. */
export function Services({ mesh, route, theme }: { mesh: MeshView; route: Route; theme: string }) {
  const [filter, setFilter] = useState(route.query.get('filter') ?? '');
  const [namespace = '', name = ''] = route.rest;
  if (route.rest.length === 2) {
    const service = mesh.services.find((one) => one.namespace === namespace && one.name === name);
    if (service !== undefined) return <OneService mesh={mesh} service={service} theme={theme} />;
    return (
      <p class="empty">
        No requests for {name} in {namespace} were seen lately. <a href={routeTo('services')}>All Services</a>
      </p>
    );
  }
  const wanted = filter.trim().toLowerCase();
  const rows = mesh.services.filter((one) => `${one.namespace}/${one.name}`.toLowerCase().includes(wanted));
  return (
    <Panel
      title="Services"
      class="full"
      aside={
        <label class="field">
          <span>Filter</span>
          <input
            type="search"
            value={filter}
            placeholder="namespace or name"
            onInput={({ currentTarget }) => setFilter(currentTarget.value)}
          />
        </label>
      }
    >
      <DataTable
        caption="Services and their golden metrics"
        columns={COLUMNS}
        rows={rows}
        keyOf={serviceId}
        initial={{ key: 'rps', down: true }}
        empty={
          mesh.services.length === 0 ? (mesh.hints[0] ?? 'No Service was called yet.') : `None is called "${filter}".`
        }
      />
    </Panel>
  );
}

function OneService({ mesh, service, theme }: { mesh: MeshView; service: ServiceView; theme: string }) {
  const { series } = service;
  const times = series.rps.map((_, index) => mesh.at - (series.rps.length - 1 - index) * INTERVAL_MS);
  const id = serviceId(service);
  const callers = mesh.edges.filter((edge) => serviceId(edge.target) === id);
  const callees = mesh.edges.filter((edge) => sourceId(edge) === id);
  const pods = mesh.pods.filter(
    (pod) => pod.namespace === service.namespace && service.workloads.includes(pod.workload),
  );
  return (
    <div class="one">
      <p class="links">
        <a href={routeTo('services')}>All Services</a>
        <a href={routeTo('map', [], { focus: id })}>On the map</a>
        <a href={routeTo('tap', [], { namespace: service.namespace, service: service.name })}>Tap</a>
        <a href={routeTo('resolve', [], { host: `${service.name}.${service.namespace}` })}>Resolve</a>
      </p>
      <dl class="figures">
        <Figure title="Requests/s">{formatRate(service.rps)}</Figure>
        <Figure title="Success">
          <Success rate={service.successRate} />
        </Figure>
        <Figure title="p50">{formatMs(service.p50)}</Figure>
        <Figure title="p95">{formatMs(service.p95)}</Figure>
        <Figure title="p99">{formatMs(service.p99)}</Figure>
        <Figure title="Retries/s">{formatRate(service.retriesPerSecond)}</Figure>
      </dl>
      <Panel title="Requests per second, 5 minutes">
        <Chart
          label={`Requests per second to ${service.name}: now ${formatRate(series.rps.at(-1) ?? 0)}, at most ${formatRate(Math.max(0, ...series.rps))}`}
          name="requests/s"
          colour="--accent"
          theme={theme}
          times={times}
          values={series.rps}
          range={(_low, high) => [0, Math.max(1, high * 1.1)]}
          format={(value) => (value === null ? '–' : formatRate(value))}
        />
      </Panel>
      <Panel title="Success rate, 5 minutes">
        <Chart
          label={`Success rate of ${service.name}: now ${formatShare(series.successRate.at(-1) ?? null)}`}
          name="success"
          colour="--good-fill"
          theme={theme}
          times={times}
          values={series.successRate}
          range={(low) => [Math.min(0.9, Math.floor(low * 10) / 10), 1]}
          format={formatShare}
        />
      </Panel>
      <Panel title={`Called by (${callers.length})`}>
        <Edges edges={callers} other="source" empty="Nobody called it lately." />
      </Panel>
      <Panel title={`Calls (${callees.length})`}>
        <Edges edges={callees} other="target" empty="It called no other Service lately." />
      </Panel>
      <Panel title={`Pods (${pods.length})`} class="full">
        <PodTable pods={pods} filter="" empty="No pod of it answered lately." />
      </Panel>
      <details class="full">
        <summary>The charts as a table</summary>
        <table class="plain">
          <caption class="unseen">Requests per second and success rate, each half minute</caption>
          <thead>
            <tr>
              <th scope="col">At</th>
              <th scope="col" class="numeric">
                rps
              </th>
              <th scope="col" class="numeric">
                Success
              </th>
            </tr>
          </thead>
          <tbody>
            {times.flatMap((at, index) =>
              (times.length - 1 - index) % 6 !== 0
                ? []
                : [
                    <tr key={index}>
                      <th scope="row">{formatTime(at)}</th>
                      <td class="numeric">{formatRate(series.rps[index] ?? 0)}</td>
                      <td class="numeric">{formatShare(series.successRate[index] ?? null)}</td>
                    </tr>,
                  ],
            )}
          </tbody>
        </table>
      </details>
    </div>
  );
}

function Figure({ title, children }: { title: string; children: preact.ComponentChildren }) {
  return (
    <div>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Callers or callees with what goes between: `other` tells which end is named. */
function Edges({ edges, other, empty }: { edges: readonly EdgeView[]; other: 'source' | 'target'; empty: string }) {
  if (edges.length === 0) return <p class="empty">{empty}</p>;
  return (
    <table class="plain">
      <caption class="unseen">{other === 'source' ? 'Callers' : 'Called Services'}</caption>
      <thead>
        <tr>
          <th scope="col">{other === 'source' ? 'Caller' : 'Service'}</th>
          <th scope="col" class="numeric">
            rps
          </th>
          <th scope="col" class="numeric">
            Success
          </th>
          <th scope="col" class="numeric">
            p95
          </th>
        </tr>
      </thead>
      <tbody>
        {edges
          .toSorted((a, b) => b.rps - a.rps)
          .map((edge) => (
            <tr key={`${sourceId(edge)}>${serviceId(edge.target)}`}>
              <th scope="row">
                <End edge={edge} other={other} />
              </th>
              <td class="numeric">{formatRate(edge.rps)}</td>
              <td class="numeric">
                <Success rate={edge.successRate} />
              </td>
              <td class="numeric">{formatMs(edge.p95)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}

function End({ edge, other }: { edge: EdgeView; other: 'source' | 'target' }) {
  if (other === 'target') return <ServiceName {...edge.target} />;
  if (edge.source.kind === 'service') return <ServiceName {...edge.source} />;
  if (edge.source.kind === 'outside') return <span class="name">outside the mesh</span>;
  return (
    <span class="name">
      <b>{edge.source.name}</b> <small>{edge.source.namespace}, workload</small>
    </span>
  );
}
