import type { MeshView, ServiceView } from '../../lib/stats/mesh-view.ts';
import { formatCount, formatMs, formatRate, formatShare } from '../format.ts';
import { levelOf, nodeLevel } from '../health.ts';
import { Certificate, Mark, Panel, ServiceName, Success } from '../parts/marks.tsx';
import { Sparkline } from '../parts/sparkline.tsx';
import { routeTo } from '../route.ts';
import { troubles } from '../troubles.ts';

const BUSIEST = 8;
const SHARES = { p50: 'half took less', p95: '19 of 20 took less', p99: '99 of 100 took less' } as const;

/** What an operator wants to know first: is it well, what is not, and how much goes on. */
export function Overview({ mesh }: { mesh: MeshView }) {
  const whole = mesh.total;
  const window = `over ${Math.round(mesh.windowMs / 1_000)} s`;
  const busiest = mesh.services.toSorted((a, b) => b.rps - a.rps).slice(0, BUSIEST);
  return (
    <div class="overview">
      {mesh.hints.length > 0 && (
        <Panel title="What to do next" class="hints">
          <ul>
            {mesh.hints.map((hint) => (
              <li key={hint}>{hint}</li>
            ))}
          </ul>
        </Panel>
      )}
      <section class="tiles" aria-label="The whole in numbers">
        <Tile title="Requests" unit="per second" value={formatRate(whole.rps)}>
          <Sparkline values={whole.series.rps} kind="rps" width={140} height={28} />
        </Tile>
        <Tile title="Success" unit={window} value={formatShare(whole.successRate)} level={levelOf(whole.successRate)}>
          <Sparkline values={whole.series.successRate} kind="success" floor={0.9} ceiling={1} width={140} height={28} />
        </Tile>
        {(['p50', 'p95', 'p99'] as const).map((percentile) => (
          <Tile key={percentile} title={percentile} unit={window} value={formatMs(whole[percentile])}>
            <small>{whole[percentile] === null ? 'no answers yet' : SHARES[percentile]}</small>
          </Tile>
        ))}
        <Tile title="Retries" unit="per second" value={formatRate(whole.retriesPerSecond)}>
          <small>
            {whole.rps > 0 ? `${formatShare(whole.retriesPerSecond / whole.rps)} of requests` : 'no requests yet'}
          </small>
        </Tile>
      </section>
      <Panel title="Needs a look" class="look">
        <Troubles mesh={mesh} />
      </Panel>
      <Panel
        title="Busiest Services"
        class="busiest"
        aside={<a href={routeTo('services')}>All {mesh.services.length}</a>}
      >
        {busiest.length === 0 ? <p class="empty">No Service was called yet.</p> : <Busiest services={busiest} />}
      </Panel>
      <Panel title="Nodes" class="nodes" aside={<a href={routeTo('nodes')}>Pods and nodes</a>}>
        <ul class="cards">
          {mesh.nodes.map((node) => (
            <li key={node.name}>
              <Mark level={nodeLevel(node, mesh.at)}>
                <b>{node.name}</b>
              </Mark>
              <span>{node.error ?? (node.ready ? 'ready' : `not ready: ${node.notes.join('; ')}`)}</span>
              <small>
                {node.injected} of {formatCount(node.pods, 'pod')} in the mesh · {formatRate(node.rps)}/s · certificate{' '}
                <Certificate notAfter={node.certificateNotAfter} now={mesh.at} />
              </small>
            </li>
          ))}
        </ul>
      </Panel>
    </div>
  );
}

function Tile(props: {
  title: string;
  unit: string;
  value: string;
  level?: string;
  children: preact.ComponentChildren;
}) {
  return (
    <div class="tile">
      <h2>
        {props.title} <small>{props.unit}</small>
      </h2>
      <p class={`figure is-${props.level ?? 'plain'}`}>{props.value}</p>
      <div class="more">{props.children}</div>
    </div>
  );
}

function Troubles({ mesh }: { mesh: MeshView }) {
  const found = troubles(mesh);
  if (found.length === 0) {
    return (
      <p class="empty">
        <Mark level={mesh.services.some(({ rps }) => rps > 0) ? 'good' : 'none'}>
          {mesh.services.some(({ rps }) => rps > 0) ? 'Nothing: all is well.' : 'Nothing happens yet.'}
        </Mark>
      </p>
    );
  }
  return (
    <ul class="troubles">
      {found.map(({ level, what, why, href }) => (
        <li key={what}>
          <Mark level={level}>
            <a href={href}>{what}</a>
          </Mark>
          <span>{why}</span>
        </li>
      ))}
    </ul>
  );
}

function Busiest({ services }: { services: readonly ServiceView[] }) {
  const most = Math.max(...services.map(({ rps }) => rps), 0.001);
  return (
    <table class="plain">
      <caption class="unseen">The busiest Services</caption>
      <thead>
        <tr>
          <th scope="col">Service</th>
          <th scope="col" class="numeric">
            rps
          </th>
          <th scope="col" class="numeric">
            Success
          </th>
          <th scope="col" class="numeric minor-phone">
            p95
          </th>
        </tr>
      </thead>
      <tbody>
        {services.map((service) => (
          <tr key={`${service.namespace}/${service.name}`}>
            <th scope="row">
              <ServiceName {...service} />
              <svg class="bar" width="100%" height="3" aria-hidden="true">
                <rect width={`${(service.rps / most) * 100}%`} height="3" rx="1.5" />
              </svg>
            </th>
            <td class="numeric">{formatRate(service.rps)}</td>
            <td class="numeric">
              <Success rate={service.successRate} />
            </td>
            <td class="numeric minor-phone">{formatMs(service.p95)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
