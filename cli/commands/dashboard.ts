import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { platform } from 'node:os';
import { connect } from '../cluster/connection.ts';
import { type MeshPod, MeshPods } from '../cluster/daemons.ts';
import { type Call, CommandError, type Host, messageOf, textOption, UsageError } from '../host.ts';
import { type PassOn, startDashboard } from '../telemetry/dashboard-server.ts';

/** A server that has not begun to answer by then will not. */
const HEAD_MS = 15_000;

/** `nodemesh dashboard`: see commands.ts. Ends on SIGINT or SIGTERM. */
export async function run(call: Call): Promise<number> {
  const { host, positionals, options } = call;
  if (positionals.length > 0) throw new UsageError(`dashboard takes no argument "${positionals[0]}"`);
  const wanted = textOption(call, 'port') ?? '0';
  if (!/^\d{1,5}$/.test(wanted) || Number(wanted) > 65_535) {
    throw new UsageError(`--port is a number up to 65535, not "${wanted}"`);
  }
  const node = textOption(call, 'node');
  const pods = await MeshPods.find(connect(host), node === undefined ? 'webhook' : 'daemon', host.now);
  if (node !== undefined) pods.of(node);
  await pods.ready(); // without a token there is nothing to show
  const stop = host.stopped();
  const server = await startDashboard(Number(wanted), passer(pods, node)).catch((error: unknown) => {
    throw new CommandError(`port ${wanted} of 127.0.0.1 cannot be had: ${messageOf(error)}; choose another --port`);
  });
  const url = `http://localhost:${server.port}/`;
  host.write(`${url}\n`);
  if (options['no-open'] !== true) open(host, url);
  if (!stop.aborted) await once(stop, 'abort');
  await server.close();
  return 0;
}

/** Passes on to the node's daemon, or to a webhook pod: the one that answered last, and another where it does not. */
function passer(found: MeshPods, node: string | undefined): PassOn {
  let pods = found;
  let current: MeshPod | undefined;
  return async (path, headers, signal) => {
    const tried: string[] = [];
    for (let tries = 0; tries < 3; tries += 1) {
      if (tries === 1) pods = await pods.again();
      const pod = choose(pods, node, current, tried);
      if (pod === undefined) break;
      const response = await opened(pods, pod, path, headers, signal).catch((error: unknown) => messageOf(error));
      if (typeof response !== 'string') {
        current = pod;
        return response;
      }
      tried.push(pod.name);
      if (tries === 2 || signal.aborted) throw new Error(response);
    }
    throw new Error(`none of the pods ${tried.join(', ')} answers; kubectl -n nodemesh get pods shows how they are`);
  };
}

function choose(pods: MeshPods, node: string | undefined, current: MeshPod | undefined, tried: readonly string[]) {
  if (node !== undefined) return pods.of(node);
  const open = pods.pods.filter(({ name }) => !tried.includes(name));
  return open.find(({ name }) => name === current?.name) ?? open.find(({ ready }) => ready) ?? open[0];
}

/** Throws where the API server has no answer of the pod. */
async function opened(pods: MeshPods, pod: MeshPod, path: string, headers: object, signal: AbortSignal) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error(`no answer within ${HEAD_MS} ms`)), HEAD_MS);
  try {
    return await pods.pass(pod, path, AbortSignal.any([signal, late.signal]), headers);
  } finally {
    clearTimeout(timer);
  }
}

/** Where somebody sits at this machine's own screen. */
function open({ env, terminal }: Host, url: string): void {
  const isMac = platform() === 'darwin';
  if (terminal === undefined || (!isMac && !env.DISPLAY && !env.WAYLAND_DISPLAY)) return;
  const browser = spawn(isMac ? 'open' : 'xdg-open', [url], { stdio: 'ignore', detached: true });
  browser.on('error', () => {}); // there is none: its address is on the terminal
  browser.unref();
}
