import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 2_000;
const POLL_MS = 20;

/** The proxy under test has one core to itself; load and application share the other. */
export const PROXY_CPU = 0;
export const LOAD_CPU = 1;
/** Where proxy and load share what there is. */
export const BOTH_CPUS = `${PROXY_CPU},${LOAD_CPU}`;
/** Cores as `taskset -c` takes them. */
export type CpuList = number | string;

/** What each thread of a process has used so far, µs, by its id. */
export function threadCpuUs(pid: number): Map<string, number> {
  const used = (thread: string) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  return new Map(readdirSync(`/proc/${pid}/task`).map((thread) => [thread, used(thread) / 1_000]));
}

/** What some processes have used so far, with those that they started. */
export interface Usage {
  /** utime + stime of all threads. */
  readonly cpuUs: number;
  readonly rssBytes: number;
}

/** The processes of one run, each pinned to one core where `taskset` can do that; none outlives `stop`. */
export class Processes {
  readonly pinned: boolean;
  readonly #logDir: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #children: ChildProcess[] = [];

  /** `logDir`: where the output of each goes, to be shown if it does not start. `env`: what each starts from. */
  constructor(logDir: string, env: NodeJS.ProcessEnv) {
    this.#logDir = logDir;
    this.#env = env;
    this.pinned = availableParallelism() > 1 && [PROXY_CPU, LOAD_CPU].every(canPin);
  }

  /**
   * Starts a command on these cores; `yielding`: whatever else is to run there runs first. With `ipc`, a Node process that
   * takes and gives messages.
   */
  start(
    command: string,
    args: readonly string[],
    options: { cpu: CpuList; env?: NodeJS.ProcessEnv; ipc?: boolean; yielding?: boolean },
  ): ChildProcess {
    const log = openSync(this.#logOf(this.#children.length), 'w');
    const [file = command, ...rest] = [
      ...(this.pinned ? ['taskset', '-c', String(options.cpu)] : []),
      ...(options.yielding === true ? ['nice', '-n', '19'] : []),
      command,
      ...args,
    ];
    const child = spawn(file, rest, {
      stdio: ['ignore', log, log, ...(options.ipc === true ? (['ipc'] as const) : [])],
      env: { ...this.#env, NODE_ENV: 'production', ...options.env },
    });
    closeSync(log);
    this.#children.push(child);
    return child;
  }

  /** Waits until a process accepts connections on a port of 127.0.0.1. Rejects with its output where it ends or takes too long. */
  async listening(child: ChildProcess, port: number): Promise<number> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (child.pid !== undefined && child.exitCode === null && performance.now() < deadline) {
      if (await accepts(port)) return child.pid;
      await sleep(POLL_MS);
    }
    const output = readFileSync(this.#logOf(this.#children.indexOf(child)), 'utf8');
    throw new Error(`${child.spawnargs.join(' ')}\ndoes not listen on port ${port}:\n${output}`);
  }

  /** Ends all. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map(end));
  }

  #logOf(index: number): string {
    return join(this.#logDir, `process-${index}.log`);
  }
}

/**
 * Reads what the processes and their descendants have used so far. Every thread's schedstat holds utime + stime of stat, in
 * nanoseconds and not in ticks of 10 ms (proc(5), Documentation/scheduler/sched-stats).
 */
export function usage(pids: readonly number[]): Usage {
  let cpuUs = 0;
  let rssBytes = 0;
  for (const pid of pids.flatMap(processTree)) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      cpuUs += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1_000;
    }
    rssBytes += Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * PAGE_BYTES;
  }
  return { cpuUs, rssBytes };
}

/** What a process and its children have used so far, µs, also those that have ended, in ticks (proc(5), stat). */
export function familyCpuUs(pid: number): number {
  return (
    [pid, ...childrenOf(pid)].reduce((sum, one) => sum + ticksOf(one, one === pid), 0) * (1_000_000 / TICKS_PER_SECOND)
  );
}

/** 0 of a process that has ended meanwhile: its parent's figures have it from then on. */
function ticksOf(pid: number, withEnded: boolean): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(UTIME_FIELD).map(Number);
    return utime + stime + (withEnded ? cutime + cstime : 0);
  } catch {
    return 0;
  }
}

/** CPU time that all programs of the machine have used so far, µs, and what its hypervisor gave to others. */
export function machineCpuUs(): number {
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = readFileSync('/proc/stat', 'utf8')
    .slice('cpu '.length)
    .trimStart()
    .split(' ')
    .map(Number);
  return ((user + nice + system + steal) * 1_000_000) / TICKS_PER_SECOND;
}

/** Ports of 127.0.0.1 that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** Whether a command can be run at all. */
export function isInstalled(command: string, versionFlag: string): boolean {
  return spawnSync(command, [versionFlag]).error === undefined;
}

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
/** Of /proc/<pid>/stat, counted from the state (proc(5)). */
const UTIME_FIELD = 11;
const PAGE_BYTES = Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));

function canPin(cpu: number): boolean {
  return spawnSync('taskset', ['-c', String(cpu), 'true']).status === 0;
}

function processTree(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(processTree)];
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

/** SIGTERM first, so that a master takes its workers along. */
async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(timer);
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
