import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../manifests/examples/helloworld.ts', import.meta.url));

interface Started {
  readonly process: ChildProcess;
  readonly url: string;
}

/** Starts the program on a free port and settles once it listens. Its end is the test's. */
async function start(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Started> {
  const port = await freePort();
  const child = spawn(process.execPath, [PROGRAM, `-addr=127.0.0.1:${port}`, ...args], {
    env: { POD_IP: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(createInterface(child.stdout), 'line');
  return { process: child, url: `http://127.0.0.1:${port}` };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function get(url: string): Promise<{ status: number; text: string }> {
  const answer = await fetch(url, { headers: { connection: 'close' } });
  return { status: answer.status, text: await answer.text() };
}

describe('helloworld', () => {
  const asked: IncomingMessage[] = [];
  let answer = { status: 200, text: 'world (10.0.0.9)\n' };
  const proxy = createServer((request, response) => {
    asked.push(request);
    response.writeHead(answer.status).end(answer.text);
  });
  let proxyUrl = '';
  before(async () => {
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    proxyUrl = `http://shop@127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  after(() => proxy.close());

  it('greets with its own address where it has nobody to ask', async (t) => {
    const world = await start(t, ['-text=world']);
    assert.deepEqual(await get(world.url), { status: 200, text: 'world (127.0.0.1)\n' });
    assert.equal((await get(`${world.url}/healthz`)).status, 200);
  });

  it('asks its target through http_proxy, in absolute-form, as the user that the proxy URL names', async (t) => {
    const hello = await start(t, ['-text=Hello', '-target=world'], { http_proxy: proxyUrl });
    assert.deepEqual(await get(hello.url), { status: 200, text: 'Hello (127.0.0.1) world (10.0.0.9)!!\n' });
    const request = asked.at(-1);
    assert.equal(request?.url, 'http://world/');
    assert.equal(request?.headers.host, 'world');
    assert.equal(request?.headers['proxy-authorization'], `Basic ${Buffer.from('shop:').toString('base64')}`);
  });

  it('asks directly what no_proxy names', async (t) => {
    const world = await start(t, ['-text=world']);
    const { host } = new URL(world.url);
    const hello = await start(t, ['-text=Hello', `-target=${host}`], { http_proxy: proxyUrl, no_proxy: 'x,127.0.0.1' });
    assert.equal((await get(hello.url)).text, 'Hello (127.0.0.1) world (127.0.0.1)!!\n');
  });

  it('answers 502 with what it heard where its target does not greet', async (t) => {
    answer = { status: 502, text: 'no such Service' };
    const hello = await start(t, ['-text=Hello', '-target=world'], { http_proxy: proxyUrl });
    assert.deepEqual(await get(hello.url), {
      status: 502,
      text: 'Hello (127.0.0.1) got no greeting from world: status 502: no such Service\n',
    });
  });

  it('on SIGTERM goes on answering while others hear of it, and exits 0', async (t) => {
    const world = await start(t, ['-text=world']);
    world.process.kill('SIGTERM');
    let health = 200;
    while (health === 200) health = (await get(`${world.url}/healthz`)).status;
    assert.equal(health, 503);
    assert.equal((await get(world.url)).status, 200);
    assert.deepEqual(await once(world.process, 'exit'), [0, null]);
  });

  it('exits 2 for an argument that it does not know', async () => {
    const child = spawn(process.execPath, [PROGRAM, '-adr=:1'], { stdio: 'ignore' });
    assert.deepEqual(await once(child, 'exit'), [2, null]);
  });
});
