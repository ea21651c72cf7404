import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cpuLimit, workerCount } from '../../daemon/workers/worker-count.ts';

const linux = (cores: number, limit?: number) => ({ platform: 'linux', cores, cpuLimit: limit });

describe('how many threads serve', () => {
  test('auto: one for each core, within the whole cores of the CPU limit, and one at least', () => {
    for (const [cores, limit, count] of [
      [1, undefined, 1],
      [4, undefined, 4],
      [4, 1, 1],
      [4, 2.5, 2],
      [4, 0.1, 1],
      [2, 8, 2],
      [500, undefined, 128],
    ] as const) {
      assert.deepEqual(workerCount('auto', linux(cores, limit)), { count }, `${cores} cores, limit ${limit}`);
    }
  });

  test('a number is what it says; more than there are cores is remarked on', () => {
    assert.deepEqual(workerCount(1, linux(4)), { count: 1 });
    assert.deepEqual(workerCount(3, linux(4)), { count: 3 });
    const limited = workerCount(2, linux(4, 1.5));
    assert.equal(limited.count, 2);
    assert.match(limited.warning ?? '', /^workers: 2 is more threads than .* \(the CPU limit of its cgroup is 1\.5\)/);
    assert.match(workerCount(8, linux(2)).warning ?? '', /\(it may run on 2\)/);
  });

  test('where the system does not spread connections, one serves, and whoever wanted more is told', () => {
    const mac = { platform: 'darwin', cores: 8, cpuLimit: undefined };
    assert.deepEqual(workerCount(1, mac), { count: 1 });
    assert.deepEqual(workerCount('auto', { ...mac, cores: 1 }), { count: 1 });
    for (const configured of [4, 'auto'] as const) {
      assert.deepEqual(workerCount(configured, mac), {
        count: 1,
        warning: `workers: ${configured}: darwin does not spread connections over threads (SO_REUSEPORT): one serves`,
      });
    }
  });
});

test("the CPU limit is that of the process's cgroup or of one above it, whichever is less; of both versions", () => {
  const files = (texts: Readonly<Record<string, string>>) => cpuLimit((path) => texts[path]);
  assert.equal(files({}), undefined);
  assert.equal(files({ '/sys/fs/cgroup/cpu.max': 'max 100000\n' }), undefined);
  assert.equal(files({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '150000 100000\n' }), 1.5);
  assert.equal(
    files({
      '/proc/self/cgroup': '0::/pods/one/daemon\n',
      '/sys/fs/cgroup/pods/one/daemon/cpu.max': '400000 100000\n',
      '/sys/fs/cgroup/pods/one/cpu.max': '200000 100000\n',
      '/sys/fs/cgroup/pods/cpu.max': 'max 100000\n',
    }),
    2,
  );
  // A container: the path is the host's, and the mount begins with the container's own.
  const version1 = { '/proc/self/cgroup': '3:memory:/pods/x\n2:cpu,cpuacct:/pods/x\n0::/\n' };
  const root = '/sys/fs/cgroup/cpu/cpu.cfs';
  assert.equal(files({ ...version1, [`${root}_quota_us`]: '50000\n', [`${root}_period_us`]: '100000\n' }), 0.5);
  assert.equal(files({ ...version1, [`${root}_quota_us`]: '-1\n', [`${root}_period_us`]: '100000\n' }), undefined);
  const own = '/sys/fs/cgroup/cpu/pods/x/cpu.cfs';
  assert.equal(files({ ...version1, [`${own}_quota_us`]: '300000\n', [`${own}_period_us`]: '100000\n' }), 3);
});
