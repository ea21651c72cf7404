import { join } from 'node:path';
import { C_PROXIES } from './c-proxies.ts';
import { buildDaemon, startDaemon } from './daemon.ts';
import { BOTH_CPUS, type CpuList, freePorts, LOAD_CPU, PROXY_CPU, type Processes } from './processes.ts';

/** Something that the same requests are sent through. */
export interface Subject {
  readonly name: string;
  /** Must not fail; others are left out where they do. */
  readonly own?: boolean;
  readonly port: number;
  /** Where it is several that connections go to in turns. */
  readonly ports?: readonly number[];
  /** Of the processes that the request passes; none for the way without a proxy. */
  readonly pids: readonly number[];
}

export const ONE_HOP = 'nodemesh, one hop';
export const TWO_HOPS = 'nodemesh, two hops';
export const OTHER_TREE = 'nodemesh, other tree';
export const DIRECT = 'no proxy';

/** Starts the application and everything that is compared. `missing` are packages that the machine lacks; they are left out. */
export async function startAll(
  processes: Processes,
  dir: string,
  root: string,
): Promise<{ subjects: Subject[]; missing: string[] }> {
  const upstreamPort = await startUpstream(processes);
  const main = buildDaemon(root);
  const subjects = [
    await oneHop(processes, dir, main, upstreamPort),
    await startTwoHops(processes, dir, main, upstreamPort),
  ];
  for (const proxy of C_PROXIES.filter((one) => one.installed)) {
    const [port = 0] = await freePorts(1);
    const [command, ...args] = proxy.command(dir, port, upstreamPort);
    const pid = await processes.listening(processes.start(command, args, { cpu: PROXY_CPU }), port);
    subjects.push({ name: proxy.name, port, pids: [pid] });
  }
  for (const [kind, name] of BASELINES) {
    const [port = 0] = await freePorts(1);
    const args = [join(import.meta.dirname, 'baseline.ts'), kind, String(port), String(upstreamPort)];
    const pid = await processes.listening(processes.start(process.execPath, args, { cpu: PROXY_CPU }), port);
    subjects.push({ name, port, pids: [pid] });
  }
  subjects.push({ name: DIRECT, port: upstreamPort, pids: [] });
  return { subjects, missing: C_PROXIES.filter((one) => !one.installed).map((one) => one.package) };
}

/** Starts the application, this tree's daemon and that of another. */
export async function startBoth(
  processes: Processes,
  dir: string,
  root: string,
  otherRoot: string,
): Promise<Subject[]> {
  const upstreamPort = await startUpstream(processes);
  const own = await oneHop(processes, dir, buildDaemon(root), upstreamPort);
  const other = await oneHop(processes, dir, buildDaemon(otherRoot), upstreamPort);
  return [own, { ...other, name: OTHER_TREE }];
}

/** Starts the application; gives functions that start daemons before it, fresh ones each time. */
export async function startDaemonPaths(
  processes: Processes,
  dir: string,
  root: string,
): Promise<Record<'oneHop' | 'twoHops', () => Promise<Subject>>> {
  const upstreamPort = await startUpstream(processes);
  const main = buildDaemon(root);
  return {
    oneHop: () => oneHop(processes, dir, main, upstreamPort),
    twoHops: () => startTwoHops(processes, dir, main, upstreamPort),
  };
}

/**
 * Starts the application, and on the same cores a daemon of one thread, one of two, and two of one thread as one subject,
 * which share nothing: what two threads are to be measured by.
 */
export async function startWithWorkers(processes: Processes, dir: string, root: string): Promise<Subject[]> {
  const webPort = await startUpstream(processes, BOTH_CPUS);
  const main = buildDaemon(root);
  const start = async (name: string, workers: number): Promise<Subject> => {
    const [port = 0, adminPort = 0] = await freePorts(2);
    const place = { dir, router: 'outgoing', port, adminPort, webPort, workers, cpu: BOTH_CPUS } as const;
    return { name, port, pids: [await startDaemon(processes, main, place)] };
  };
  const [a, b] = [await start('', 1), await start('', 1)];
  return [
    await start('one thread', 1),
    await start('two threads', 2),
    { name: 'two daemons', port: a.port, ports: [a.port, b.port], pids: [...a.pids, ...b.pids] },
  ];
}

const BASELINES = [
  ['node', 'node:http + Agent'],
  ['undici', 'node:http + undici'],
  ['http-proxy', 'http-proxy'],
] as const;

/** Starts an application; gives its port. */
export async function startUpstream(processes: Processes, cpu: CpuList = LOAD_CPU, yielding = false): Promise<number> {
  const [port = 0] = await freePorts(1);
  const args = [join(import.meta.dirname, 'upstream.ts'), String(port)];
  await processes.listening(processes.start(process.execPath, args, { cpu, yielding }), port);
  return port;
}

async function oneHop(processes: Processes, dir: string, main: string, webPort: number): Promise<Subject> {
  const [port = 0, adminPort = 0] = await freePorts(2);
  const pid = await startDaemon(processes, main, { dir, router: 'outgoing', port, adminPort, webPort });
  return { name: ONE_HOP, own: true, port, pids: [pid] };
}

/** Starts two daemons, one behind the other, in plaintext. */
export async function startTwoHops(processes: Processes, dir: string, main: string, webPort: number): Promise<Subject> {
  const [port = 0, adminPort = 0, second = 0, secondAdmin = 0] = await freePorts(4);
  const incoming = { dir, router: 'incoming', port: second, adminPort: secondAdmin, webPort } as const;
  const outgoing = { dir, router: 'outgoing', port, adminPort, webPort: second } as const;
  const pids = [await startDaemon(processes, main, incoming), await startDaemon(processes, main, outgoing)];
  return { name: TWO_HOPS, own: true, port, pids };
}
