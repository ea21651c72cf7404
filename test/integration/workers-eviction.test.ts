import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDaemonConfig } from '../../daemon/config.ts';
import { claimPorts } from '../../daemon/workers/claim-ports.ts';
import { Workers } from '../../daemon/workers/workers.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';
import { metricValue, TEST_ENVIRONMENT } from '../support/daemon.ts';
import { ask } from '../support/raw-http.ts';

const MINUTE = 60_000;

test('a worker thread ends the series that nobody counts, and counts on where somebody does', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-eviction-'));
  await writeFile(join(dir, 'web'), '127.0.0.1 1\n'); // nobody listens there
  const text = `admin: {port: 0}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]`;
  const config = parseDaemonConfig('test.yaml', text, TEST_ENVIRONMENT);
  const workers = new Workers({
    config,
    environment: TEST_ENVIRONMENT,
    count: 2,
    limitTables: [undefined],
    logLevel: 'silent',
    entry: new URL('../../daemon/workers/worker.ts', import.meta.url),
    onTapped: () => {},
    onLost: (error) => {
      throw error;
    },
  });
  t.after(async () => {
    await workers.stop();
    await rm(dir, { recursive: true });
  });
  await workers.start();
  const ports = await claimPorts(config.routers.flatMap(({ servers }) => servers));
  await workers.listen(ports);
  const own = new MetricsRegistry();
  const requests = async () => metricValue(await workers.render(own), 'request_total', { dst_service: 'web' });
  const request = () => ask(ports[0] ?? 0, 'POST http://web/ HTTP/1.1\r\nHost: web\r\nContent-Length: 0');

  for (let i = 0; i < 3; i += 1) assert.equal((await request()).status, 502);
  assert.equal(await workers.evictIdle(own, 0), 0);
  assert.equal(await workers.evictIdle(own, 9 * MINUTE), 0);
  assert.equal(await requests(), 3);
  assert.ok((await workers.evictIdle(own, 10 * MINUTE)) > 0);
  assert.doesNotMatch(await workers.render(own), /^request_total\{/m);
  await request();
  assert.equal(await requests(), 1);
});
