import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

/** Why there is no Prometheus to test with; false where there is one. */
export const NO_PROMETHEUS: string | false =
  spawnSync('prometheus', ['--version']).error === undefined
    ? false
    : 'prometheus is not installed (Debian: prometheus)';

/** A Prometheus of its own on a loopback port, with all that it writes in a directory that goes with it. */
export class Prometheus {
  readonly #child: ChildProcess;
  readonly #dir: string;
  readonly #url: string;

  private constructor(child: ChildProcess, dir: string, url: string) {
    this.#child = child;
    this.#dir = dir;
    this.#url = url;
  }

  /** Starts it with `files` in its directory, among them `prometheus.yml`, and waits until it answers. */
  static async start(files: Readonly<Record<string, string>>): Promise<Prometheus> {
    const dir = await mkdtemp(join(tmpdir(), 'nodemesh-prometheus-'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    const address = `127.0.0.1:${await freePort()}`;
    const args = [
      '--config.file=prometheus.yml',
      '--storage.tsdb.path=data',
      `--web.listen-address=${address}`,
      '--log.level=error',
    ];
    const child = spawn('prometheus', args, { cwd: dir, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (piece: Buffer) => {
      said += piece.toString();
    });
    const prometheus = new Prometheus(child, dir, `http://${address}`);
    while (!(await prometheus.#answers())) {
      if (child.exitCode !== null) throw new Error(`prometheus has ended: ${said}`);
      await setTimeout(50);
    }
    return prometheus;
  }

  /** The value of an expression that gives one, or none. */
  async value(expression: string): Promise<number | undefined> {
    const [first] = await this.query(expression);
    return first === undefined ? undefined : Number(first.value[1]);
  }

  async query(expression: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]> {
    const answer = await fetch(`${this.#url}/api/v1/query?${new URLSearchParams({ query: expression })}`);
    const body = (await answer.json()) as { data?: { result: [] }; error?: string };
    if (body.data === undefined) throw new Error(`${expression}: ${body.error}`);
    return body.data.result;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    await rm(this.#dir, { recursive: true });
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.#url}/-/ready`).then(
      ({ status }) => status === 200,
      () => false,
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
