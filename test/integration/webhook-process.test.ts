import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MemoryKubernetes } from '../../scripts/playground/kubernetes-api/memory-kubernetes.ts';

const MAIN = new URL('../../webhook/main.ts', import.meta.url).pathname;

function directory(t: TestContext, files: Record<string, string>): string {
  const path = mkdtempSync(join(tmpdir(), 'nodemesh-webhook-'));
  t.after(() => rmSync(path, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function start(t: TestContext, cwd: string, args: string[]): { child: ChildProcess; finished: Promise<Finished> } {
  const env = { PATH: process.env.PATH, KUBECONFIG: join(cwd, 'kubeconfig'), POD_IP: '127.0.0.1' };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const read = async (stream: NodeJS.ReadableStream | null) => {
    let text = '';
    for await (const chunk of stream ?? []) text += chunk;
    return text;
  };
  const finished = Promise.all([read(child.stdout), read(child.stderr), once(child, 'exit')]).then(
    ([out, err, [code]]) => ({ out, err, code }),
  );
  return { child, finished };
}

/** Settles when the process has logged a line with this message. */
function logged(child: ChildProcess, message: string): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    child.stdout?.on('data', (chunk) => {
      text += chunk;
      if (text.includes(`"msg":"${message}"`)) resolve();
    });
  });
}

const LOCAL = 'https: {ip: pod, port: 0}\nadmin: {ip: pod, port: 0}\n';

test('webhook process: a config with faults ends it with status 1 and one line a fault', async (t) => {
  const cwd = directory(t, { 'webhook.yaml': 'proxyPort: high\ndrainSecond: 5\n' });
  assert.deepEqual(await start(t, cwd, ['webhook.yaml']).finished, {
    code: 1,
    out: '',
    err:
      'webhook.yaml: proxyPort: give a port number, 0 to 65535\n' +
      'webhook.yaml: drainSecond: unknown key; did you mean "drainSeconds"?\n',
  });
});

test('webhook process: a missing file, a missing argument and a missing API server are told apart', async (t) => {
  const cwd = directory(t, { 'webhook.yaml': LOCAL });
  const [file, argument, api] = await Promise.all(
    [['none.yaml'], [], ['webhook.yaml']].map((args) => start(t, cwd, args).finished),
  );
  assert.equal(file?.code, 1);
  assert.match(file?.err ?? '', /^none\.yaml: ENOENT/);
  assert.equal(argument?.code, 2);
  assert.match(argument?.err ?? '', /^usage: /);
  assert.equal(api?.code, 1);
  assert.match(api?.err ?? '', /^nodemesh webhook: cannot start: .*kubeconfig/);
});

test('webhook process: --validate reads the config and starts nothing', async (t) => {
  const cwd = directory(t, { 'webhook.yaml': LOCAL });
  const { code, out } = await start(t, cwd, ['--validate', 'webhook.yaml']).finished;
  assert.deepEqual([code, out], [0, 'webhook.yaml: valid\n']);
});

test('webhook process: SIGTERM drains and ends it with status 0, a second one ends it at once with 1', async (t) => {
  const kubernetes = await MemoryKubernetes.start();
  t.after(() => kubernetes.stop());
  const kubeconfig = kubernetes.kubeconfig();
  for (const [drainSeconds, signals, expected] of [
    [0, 1, 0],
    [300, 2, 1],
  ] as const) {
    const cwd = directory(t, { kubeconfig, 'webhook.yaml': `${LOCAL}drainSeconds: ${drainSeconds}\n` });
    const { child, finished } = start(t, cwd, ['webhook.yaml']);
    await logged(child, 'webhook runs');
    const stops = logged(child, 'webhook stops');
    child.kill('SIGTERM');
    await stops;
    if (signals === 2) child.kill('SIGTERM');
    assert.equal((await finished).code, expected);
  }
});
