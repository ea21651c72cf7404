import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildDaemon } from './daemon.ts';
import { BOTH_CPUS, type Processes } from './processes.ts';
import { startUpstream } from './subjects.ts';
import { TlsMesh } from './tls-mesh.ts';
import { type Verdict, verdict } from './wanted.ts';

const PER_SECOND = 500;
const STEP_MS = 10;
const AUTHORITY_EVERY_MS = 60_000;
/** A daemon renews at two thirds of what is left. */
const LEAF_LIFE_MS = 15_000;
const DAY_MS = 86_400_000;
const OVERLAP_MS = 2_000;
/** So often a request is given up while its answer is awaited, and its connection between the daemons with it. */
const BREAK_EVERY_MS = 100;

/**
 * 500 requests a second through two daemons with `tls: required`, for minutes: each daemon has another certificate every ten seconds,
 * the CA is another every minute, and connections between the daemons end all the time, so that there are handshakes. No request may fail.
 */
export async function measureRotation(
  processes: Processes,
  dir: string,
  root: string,
  { minutes, print }: { minutes: number; print: (line: string) => void },
): Promise<Verdict[]> {
  const webPort = await startUpstream(processes, BOTH_CPUS);
  const mesh = await TlsMesh.start({
    processes,
    dir,
    main: buildDaemon(root),
    webPort,
    cpu: BOTH_CPUS,
    overlapMs: OVERLAP_MS,
    // It gives a day at most: one that began nearly a day ago ends soon.
    signerClock: () => Date.now() - DAY_MS + LEAF_LIFE_MS,
  });
  const load = new Load(mesh.port);
  const before = await counts(mesh);
  let authorities = 0;
  const rotating = setInterval(() => {
    authorities += 1;
    mesh.rotateAuthority().catch((error: unknown) => print(`the CA could not be changed: ${error}`));
  }, AUTHORITY_EVERY_MS);
  try {
    await load.run(minutes * 60_000);
    const after = await counts(mesh);
    const [leaves, handshakes] = [after.leaves - before.leaves, after.handshakes - before.handshakes];
    print(`${load.done} requests; ${leaves} certificates, ${authorities} CAs, ${handshakes} handshakes`);
    if (load.overloaded > 0) print(`${load.overloaded} refused as overloaded: other programs took the CPU`);
    for (const [why, count] of load.failed) print(`${count} failed: ${why}`);
    const failed = [...load.failed.values()].reduce((sum, count) => sum + count, 0);
    const leafEveryS = (2 * minutes * 60) / Math.max(1, leaves);
    return [
      verdict('requests that failed', 0, failed, ''),
      verdict('a new certificate, each daemon, every', 12, leafEveryS, ' s'),
    ];
  } finally {
    clearInterval(rotating);
    load.stop();
    await mesh.stop();
  }
}

async function counts(mesh: TlsMesh): Promise<{ leaves: number; handshakes: number }> {
  let [leaves, handshakes] = [0, 0];
  for (const index of mesh.daemons.keys()) {
    for (const line of (await mesh.metrics(index)).split('\n')) {
      const value = Number(line.slice(line.lastIndexOf(' ') + 1));
      if (line.startsWith('identity_renewal_total{result="success"}')) leaves += value;
      if (line.startsWith('tls_connection_total{side="client"')) handshakes += value;
    }
  }
  return { leaves, handshakes };
}

class Load {
  done = 0;
  readonly failed = new Map<string, number>();
  /** Refused since a daemon had no CPU time: that is not the certificates' doing. */
  overloaded = 0;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #to: { host: string; port: number; headers: { host: string } };

  constructor(port: number) {
    this.#to = { host: '127.0.0.1', port, headers: { host: 'web' } };
  }

  /** Settles when all that was sent has been answered. */
  async run(ms: number): Promise<void> {
    const under: Promise<void>[] = [];
    const [startedAt, endsAt] = [performance.now(), performance.now() + ms];
    let sent = 0;
    let brokenAt = startedAt;
    while (performance.now() < endsAt) {
      const due = ((performance.now() - startedAt) * PER_SECOND) / 1_000;
      for (; sent < due; sent += 1) under.push(this.#one());
      if (performance.now() - brokenAt >= BREAK_EVERY_MS) {
        brokenAt = performance.now();
        this.#breakOff();
      }
      if (under.length > 10_000) await Promise.all(under.splice(0, 5_000));
      await sleep(STEP_MS);
    }
    await Promise.all(under);
  }

  stop(): void {
    this.#agent.destroy();
  }

  async #one(): Promise<void> {
    try {
      const asked = request({ ...this.#to, path: 'http://web/64', agent: this.#agent });
      const [answer] = (await once(asked.end(), 'response')) as [IncomingMessage];
      let body = '';
      for await (const piece of answer) body += piece;
      this.done += 1;
      if (answer.headers['l5d-err'] === 'overloaded') this.overloaded += 1;
      else if (answer.statusCode !== 200 || body.length !== 64)
        this.#fail(`${answer.statusCode} ${body.slice(0, 200)}`);
    } catch (error) {
      this.#fail(String(error));
    }
  }

  #breakOff(): void {
    const asked = request({ ...this.#to, path: 'http://web/held/64', agent: false });
    asked.on('error', () => {});
    asked.end();
    setTimeout(() => asked.destroy(), BREAK_EVERY_MS).unref();
  }

  #fail(why: string): void {
    this.failed.set(why, (this.failed.get(why) ?? 0) + 1);
  }
}
