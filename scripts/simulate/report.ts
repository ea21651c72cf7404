import type { Measured, Scenario } from './simulation.ts';
import type { Subject } from './subject.ts';

export interface Result {
  readonly subject: Subject;
  readonly measured: Measured;
}

/** A scenario, and what came of it with each subject. */
export interface Played {
  readonly scenario: Scenario;
  readonly results: readonly Result[];
}

const HEADINGS = ['', 'succeeded', 'p50', 'p99', 'attempts a request', "affected pods' part", 'bad seconds'];

/** A Markdown table: a row a subject. */
export function table({ results }: Played): string {
  const rows = results.map(({ subject, measured }) => {
    const { success, p50Ms, p99Ms, attemptsPerRequest, share, badSeconds } = measured;
    return [
      subject.ours ? `**${subject.name}**` : subject.name,
      percent(success),
      milliseconds(p50Ms),
      milliseconds(p99Ms),
      attemptsPerRequest.toFixed(2),
      share === undefined ? '' : `${(100 * share).toFixed(2)} %`,
      String(badSeconds),
    ];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  return [line(HEADINGS), line(['---', ...HEADINGS.slice(1).map(() => '---:')]), ...rows.map(line)].join('');
}

/** The page of a whole run. */
export function page(played: readonly Played[]): string {
  const [first] = played;
  const { hosts, podsOn } = first?.scenario.shape ?? { hosts: 0, podsOn: () => 0 };
  const rps = hosts * (first?.scenario.requestsPerSecond ?? 0);
  const sections = played.map((one) => `## ${capitalized(one.scenario.name)}\n\n${one.scenario.what}\n\n${table(one)}`);
  return `# What slow, failing and missing pods cost callers

Written by \`npm run simulate\`: a virtual clock, a seed, and the daemon's own code (destinations, hops, balancer, failure accrual, retries
and their budget, as it is shipped and with its defaults) around pods and a network that are simulated.

![Failed requests](failed.svg)

**The cluster.** ${hosts} nodes in three zones, ${podsOn(0)} pods of one Service on each, ${rps} requests a second from all nodes alike. A
pod works on two requests at a time, 20 ms each on average (10 and an exponential 10), up to 100 wait, and one more is answered 503; so the
Service is at 55 % of what it bears. A node hears of changed endpoints after 0.2 to 1 s. A caller waits two seconds. Scenarios that
differ say so.

**Beside it.** linkerd 1.x's defaults in DaemonSet mode: two *nodes* drawn by requests under way, then two pods of the node; five failures
in a row put out for 5 s or more; its two budgets. It is the algorithms with linkerd's numbers, not linkerd itself. Round robin
and least loaded know of no failure: a connection that fails is made elsewhere, three attempts in all, without a budget.
*kind: p2c* is the daemon with that balancer, which goes by requests under way alone; *slowStartMs* is shown where pods start cold.

**The columns.** *Succeeded*, *p50* and *p99* (of what succeeded) and *attempts a request*: requests that began while it went wrong.
*Affected pods' part*: of the attempts that reached a pod in that time. *Bad seconds*: seconds of the whole minute in which more than
one request in a thousand failed.

**What it leaves out.** Connections that are kept alive (each attempt to a node without power costs the connect timeout of a second),
the time that proxies take, and whatever other Services do on the same nodes. The cluster is a small one but for two scenarios.

**How to read it.** A nodemesh daemon chooses by what its own node's requests have met. The daemon on the pod's node hears of all of them: it
puts a failing pod out for every caller, and refuses what a pod cannot bear, before the pod sees a byte; the caller's daemon then asks another pod,
on whichever node (*attempts a request* counts none of these refusals, the latencies do). In linkerd the incoming router hears of all
requests too, but spreads them over the pods of its node alone: that helps where the node has another pod, and costs where pods are spread
unevenly. Among 1 000 nodes no sender hears of a bad pod often enough to put it out or to know it for slow. And nobody's choice of pods helps while
there are too few of them: the herd ends when enough are warm.

${sections.join('\n')}`;
}

const WIDTH = 720;
const LABEL_WIDTH = 170;
const VALUE_WIDTH = 80;
const BAR_HEIGHT = 14;
const BAR_STEP = 18;
const GROUP_GAP = 34;
const TOP = 60;

/** Failed requests by scenario and subject, as an SVG document; readable on light and dark pages. */
export function chart(played: readonly Played[]): string {
  let y = TOP;
  const parts: string[] = [];
  for (const { scenario, results } of played) {
    const failed = results.map(({ measured }) => 1 - measured.success);
    const scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / Math.max(...failed, 1e-9);
    y += GROUP_GAP;
    parts.push(`  <text class="group" x="0" y="${y - 8}">${scenario.name}</text>`);
    for (const [i, { subject }] of results.entries()) {
      const part = failed[i] as number;
      const width = Math.max(1, part * scale);
      parts.push(`  <text x="${LABEL_WIDTH - 10}" y="${y + 11}" text-anchor="end">${subject.name}</text>
  <rect class="${subject.ours ? 'ours' : 'other'}" x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>
  <text x="${(LABEL_WIDTH + width + 8).toFixed(1)}" y="${y + 11}">${percent(part)}</text>`);
      y += BAR_STEP;
    }
  }
  const height = y + 10;
  const title = 'Failed requests';
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${title}">
  <style>
    text { font: 13px system-ui, sans-serif; fill: #24292f }
    .title { font-size: 17px; font-weight: 600 }
    .group { font-weight: 600 }
    .subtitle { font-size: 12px; fill: #57606a }
    .ours { fill: #1a7f37 }
    .other { fill: #afb8c1 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .subtitle { fill: #8d96a0 }
      .ours { fill: #3fb950 }
      .other { fill: #484f58 }
    }
  </style>
  <text class="title" x="0" y="20">${title}</text>
  <text class="subtitle" x="0" y="42">part of the requests that began while it went wrong; each scenario has its own scale</text>
${parts.join('\n')}
</svg>
`;
}

function percent(part: number): string {
  return `${(100 * part).toFixed(3)} %`;
}

function capitalized(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
}

/** Of nothing that succeeded there is none. */
function milliseconds(ms: number): string {
  return Number.isNaN(ms) ? '–' : `${ms.toFixed(0)} ms`;
}
