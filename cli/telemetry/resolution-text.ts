import type { Resolution, ResolvedEndpoint } from '../../lib/explain.ts';
import type { Colour, Paint } from '../view/colours.ts';
import { type Column, tableLines } from '../view/table.ts';
import { clean, duration } from '../view/text.ts';

/** The way of a request as lines: who asks, what happened to the name step by step, the pods with their shares, and what comes of it. */
export function resolutionLines(resolution: Resolution, width: number | undefined, paint: Paint): string[] {
  const { node, caller, asked, steps, name, service, endpoints, outcome } = resolution;
  const who = caller.known
    ? `${caller.namespace ?? '?'}/${caller.pod ?? caller.ip ?? '?'}`
    : (caller.ip ?? 'a stranger');
  const whose = caller.workload === null ? '' : ` (${caller.workload})`;
  const target =
    service === null ? '' : ` = ${service.namespace}/${service.name}${service.port === null ? '' : `:${service.port}`}`;
  const lines = [
    paint(clean(`${who}${whose}`), 'bold') +
      clean(` on ${caller.node ?? 'an unknown node'}, as ${node} sees it: ${caller.why}`),
    clean(`│ ${asked.method} http://${asked.host}${asked.path}`),
    ...steps.flatMap((step) => stepLines(step, paint)),
    '│',
    `▼ ${paint(clean(`${name ?? asked.host}${target}`), 'bold')}`,
  ];
  if (endpoints.length > 0) {
    const ordered = endpoints.toSorted(
      (a, b) => (b.weight ?? -1) - (a.weight ?? -1) || (a.address < b.address ? -1 : 1),
    );
    const inner = width === undefined ? undefined : width - 2;
    lines.push(...tableLines(columnsFor(endpoints), ordered, inner, paint).map((line) => `  ${line}`));
  }
  const said = `${outcome.error === null ? '' : `${outcome.error}: `}${outcome.text}`;
  return [...lines, '', paint(`${outcome.ok ? '✓' : '✗'} ${clean(said)}`, outcome.ok ? 'green' : 'red')];
}

function stepLines({ step, title, detail, ok }: Resolution['steps'][number], paint: Paint): string[] {
  const mark = ok ? '├─' : paint('✗─', 'red');
  const [first = '', ...others] = detail.split('\n').map(clean);
  const head = `${mark} ${paint(clean(step), 'dim')} ${clean(title)}${first === '' ? '' : `: ${first}`}`;
  return [head, ...others.map((line) => `│    ${line}`)];
}

/** Columns of which no endpoint has anything are left out. */
function columnsFor(endpoints: readonly ResolvedEndpoint[]): Column<ResolvedEndpoint>[] {
  const known = (has: (endpoint: ResolvedEndpoint) => unknown) => endpoints.some((one) => has(one));
  const columns: (Column<ResolvedEndpoint> | false)[] = [
    {
      title: 'SHARE',
      right: true,
      text: ({ weight }) => (weight === null ? '-' : `${(weight * 100).toFixed(1)}%`),
      colour: used,
    },
    { title: 'ENDPOINT', text: ({ address }) => address, colour: used },
    known(({ pod }) => pod) && { title: 'POD', shrinks: true, text: ({ pod }) => pod ?? '-', colour: used },
    known(({ node }) => node) && { title: 'NODE', shrinks: true, text: ({ node }) => node ?? '-', colour: used },
    known(({ zone }) => zone) && { title: 'ZONE', shrinks: true, text: ({ zone }) => zone ?? '-', colour: used },
    known(({ gateway }) => gateway) && { title: 'THROUGH', text: ({ gateway }) => gateway ?? 'straight', colour: used },
    known(({ latencyMs }) => latencyMs !== null) && {
      title: 'LATENCY',
      right: true,
      text: ({ latencyMs }) => duration(latencyMs),
    },
    known(({ inFlight }) => inFlight !== null) && {
      title: 'IN FLIGHT',
      right: true,
      text: ({ inFlight }) => (inFlight === null ? '-' : String(inFlight)),
    },
    { title: 'POLICY', shrinks: true, text: policyText, colour: policyColour },
    known(({ dropped, out }) => dropped !== null || out) && { title: 'WHY NOT', text: whyNot, colour: () => 'yellow' },
  ];
  return columns.filter((column) => column !== false);
}

function used({ dropped, out }: ResolvedEndpoint): Colour | undefined {
  return dropped !== null || out ? 'dim' : undefined;
}

function policyText({ policy: { verdict, by } }: ResolvedEndpoint): string {
  return by === 'none' || by === '' ? verdict : `${verdict} by ${by}`;
}

function policyColour({ policy: { verdict } }: ResolvedEndpoint): Colour | undefined {
  if (verdict === 'denied') return 'red';
  return verdict === 'unknown' ? 'yellow' : undefined;
}

function whyNot({ dropped, out }: ResolvedEndpoint): string {
  return dropped ?? (out ? 'it failed, and is left alone for a while' : '');
}
