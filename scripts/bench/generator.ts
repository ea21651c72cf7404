import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Case } from './cases.ts';
import type { LoadResult, Sender } from './load.ts';
import type { Framing } from './memory-load.ts';
import { type CpuList, LOAD_CPU, type Processes } from './processes.ts';

/** What the load's process is told to do; it answers each with one Report. */
export type Order =
  | {
      readonly kind: 'load';
      readonly port: number | readonly number[];
      readonly case: Case;
      readonly seconds: number;
      readonly sender?: Sender | undefined;
    }
  | { readonly kind: 'openIdle' | 'hold' | 'openSlow'; readonly port: number; readonly count: number }
  | { readonly kind: 'download'; readonly port: number; readonly bytes: number; readonly framing: Framing }
  | { readonly kind: 'upload'; readonly port: number; readonly bytes: number; readonly framing: Framing };

export interface Report {
  readonly result?: LoadResult | undefined;
  readonly error?: string | undefined;
}

/**
 * Starts the process that makes the load, so that it takes no time from the proxy under test. `yielding`: it and others on
 * the same core wait for it no longer than they must.
 */
export function startGenerator(processes: Processes, cpu: CpuList = LOAD_CPU, yielding = false): Generator {
  const script = join(import.meta.dirname, 'generator-process.ts');
  return new Generator(processes.start(process.execPath, [script], { cpu, yielding, ipc: true }));
}

export class Generator {
  readonly #child: ChildProcess;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Runs one case. Rejects where any request failed. */
  async load(
    port: number | readonly number[],
    one: Case,
    seconds: number,
    sender?: Sender | undefined,
  ): Promise<LoadResult> {
    const { result } = await this.order({ kind: 'load', port, case: one, seconds, sender });
    if (result === undefined) throw new Error('the load gave no result');
    if (result.failures > 0) throw new Error(`${result.failures} of ${result.requests} requests failed`);
    return result;
  }

  /** Has an order carried out. Rejects with what went wrong there. */
  async order(order: Order): Promise<Report> {
    const settled = new AbortController();
    const { signal } = settled;
    this.#child.send(order);
    const ended = once(this.#child, 'exit', { signal }).then((): [Report] => [{ error: 'the load process has ended' }]);
    const reported = once(this.#child, 'message', { signal }) as Promise<[Report]>;
    try {
      const [report] = await Promise.race([reported, ended]);
      if (report.error !== undefined) throw new Error(report.error);
      return report;
    } finally {
      settled.abort();
      await Promise.allSettled([reported, ended]);
    }
  }
}
