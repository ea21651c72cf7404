import type { EndpointsView } from '../../lib/explain.ts';
import type { Colour, Paint } from '../view/colours.ts';
import { type Column, tableLines } from '../view/table.ts';
import { clean, duration } from '../view/text.ts';

/** One endpoint of a port of a Service, as one node knows it. */
interface Row {
  readonly service: string;
  readonly port: string;
  readonly address: string;
  readonly pod: string | null;
  readonly node: string | null;
  readonly zone: string | null;
  readonly state: 'ready' | 'not ready' | 'out' | 'unused' | 'none';
  readonly why: string;
  readonly latencyMs: number | null;
  readonly inFlight: number | null;
}

const COLOURS: Readonly<Record<Row['state'], Colour | undefined>> = {
  ready: undefined,
  'not ready': 'yellow',
  out: 'red',
  unused: 'dim',
  none: 'yellow',
};

/** The endpoints that a node knows as a table; below it what keeps the node from hearing of changes. */
export function endpointLines(view: EndpointsView, width: number | undefined, paint: Paint): string[] {
  const rows = view.services.flatMap((service) => rowsOf(service));
  const columns: Column<Row>[] = [
    { title: 'SERVICE', shrinks: true, text: ({ service }) => service },
    { title: 'PORT', text: ({ port }) => port },
    { title: 'ENDPOINT', text: ({ address }) => address },
    { title: 'POD', shrinks: true, text: ({ pod }) => pod ?? '-' },
    { title: 'NODE', shrinks: true, text: ({ node }) => node ?? '-' },
    { title: 'ZONE', shrinks: true, text: ({ zone }) => zone ?? '-' },
    { title: 'STATE', text: ({ state }) => state, colour: ({ state }) => COLOURS[state] },
    { title: 'LATENCY', right: true, text: ({ latencyMs }) => duration(latencyMs) },
    { title: 'IN FLIGHT', right: true, text: ({ inFlight }) => (inFlight === null ? '-' : String(inFlight)) },
    { title: 'WHY', text: ({ why }) => why },
  ];
  const shown = columns.filter(
    ({ title }) =>
      (title !== 'ZONE' || rows.some(({ zone }) => zone !== null)) && (title !== 'WHY' || rows.some(({ why }) => why)),
  );
  const stale = view.watches.filter(({ synced, failure }) => !synced || failure !== null);
  return [
    ...tableLines(shown, rows, width, paint),
    ...stale.map(({ resource, failure }) =>
      paint(clean(`${view.node} hears of no change of ${resource}: ${failure ?? 'not read yet'}`), 'yellow'),
    ),
  ];
}

function rowsOf({ namespace, name, ports, balancers }: EndpointsView['services'][number]): Row[] {
  const known = new Map(balancers.flatMap(({ endpoints }) => endpoints.map((one) => [one.address, one] as const)));
  const service = `${namespace}/${name}`;
  const nothing = { pod: null, node: null, zone: null, latencyMs: null, inFlight: null };
  return ports.flatMap(({ name, port, endpoints }): Row[] => {
    const about = { service, port: [name, port ?? ''].filter((part) => part !== '').join(' ') || '-' };
    if (endpoints.length === 0) return [{ ...about, ...nothing, address: '-', state: 'none', why: 'no endpoint' }];
    return endpoints.map(({ address, pod, node, zone, ready, dropped }) => {
      const balanced = known.get(address);
      const out = balanced?.out === true;
      const state = !ready ? 'not ready' : out ? 'out' : dropped !== null ? 'unused' : 'ready';
      const why = dropped ?? (out ? `failed; tried again in ${duration(balanced.outForMs)}` : '');
      const { latencyMs = null, inFlight = null } = balanced ?? {};
      return { ...about, address, pod, node, zone, state, why, latencyMs, inFlight };
    });
  });
}
