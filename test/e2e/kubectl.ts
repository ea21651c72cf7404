import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/**
 * Runs a program and gives what it printed. Rejects with its command line and everything it said where it ends with any
 * status but 0. `input` is its standard input.
 */
export function run(program: string, args: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (status) => {
      if (status === 0) resolve(stdout);
      else reject(new Error(`${[program, ...args].join(' ')}\nended with status ${status}:\n${stdout}${stderr}`));
    });
    child.stdin.on('error', () => undefined); // a program that ends before it read everything says why by itself
    child.stdin.end(input);
  });
}

/** `kubectl args…`, with KUBECONFIG from the environment. */
export function kubectl(args: readonly string[], input?: string): Promise<string> {
  return run('kubectl', args, input);
}

export interface Pod {
  readonly name: string;
  readonly ip: string;
  readonly node: string;
}

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
    readonly spec: { readonly nodeName: string };
    readonly status: { readonly podIP: string };
  }[];
}

/** Pods that carry a label and are not being deleted, by name. */
export async function pods(namespace: string, label: string): Promise<Pod[]> {
  const list: PodList = JSON.parse(await kubectl(['-n', namespace, 'get', 'pods', '-l', label, '-o', 'json']));
  return list.items
    .filter((pod) => pod.metadata.deletionTimestamp === undefined)
    .map((pod) => ({ name: pod.metadata.name, ip: pod.status.podIP, node: pod.spec.nodeName }));
}

/** Runs a module of TypeScript in a pod's container, with the container's own environment, and gives what it printed. */
export function inPod(namespace: string, pod: string, source: string): Promise<string> {
  return kubectl(['-n', namespace, 'exec', pod, '--', 'node', '--input-type=module-typescript', '-e', source]);
}

/** Settles once a Deployment's or DaemonSet's pods all run its present form and are ready. */
export async function rolledOut(namespace: string, workload: string, timeoutSeconds = 120): Promise<void> {
  await kubectl(['-n', namespace, 'rollout', 'status', workload, `--timeout=${timeoutSeconds}s`]);
}

/** What a Service's Endpoints were from a moment on (this machine's clock, ms). */
export interface EndpointsState {
  readonly at: number;
  readonly ips: readonly string[];
}

/** Watches the ready addresses of a Service, from now until `stop`. */
export class EndpointsWatch {
  readonly states: EndpointsState[] = [];
  readonly #child: ChildProcess;

  constructor(namespace: string, service: string) {
    const format = 'jsonpath={.subsets[*].addresses[*].ip}{"\\n"}';
    this.#child = spawn('kubectl', ['-n', namespace, 'get', 'endpoints', service, '--watch', '-o', format], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (this.#child.stdout === null) throw new Error('kubectl has no standard output');
    createInterface(this.#child.stdout).on('line', (line) => {
      this.states.push({ at: Date.now(), ips: line.split(' ').filter((ip) => ip !== '') });
    });
  }

  stop(): void {
    this.#child.kill();
  }
}

/**
 * Asks until the answer is not undefined, and gives it. Rejects after `timeoutMs` with `what` and, where the last try
 * threw, why.
 */
export async function eventually<T>(what: string, timeoutMs: number, ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`, { cause });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

const POLL_MS = 250;
