import type { HistogramSnapshot, MetricsSnapshot } from '../../lib/metrics-snapshot.ts';
import { quantileOf } from '../../lib/snapshot-reading.ts';
import { type LinkerdRouter, type LinkerdStat, linkerdStats } from './linkerd-metrics.ts';

/** linkerd's latencies are of the last minute (`histogramSnapshotInterval`). */
const WINDOW_MS = 60_000;
/** As linkerd names them for Prometheus, and in metrics.json. 0 and 1 are left out: a histogram does not know them. */
const QUANTILES = [
  ['0.5', 'p50'],
  ['0.9', 'p90'],
  ['0.95', 'p95'],
  ['0.99', 'p99'],
  ['0.999', 'p9990'],
  ['0.9999', 'p9999'],
] as const;

export interface LinkerdAdminOptions {
  readonly routers: readonly LinkerdRouter[];
  readonly snapshot: () => Promise<MetricsSnapshot>;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/** What linkerd 1.x's admin server tells of its stats, for dashboards and scripts that were made for it. */
export class LinkerdAdmin {
  readonly #options: LinkerdAdminOptions;
  #earlier: MetricsSnapshot = [];
  #latest: { readonly at: number; readonly snapshot: MetricsSnapshot } | undefined;

  constructor(options: LinkerdAdminOptions) {
    this.#options = options;
  }

  /** `/admin/metrics/prometheus`: `prefix` before each name, as telemeter io.l5d.prometheus has it; no HELP, no TYPE, as in linkerd. */
  async prometheus(prefix: string): Promise<string> {
    return (await this.#stats()).map((stat) => prometheusText(stat, prefix)).join('');
  }

  /**
   * `/admin/metrics.json`: flat, `?tree=1` as a tree, `?pretty=1` indented, `?q=rt/outgoing` what is below that, with names from there on.
   * Undefined where there is nothing below.
   */
  async json(query: URLSearchParams): Promise<string | undefined> {
    const below = (query.get('q') ?? '').split('/').filter((part) => part !== '');
    const stats = (await this.#stats()).filter(({ path }) => below.every((part, i) => path[i] === part));
    if (below.length > 0 && stats.length === 0) return undefined;
    const shown = stats.map((stat) => ({ ...stat, path: stat.path.slice(below.length) }));
    const value = query.get('tree') === '1' ? treeOf(shown) : Object.fromEntries(shown.flatMap(flat).sort(byName));
    return JSON.stringify(value, null, query.get('pretty') === '1' ? 2 : undefined);
  }

  async #stats(): Promise<LinkerdStat[]> {
    const { snapshot: take, routers, now } = this.#options;
    const snapshot = await take();
    const stats = linkerdStats(snapshot, routers, this.#earlier);
    const at = now();
    if (this.#latest === undefined || at - this.#latest.at >= WINDOW_MS) {
      this.#earlier = this.#latest?.snapshot ?? [];
      this.#latest = { at, snapshot };
    }
    return stats;
  }
}

function prometheusText({ name, labels, value }: LinkerdStat, prefix: string): string {
  const text = Object.entries(labels)
    .map(([label, said]) => `${label}="${said.replace(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')}"`)
    .join(', ');
  const full = `${prefix}${name}`;
  if (typeof value === 'number') return `${full}{${text}} ${value}\n`;
  const quantiles = QUANTILES.map(([quantile]) => {
    return `${full}{${text}, quantile="${quantile}"} ${quantileOf(value, Number(quantile))}\n`;
  });
  const { count, sum } = value;
  return `${full}_count{${text}} ${count}\n${full}_sum{${text}} ${sum}\n${full}_avg{${text}} ${sum / count}\n${quantiles.join('')}`;
}

function flat({ path, value }: LinkerdStat): [string, number][] {
  const name = path.join('/');
  if (typeof value === 'number') return [[name, value]];
  return Object.entries(summary(value)).map(([what, one]) => [`${name}.${what}`, one]);
}

function summary(value: HistogramSnapshot): Record<string, number> {
  const { count, sum } = value;
  const quantiles = QUANTILES.map(([quantile, name]) => [name, quantileOf(value, Number(quantile)) ?? 0] as const);
  return { count, ...Object.fromEntries(quantiles), sum, avg: count === 0 ? 0 : sum / count };
}

interface Tree {
  [part: string]: Tree | number;
}

function treeOf(stats: readonly LinkerdStat[]): Tree {
  const root: Tree = Object.create(null);
  for (const { path, kind, value } of stats) {
    let at = root;
    for (const part of path) {
      at[part] ??= Object.create(null) as Tree;
      at = at[part] as Tree;
    }
    if (typeof value === 'number') at[kind] = value;
    else for (const [what, one] of Object.entries(summary(value))) at[`stat.${what}`] = one;
  }
  return root;
}

function byName([a]: [string, number], [b]: [string, number]): number {
  return a < b ? -1 : 1;
}
