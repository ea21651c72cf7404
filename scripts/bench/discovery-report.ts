import { type BarGroup, groupedChart } from './chart.ts';
import type { DiscoveryResult } from './discovery.ts';
import { type Verdict, verdict } from './wanted.ts';

/** Rows of the table: what, how it is written, and where it is found. */
const ROWS: readonly (readonly [what: string, text: (result: DiscoveryResult) => string])[] = [
  ['nodes', ({ nodes }) => String(nodes)],
  ['endpoints', ({ endpoints }) => String(endpoints)],
  ['lists, MB of JSON', ({ listedMb }) => listedMb.toFixed(1)],
  ['start to readiness, s', ({ syncMs }) => (syncMs / 1_000).toFixed(2)],
  ['… of it waiting for a core that others used, s', ({ syncWaitMs }) => (syncWaitMs / 1_000).toFixed(2)],
  ['CPU to readiness, s', ({ syncCpuMs }) => (syncCpuMs / 1_000).toFixed(2)],
  ['longest stall, first sync, ms', ({ syncStallMs }) => syncStallMs.toFixed(0)],
  ['pods replaced a minute', ({ podsPerMinute }) => String(podsPerMinute)],
  ['watch events a minute', ({ eventsPerMinute }) => eventsPerMinute.toFixed(0)],
  ['CPU for them, s a minute', ({ churnCpuMsPerMinute }) => (churnCpuMsPerMinute / 1_000).toFixed(2)],
  ['longest stall meanwhile, ms', ({ churnStallMs }) => churnStallMs.toFixed(0)],
  ['changed slice on the wire to its first request, p50, ms', ({ changeP50Ms }) => changeP50Ms.toFixed(1)],
  ['… p99, ms', ({ changeP99Ms }) => changeP99Ms.toFixed(1)],
  ['requests that failed meanwhile', ({ failures }) => String(failures)],
  ['RSS, MB', ({ rssMb }) => rssMb.toFixed(0)],
  ['RSS at most until then, MB', ({ peakRssMb }) => peakRssMb.toFixed(0)],
  ['everything listed again: CPU, s', ({ relistCpuMs }) => (relistCpuMs / 1_000).toFixed(2)],
  ['… longest stall, ms', ({ relistStallMs }) => relistStallMs.toFixed(0)],
  ['… RSS at most, MB', ({ relistRssMb }) => relistRssMb.toFixed(0)],
];

/** What is wanted of the smallest and the largest cluster, of a daemon of one thread. */
export function discoveryVerdicts(results: readonly DiscoveryResult[]): Verdict[] {
  const alone = results.filter(({ workers }) => workers === 1);
  const [small, large] = [alone[0], alone.at(-1)];
  if (small === undefined || large === undefined) return [];
  const of = ({ services }: DiscoveryResult) => `${services} Services`;
  return [
    verdict(`start to readiness, ${of(large)}`, 10, large.syncMs / 1_000, ' s'),
    verdict(`RSS at most, relist included, ${of(large)}`, 350, Math.max(large.peakRssMb, large.relistRssMb), ' MB'),
    verdict(`RSS at most, relist included, ${of(small)}`, 110, Math.max(small.peakRssMb, small.relistRssMb), ' MB'),
    verdict(`longest stall, first sync, ${of(large)}`, 50, large.syncStallMs, ' ms'),
    verdict(`longest stall, pods changing, ${of(large)}`, 50, large.churnStallMs, ' ms'),
    verdict(`longest stall, relist, ${of(large)}`, 50, large.relistStallMs, ' ms'),
    verdict(`changed slice to a request, p50, ${of(large)}`, 5, large.changeP50Ms, ' ms'),
    verdict(`changed slice to a request, p99, ${of(large)}`, 5, large.changeP99Ms, ' ms'),
  ];
}

/** The table, one column a case, as Markdown; read as text, too. */
export function discoveryTable(results: readonly DiscoveryResult[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return [
    line(['Services', ...results.map(nameOf)]),
    line(['---', ...results.map(() => '---:')]),
    ...ROWS.map(([what, text]) => line([what, ...results.map(text)])),
  ].join('');
}

/** The page. `where` says on what machine, and what else ran. */
export function discoveryPage(results: readonly DiscoveryResult[], where: string): string {
  const verdicts = discoveryVerdicts(results).map(
    ({ what, limit, measured, unit, met }) =>
      `| ${what} | ≤ ${limit}${unit} | ${measured.toFixed(1)}${unit} | ${met ? 'met' : '**not met**'} |`,
  );
  return `# What a daemon pays for the size of its cluster

${where}

![Cost by cluster size](discovery.svg)

| wanted | limit | measured |  |
| --- | ---: | ---: | ---: |
${verdicts.join('\n')}

${discoveryTable(results)}
**The cluster.** Ten endpoints a Service on average: of each hundred one has 280 (in slices of at most 100), nine have 40, the others 4. One
node for ten Services, and a daemon on each. Objects are of full size: managedFields, labels, annotations, owners; nodes with 50 images. The API
server is a process of its own that has them ready, over TLS on the other core, in pages of 500.

**The daemon** is the bundle that the image carries, with the manifests' config and environment and a service account; the process starts with an empty
cache. Of a pod that is replaced its slice tells twice: it terminates, and a second later another one is ready.

**A changed slice** is one of 100 endpoints, 35 KB: from its last byte written to the end of the first answer from the pod that it made ready.
Requests go one after another meanwhile, so half a request's time is in it.

**A stall** is how much later than due the event loop came by (\`event_loop_stall_seconds\`, looked at every 10 ms, so up to 10 ms may be
missing): garbage collection, and other programs on the same core, count too. **Listed again**: the API server ends all watches with 410 while pods go on changing.
`;
}

/** Cost by size, of a daemon of one thread. */
export function discoveryChart(results: readonly DiscoveryResult[], subtitle: string): string {
  const alone = results.filter(({ workers }) => workers === 1);
  const group = (name: string, read: (result: DiscoveryResult) => number, unit: string, digits: number): BarGroup => ({
    name,
    bars: alone.map((result) => ({
      label: `${result.services} Services`,
      value: read(result),
      text: `${read(result).toFixed(digits)} ${unit}`,
    })),
  });
  return groupedChart('Cost by cluster size', subtitle, [
    group('RSS', ({ rssMb }) => rssMb, 'MB', 0),
    group('CPU from start to readiness', ({ syncCpuMs }) => syncCpuMs / 1_000, 's', 2),
    group(
      'CPU a minute, half as many pods replaced as there are Services',
      ({ churnCpuMsPerMinute }) => churnCpuMsPerMinute / 1_000,
      's',
      2,
    ),
  ]);
}

function nameOf({ services, workers }: DiscoveryResult): string {
  return workers === 1 ? String(services) : `${services}, workers: ${workers}`;
}
