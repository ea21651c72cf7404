import { readFile } from 'node:fs/promises';
import type { Cluster } from './cluster.ts';
import { eventually, inPod, kubectl } from './kubectl.ts';

const START_TIMEOUT_MS = 60_000;
const SHOWN_FAILURES = 5;

/** One GET of the load: when it began and ended (ms), its status (0: none), and its body, or what went wrong. */
export interface Shot {
  readonly at: number;
  readonly ended: number;
  readonly status: number;
  readonly text: string;
}

/** A steady stream of GETs from a pod of its own on each of some nodes, which asks for nothing but what its label gives it. */
export class Load {
  readonly #namespace: string;
  readonly #pods: readonly string[];

  private constructor(namespace: string, names: readonly string[]) {
    this.#namespace = namespace;
    this.#pods = names;
  }

  /** Starts one pod a node with so many requests a second each, and settles when all of them get answers. */
  static async start(
    cluster: Cluster,
    options: { namespace: string; url: string; nodes: readonly string[]; rps: number },
  ): Promise<Load> {
    const source = await readFile(new URL('load-generator.ts', import.meta.url), 'utf8');
    const names = options.nodes.map((_, index) => `load-${Date.now().toString(36)}-${index}`);
    const pods = options.nodes.map((node, index) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: names[index], labels: { app: 'load' } },
      spec: {
        nodeName: node,
        restartPolicy: 'Never',
        containers: [
          {
            name: 'load',
            image: cluster.settings.image,
            command: ['node', '--input-type=module-typescript', '-e', source],
            env: [
              { name: 'LOAD_URL', value: options.url },
              { name: 'LOAD_RPS', value: String(options.rps) },
            ],
          },
        ],
      },
    }));
    await kubectl(
      ['-n', options.namespace, 'create', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods }),
    );
    const load = new Load(options.namespace, names);
    for (const name of names) {
      await eventually(`${name} gets an answer`, START_TIMEOUT_MS, async () =>
        Number(await load.#ask(name, '/count')) > 0 ? true : undefined,
      );
    }
    return load;
  }

  /** Ends it and gives every shot, in the order in which they began. */
  async stop(): Promise<Shot[]> {
    const shots: Shot[][] = [];
    for (const name of this.#pods) shots.push(JSON.parse(await this.#ask(name, '/stop')));
    await kubectl(['-n', this.#namespace, 'delete', 'pod', '--wait=false', '--grace-period=1', ...this.#pods]);
    return shots.flat().sort((a, b) => a.at - b.at);
  }

  #ask(name: string, path: string): Promise<string> {
    const source = `process.stdout.write(await (await fetch('http://127.0.0.1:7070${path}')).text())`;
    return inPod(this.#namespace, name, source);
  }
}

/** The shots that did not get a greeting, as lines to read: the first few, and how many there are. */
export function failures(shots: readonly Shot[]): string[] {
  const failed = shots.filter((shot) => shot.status !== 200);
  const lines = failed.map(
    (shot) => `${new Date(shot.at).toISOString()} +${shot.ended - shot.at} ms: ${shot.status} ${shot.text}`,
  );
  if (lines.length <= SHOWN_FAILURES) return lines;
  const last = failed.at(-1)?.at ?? 0;
  return [...lines.slice(0, SHOWN_FAILURES), `${lines.length} failures, the last at ${new Date(last).toISOString()}`];
}

/** The address in a greeting such as `world (10.0.0.1)`; the last one where it passes another greeting on. */
export function greeter(text: string): string {
  return [...text.matchAll(/\(([0-9a-f.:]+)\)/g)].at(-1)?.[1] ?? '';
}
