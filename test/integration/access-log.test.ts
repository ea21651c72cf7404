import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { ToldRecord } from '../../daemon/telemetry/told-record.ts';
import { metricValue, runDaemon, type TestDaemon } from '../support/daemon.ts';
import { until } from '../support/mesh.ts';
import { ask } from '../support/raw-http.ts';

describe('an access log', () => {
  let dir: string;
  let daemon: TestDaemon;
  const servers: { close(): void }[] = [];

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nodemesh-log-'));
  });
  after(async () => {
    for (const server of servers) server.close();
    await rm(dir, { recursive: true });
  });

  /** A daemon over one application, which answers `ok`. */
  const run = async (path: string, keys = '') => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    const { port } = server.address() as { port: number };
    const names = join(dir, 'names');
    await mkdir(names, { recursive: true });
    await writeFile(join(names, 'world'), `127.0.0.1 ${port}\n`);
    daemon = await runDaemon(`admin: {port: 0, shutdownGraceMs: 200}
namers: [{kind: io.l5d.fs, rootDir: ${names}}]
telemetry: [{kind: nodemesh.accessLog, path: ${path}, ${keys}}]
routers: [{protocol: http, label: outgoing, servers: [{port: 0}]}]`);
    return (head: string) => ask({ host: '127.0.0.1', port: daemon.port('outgoing') }, head);
  };
  const lines = async (path: string) =>
    (await readFile(path, 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as ToldRecord);

  test('has a line of JSON for each request, whatever the request says', async () => {
    const path = join(dir, 'lines');
    const askWorld = await run(path);
    assert.equal(
      (await askWorld('GET http://world/a%0d%0a"b HTTP/1.1\r\nHost: world\r\nUser-Agent: "\x1b')).status,
      400,
    );
    assert.equal(
      (await askWorld('GET http://world/a%0d%0a"b HTTP/1.1\r\nHost: world\r\nUser-Agent: "{}\x9b31m')).status,
      200,
    );
    assert.equal((await askWorld('GET http://"world/ HTTP/1.1\r\nHost: x"\r\nUser-Agent: a')).status, 400);
    await daemon.stop();
    const told = await lines(path);
    assert.deepEqual(
      told.map(({ status }) => status),
      [400, 200, 400],
    );
    assert.deepEqual([told[1]?.uri, told[1]?.user_agent, told[1]?.response_bytes], ['/a%0d%0a"b', '"{}\x9b31m', 2]);
    assert.match(await readFile(path, 'utf8'), /^[\x20-\x7e\n]*$/);
  });

  test('that is a pipe which nobody reads, or which is full, holds up no request; what finds no room is counted', async () => {
    const path = join(dir, 'pipe');
    execFileSync('mkfifo', [path]);
    const askWorld = await run(path);
    const askMany = async (count: number) => {
      const url = `http://world/${'x'.repeat(500)}`;
      for (let i = 0; i < count; i += 50) {
        const all = Array.from({ length: 50 }, () =>
          askWorld(`GET ${url} HTTP/1.1\r\nHost: world\r\nUser-Agent: ${url}`),
        );
        for (const { status } of await Promise.all(all)) assert.equal(status, 200);
      }
    };
    await askMany(100); // nobody has opened it
    const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    await askMany(900); // it is open, and nobody reads
    const dropped = metricValue(await daemon.metrics(), 'access_log_dropped_total');
    assert.ok(dropped > 0, 'more than its buffers hold, and nothing is dropped');
    await daemon.stop();
    await reader.close();
  });
});

test("an access log on stdout leaves the daemon's own lines whole, and is whole when it stops, be it a file", async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nodemesh-log-'));
  await writeFile(
    join(dir, 'daemon.yaml'),
    `admin: {port: 0}
namers: [{kind: io.l5d.fs, rootDir: ${dir}}]
telemetry: [{kind: nodemesh.accessLog}]
routers: [{protocol: http, servers: [{port: 0}]}]`,
  );
  const out = await open(join(dir, 'out'), 'w');
  const main = join(import.meta.dirname, '../../daemon/main.ts');
  const daemon = spawn(process.execPath, [main, join(dir, 'daemon.yaml')], { stdio: ['ignore', out.fd, 'inherit'] });
  const lines = async () =>
    (await readFile(join(dir, 'out'), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { readonly msg?: string; readonly port: number; readonly status?: number });
  const running = await until(lines, (all) => all.some(({ msg }) => msg === 'daemon runs'));
  const port = running.find(({ msg }) => msg === 'router listens')?.port ?? 0;
  for (let i = 0; i < 3; i += 1) await ask({ host: '127.0.0.1', port }, 'GET http://nobody/ HTTP/1.1\r\nHost: nobody');
  daemon.kill('SIGTERM');
  await once(daemon, 'exit');
  const all = await lines();
  assert.equal(all.filter(({ status }) => status === 502).length, 3);
  assert.ok(all.some(({ msg }) => msg === 'daemon stops'));
  await out.close();
  await rm(dir, { recursive: true });
});
