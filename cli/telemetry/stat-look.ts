import type { NodeStats } from '../../lib/stats/node-stats.ts';
import { MAX_WINDOW_S } from '../../lib/stats/node-stats.ts';
import { count, few } from '../checks/finding.ts';
import { connect } from '../cluster/connection.ts';
import { MeshPods, type Unreachable } from '../cluster/daemons.ts';
import { type Call, type Host, textOption, UsageError } from '../host.ts';
import { paintOf } from '../view/colours.ts';
import { showAgain } from '../view/screen.ts';
import { cut, tableLines } from '../view/table.ts';
import { clean, jsonText } from '../view/text.ts';
import { KINDS, type Kind, type Order, type StatQuestion, type StatRow, statRows } from './stat-rows.ts';
import { statColumns } from './stat-table.ts';

/** Of hundreds of nodes that refuse the same, the first few tell enough. */
const NAMED = 5;
const EVERY_MS = 2_000;
/** After so many looks the daemons are looked for anew: nodes come and go. */
const LOOKS = 15;
const ALIASES: Readonly<Record<string, Kind>> = {
  service: 'services',
  svc: 'services',
  pod: 'pods',
  po: 'pods',
  workload: 'workloads',
  deploy: 'workloads',
  node: 'nodes',
  no: 'nodes',
  edge: 'edges',
};

interface Look {
  readonly rows: readonly StatRow[];
  readonly nodes: number;
  readonly unreachable: readonly Unreachable[];
}

interface Wish extends StatQuestion {
  readonly windowS: number;
  readonly format: string;
}

/** `nodemesh stat`, and `top` with another order. Gives 1 where no daemon answered, 2 where some did not. Throws UsageError, CommandError. */
export async function statCommand(
  call: Call,
  name: string,
  defaults: { sort: Order; again: boolean },
): Promise<number> {
  const { host } = call;
  const wish = wishOf(call, name, defaults.sort);
  let pods = await MeshPods.find(connect(host), 'daemon', host.now);
  if (!defaults.again) {
    const found = await look(pods, wish);
    host.write(wish.format === 'json' ? `${json(host, wish, found, 2)}\n` : `${table(host, wish, found).join('\n')}\n`);
    const named = wish.format === 'json' ? [] : found.unreachable;
    for (const { node, why } of named.slice(0, NAMED)) host.complain(`${clean(node)}: ${why}\n`);
    if (named.length > NAMED) host.complain(`and ${count(named.length - NAMED, 'node')} more could not be asked\n`);
    return statusOf(found);
  }
  let looks = 0;
  let status = 0;
  await showAgain(host, EVERY_MS, async (signal, room) => {
    looks += 1;
    if (looks % LOOKS === 0 || status !== 0) pods = await pods.again().catch(() => pods);
    const found = await look(pods, wish, signal);
    if (!signal.aborted) status = statusOf(found); // what was broken off says nothing of the nodes
    return wish.format === 'json' ? [json(host, wish, found)] : page(host, wish, found, room);
  });
  return status;
}

function wishOf(call: Call, name: string, sort: Order): Wish {
  const { positionals, options } = call;
  const [word = 'services', ...others] = positionals;
  const kind = KINDS.find((one) => one === word) ?? (Object.hasOwn(ALIASES, word) ? ALIASES[word] : undefined);
  if (kind === undefined || others.length > 0) {
    throw new UsageError(`${name} is of ${KINDS.join(', ')}, not "${positionals.join(' ')}"`);
  }
  const namespace = textOption(call, 'namespace');
  if (namespace !== undefined && options['all-namespaces'] === true) {
    throw new UsageError(`${name} takes --namespace or --all-namespaces, not both`);
  }
  const [from, to] = [textOption(call, 'from'), textOption(call, 'to')];
  if ((from !== undefined || to !== undefined) && (kind === 'pods' || kind === 'nodes')) {
    throw new UsageError(`--from and --to are for services, workloads and edges, not for ${kind}`);
  }
  const order = (textOption(call, 'sort') as Order | undefined) ?? sort;
  const format = textOption(call, 'output') ?? 'table';
  return { kind, namespace, from, to, sort: order, windowS: windowOf(textOption(call, 'window')), format };
}

/** Seconds of `30s`, `2m` or `60`. */
function windowOf(text = '1m'): number {
  const [, number, unit] = /^(\d{1,4})([sm]?)$/.exec(text) ?? [];
  const seconds = Number(number) * (unit === 'm' ? 60 : 1);
  if (seconds >= 5 && seconds <= MAX_WINDOW_S) return seconds;
  throw new UsageError(`--window is 5s to ${MAX_WINDOW_S / 60}m, such as 30s or 1m, not "${text}"`);
}

async function look(pods: MeshPods, wish: Wish, signal?: AbortSignal): Promise<Look> {
  const { answers, unreachable } = await pods.askAll(`/stats?window=${wish.windowS}`, signal);
  const strange: Unreachable[] = [];
  const stats: NodeStats[] = [];
  for (const { pod, value } of answers) {
    const { edges, pods, boundsMs, daemon } = (value ?? {}) as Partial<NodeStats>;
    if (Array.isArray(edges) && Array.isArray(pods) && Array.isArray(boundsMs) && daemon)
      stats.push(value as NodeStats);
    else strange.push({ node: pod.node, why: 'its /stats are of another version; update the mesh or this command' });
  }
  return { rows: statRows(stats, wish), nodes: stats.length, unreachable: [...unreachable, ...strange] };
}

function statusOf({ nodes, unreachable }: Look): number {
  if (unreachable.length === 0) return 0;
  return nodes === 0 ? 1 : 2;
}

function json(host: Host, { kind, windowS }: Wish, { rows, unreachable }: Look, indent?: number): string {
  const at = new Date(host.now()).toISOString();
  return jsonText({ at, kind, window_ms: windowS * 1_000, rows, unreachable }, indent);
}

function table(host: Host, { kind, format }: Wish, { rows, nodes }: Look, most = rows.length): string[] {
  if (rows.length === 0) return nodes === 0 ? ['no daemon answered'] : [`nothing is known of any of these ${kind} yet`];
  const wide = format === 'wide';
  const columns = statColumns(kind, wide, host.now());
  const width = host.terminal?.columns;
  return tableLines(columns, rows.slice(0, most), width, paintOf(host));
}

/** A table with what it is of above it, and what has no room below. */
function page(host: Host, wish: Wish, found: Look, room: number | undefined): string[] {
  const { kind, windowS, sort } = wish;
  const { rows, nodes, unreachable } = found;
  const width = host.terminal?.columns ?? Number.POSITIVE_INFINITY;
  const paint = paintOf(host);
  const clock = new Date(host.now()).toISOString().slice(11, 19);
  const about = `${count(rows.length, kind.slice(0, -1))} by ${sort}, last ${windowS} s, ${count(nodes, 'node')}, ${clock} UTC`;
  const foot: string[] = [];
  if (unreachable.length > 0) {
    foot.push(`not asked: ${few(unreachable.map(({ node }) => clean(node)))}; ${unreachable[0]?.why.split('\n')[0]}`);
  }
  const space = room === undefined ? rows.length : Math.max(1, room - foot.length - 4);
  if (rows.length > space) foot.push(`and ${rows.length - space} more; -n and --sort choose`);
  return [
    paint(cut(about, width), 'dim'),
    '',
    ...table(host, wish, found, space),
    ...foot.map((line) => paint(cut(line, width), 'yellow')),
  ];
}
