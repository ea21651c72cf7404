/** More threads than this help no host, and each takes some memory. */
export const MAX_WORKERS = 128;

/** Where the kernel spreads connections over sockets of one port that several threads listen on (SO_REUSEPORT). */
const SPREADS = ['linux', 'freebsd'];

/** What is known of the machine. */
export interface Machine {
  /** Node's name of it. */
  readonly platform: string;
  /** Cores that this process may run on. */
  readonly cores: number;
  /** Cores' worth of time that its cgroup grants, 0.5 for half of one; undefined: no limit. */
  readonly cpuLimit: number | undefined;
}

/**
 * How many threads serve. `auto`: one for each core that the process may use. Of a limit that is no whole number the part
 * of a core is left out: threads that together run into a limit all stand still until its period (100 ms) ends.
 * `warning`: what the config wants and the machine does not have.
 */
export function workerCount(
  configured: number | 'auto',
  machine: Machine,
): { readonly count: number; readonly warning?: string } {
  const { platform, cores, cpuLimit = cores } = machine;
  const usable = Math.max(1, Math.floor(Math.min(cores, cpuLimit, MAX_WORKERS)));
  const count = configured === 'auto' ? usable : configured;
  if (count === 1) return { count };
  if (!SPREADS.includes(platform)) {
    const warning = `workers: ${configured}: ${platform} does not spread connections over threads (SO_REUSEPORT): one serves`;
    return { count: 1, warning };
  }
  if (count <= usable) return { count };
  const has = cpuLimit < cores ? `the CPU limit of its cgroup is ${cpuLimit}` : `it may run on ${cores}`;
  return { count, warning: `workers: ${count} is more threads than this process has cores (${has}): they share them` };
}

/**
 * Reads the CPU limit of this process's cgroup, or of one above it, in cores; undefined where there is none. `read` gives a
 * file's text, or undefined where there is no such file. Both versions: `cpu.max` (kernel: Documentation/admin-guide/cgroup-v2)
 * and `cpu.cfs_quota_us` (scheduler/sched-bwc), whose own cgroup a container sees as the root of the mount.
 */
export function cpuLimit(read: (path: string) => string | undefined): number | undefined {
  const limits: number[] = [];
  for (const line of ['0::/', '1:cpu:/', ...(read('/proc/self/cgroup') ?? '').split('\n')]) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const unified = controllers === '';
    if (!unified && !controllers.split(',').includes('cpu')) continue;
    for (const dir of upwards(path)) {
      const text = unified
        ? read(`/sys/fs/cgroup${dir}/cpu.max`)
        : `${read(`/sys/fs/cgroup/cpu${dir}/cpu.cfs_quota_us`)} ${read(`/sys/fs/cgroup/cpu${dir}/cpu.cfs_period_us`)}`;
      const [quota = Number.NaN, period = Number.NaN] = (text ?? '').trim().split(/\s+/).map(Number);
      if (quota > 0 && period > 0) limits.push(quota / period);
    }
  }
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** `/a/b` → `/a/b`, `/a`, and the root as the empty text. */
function upwards(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return Array.from({ length: parts.length + 1 }, (_, i) => parts.slice(0, parts.length - i)).map((kept) =>
    kept.map((part) => `/${part}`).join(''),
  );
}
