import type { Colour } from '../view/colours.ts';
import type { Column } from '../view/table.ts';
import { duration, percent, rate, sparkline, timeLeft } from '../view/text.ts';
import type { Kind, StatRow } from './stat-rows.ts';

type Columns = readonly Column<StatRow>[];

/** Below these a success rate is shown in red or yellow. */
const BAD = 0.95;
const DOUBTFUL = 0.99;
/** A certificate that is not renewed by then is a fault: daemons renew theirs when a third of its life is left. */
const SOON_MS = 2 * 3_600_000;
/** Bars of the last minutes, of 5 s each. */
const BARS = 24;

const OUTSIDE = '(outside)'; // callers that are no pods

const golden: Columns = [
  { title: 'SUCCESS', right: true, text: (row) => percent(row.success_rate), colour: successColour },
  { title: 'RPS', right: true, text: (row) => (row.requests === 0 ? '-' : rate(row.rps)) },
  { title: 'P50', right: true, text: (row) => duration(row.p50_ms) },
  { title: 'P95', right: true, text: (row) => duration(row.p95_ms) },
  { title: 'P99', right: true, text: (row) => duration(row.p99_ms) },
];
const retries: Columns = [
  {
    title: 'RETRIES',
    right: true,
    text: (row) => (row.requests === 0 ? '-' : rate(row.retries_per_second)),
    colour: (row) => (row.retries_per_second > 0 ? 'yellow' : undefined),
  },
];
const more: Columns = [
  { title: 'REQUESTS', right: true, text: (row) => String(row.requests) },
  { title: 'FAILURES', right: true, text: (row) => String(row.failures) },
  { title: 'TREND', text: (row) => sparkline(row.rps_series.slice(-BARS)) },
];
const namespace: Columns = [{ title: 'NAMESPACE', shrinks: true, text: (row) => row.namespace || '-' }];
const named = (title: string): Columns => [{ title, shrinks: true, text: (row) => row.name || OUTSIDE }];
const state: Columns = [
  { title: 'READY', right: true, text: (row) => row.ready ?? '-', colour: (row) => notAll(row.ready) },
  { title: 'MESHED', right: true, text: (row) => row.injected ?? '-' },
];

/** The columns of each kind. `now` is ms since 1970. */
export function statColumns(kind: Kind, wide: boolean, now: number): Columns {
  const extra = wide ? more : [];
  switch (kind) {
    case 'services':
      return [...namespace, ...named('SERVICE'), ...golden, ...retries, ...extra];
    case 'workloads':
      return [...namespace, ...named('WORKLOAD'), ...state, ...golden, ...extra];
    case 'pods':
      return [
        ...namespace,
        ...named('POD'),
        { title: 'NODE', shrinks: true, text: (row) => row.node ?? '-' },
        ...state,
        ...golden,
        ...extra,
      ];
    case 'edges':
      return [
        { title: 'FROM', shrinks: true, text: (row) => (row.name === '' ? OUTSIDE : `${row.namespace}/${row.name}`) },
        { title: 'TO', shrinks: true, text: ({ target }) => `${target?.namespace}/${target?.name}` },
        ...golden,
        ...retries,
        ...extra,
      ];
    case 'nodes':
      return [
        ...named('NODE'),
        {
          title: 'DAEMON',
          text: ({ daemon }) => (daemon === undefined ? '-' : daemon.ready ? 'ready' : 'not ready'),
          colour: ({ daemon }) => (daemon?.ready === false ? 'red' : undefined),
        },
        { title: 'TLS', text: ({ daemon }) => daemon?.tls || '-' },
        {
          title: 'CERTIFICATE',
          right: true,
          text: ({ daemon }) => timeLeft(daemon?.certificate_not_after ?? null, now),
          colour: ({ daemon }) => expiryColour(daemon?.certificate_not_after ?? null, now),
        },
        ...golden,
        ...retries,
        ...extra,
        ...(wide ? [{ title: 'VERSION', text: ({ daemon }: StatRow) => daemon?.version ?? '-' }] : []),
      ];
  }
}

function successColour({ success_rate }: StatRow): Colour | undefined {
  if (success_rate === null) return 'dim';
  if (success_rate < BAD) return 'red';
  return success_rate < DOUBTFUL ? 'yellow' : 'green';
}

/** `2/3`. */
function notAll(ready: string | undefined): Colour | undefined {
  const [some, all] = (ready ?? '').split('/');
  return some === all ? undefined : 'yellow';
}

function expiryColour(notAfter: number | null, now: number): Colour | undefined {
  if (notAfter === null) return undefined;
  if (notAfter <= now) return 'red';
  return notAfter - now < SOON_MS ? 'yellow' : undefined;
}
