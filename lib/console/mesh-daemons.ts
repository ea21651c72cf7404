import { Merge, type NodeReading } from '../stats/merge.ts';
import type { MeshView } from '../stats/mesh-view.ts';
import { readNodeStats } from '../stats/read-node-stats.ts';
import { Turns } from '../turns.ts';
import type { DaemonClient } from './daemon-client.ts';
import type { DaemonAddress, DaemonList } from './daemon-list.ts';

/** So many daemons are asked at a time. */
const CONCURRENCY = 32;
const ANSWER_MS = 2_000;
/** A round is shown after this long, whoever has not answered. */
const ROUND_MS = 5_000;
/** One that failed is left alone for this long. */
const AFTER_FAILURE_MS = 10_000;

export interface MeshDaemonsOptions {
  readonly list: DaemonList;
  readonly client: DaemonClient;
  /** Undefined while that is not known. */
  readonly labelledNamespaces: () => number | undefined;
  /** Monotonic, ms. */
  readonly now: () => number;
  /** ms since 1970. */
  readonly wallClock: () => number;
}

/** All daemons of the mesh, as their stats show them. */
export class MeshDaemons {
  readonly #options: MeshDaemonsOptions;
  readonly #failed = new Map<string, { readonly at: number; readonly why: string }>();
  /** By node, when it was asked last: those whose turn did not come are first in the next round. */
  #askedAt = new Map<string, number>();
  /** Which node each pod is on, by `namespace/name` and by address, and namespaces by one of their nodes; of the last round. */
  #whereabouts = new Map<string, string>();

  constructor(options: MeshDaemonsOptions) {
    this.#options = options;
  }

  list(): Promise<readonly DaemonAddress[]> {
    return this.#options.list.get();
  }

  /** Never rejects. */
  async view(windowMs: number): Promise<MeshView> {
    const { list, labelledNamespaces, wallClock } = this.#options;
    const readings = await this.#round(await list.get(), windowMs);
    const merge = new Merge();
    const turns = new Turns();
    const whereabouts = new Map<string, string>();
    for (const reading of readings) {
      merge.add(reading);
      for (const { namespace, name, ip } of reading.stats?.pods ?? []) {
        for (const key of [namespace, `${namespace}/${name}`, ip]) whereabouts.set(key, reading.name);
      }
      await turns.end();
    }
    this.#whereabouts = whereabouts;
    return merge.finish({
      scope: { kind: 'mesh' },
      at: wallClock(),
      labelledNamespaces: labelledNamespaces(),
      searchError: list.failure,
    });
  }

  /** The daemon of the node where a caller is (pod address, `namespace/pod`, or namespace), else any that answers; undefined: there is none. */
  async daemonOf(from: string): Promise<DaemonAddress | undefined> {
    const daemons = await this.list();
    if (this.#whereabouts.size === 0) await this.view(60_000);
    const node = this.#whereabouts.get(from);
    return (
      daemons.find((daemon) => daemon.node === node) ??
      daemons.find((daemon) => !this.#failed.has(daemon.node)) ??
      daemons[0]
    );
  }

  /** Asks all, a few at a time. */
  async #round(daemons: readonly DaemonAddress[], windowMs: number): Promise<NodeReading[]> {
    const readings = new Map<string, NodeReading>();
    const before = this.#askedAt;
    this.#askedAt = new Map(daemons.map(({ node }) => [node, before.get(node) ?? 0]));
    const askedAt = ({ node }: DaemonAddress) => this.#askedAt.get(node) ?? 0;
    const waiting = daemons.toSorted((a, b) => askedAt(a) - askedAt(b));
    const known = new Set(daemons.map(({ node }) => node));
    for (const node of this.#failed.keys()) if (!known.has(node)) this.#failed.delete(node);
    const work = async () => {
      for (let daemon = waiting.shift(); daemon !== undefined; daemon = waiting.shift()) {
        this.#askedAt.set(daemon.node, this.#options.now());
        readings.set(daemon.node, await this.#ask(daemon, windowMs));
      }
    };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        waiting.length = 0;
        resolve();
      }, ROUND_MS);
    });
    await Promise.race([Promise.all(Array.from({ length: CONCURRENCY }, work)), late]);
    clearTimeout(timer);
    return daemons.map(
      (daemon) =>
        readings.get(daemon.node) ?? silent(daemon, 'its turn did not come: too many other daemons answer late'),
    );
  }

  async #ask(daemon: DaemonAddress, windowMs: number): Promise<NodeReading> {
    const { client, now } = this.#options;
    const failed = this.#failed.get(daemon.node);
    if (failed !== undefined && now() - failed.at < AFTER_FAILURE_MS) return silent(daemon, failed.why);
    try {
      const value = await client.json(daemon, `/stats?window=${windowMs / 1_000}`, ANSWER_MS);
      const stats = readNodeStats(value);
      this.#failed.delete(daemon.node);
      return { name: daemon.node, address: addressText(daemon), stats, error: null };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#failed.set(daemon.node, { at: now(), why });
      return silent(daemon, why);
    }
  }
}

function silent(daemon: DaemonAddress, why: string): NodeReading {
  const address = addressText(daemon);
  return { name: daemon.node, address, stats: null, error: `${address}: ${why}` };
}

export function addressText({ ip, port }: DaemonAddress): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}
