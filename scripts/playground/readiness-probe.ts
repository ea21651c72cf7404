import { request as httpRequest, type RequestOptions } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Container, Probe } from './objects.ts';

/** A kubelet waits a whole period between tries; until the first success somebody is watching here. */
const FIRST_TRIES_MS = 200;
const DEFAULT_PERIOD_S = 10; // Kubernetes' defaults (core/v1 Probe)
const DEFAULT_TIMEOUT_S = 1;
const DEFAULT_FAILURES = 3;

export interface ProbeTarget {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
}

/**
 * Where a container's httpGet probe goes. Undefined: the container has none, and is ready when it runs. Throws an Error for
 * kinds of probe that the playground does not know and for port names that the container does not have.
 */
export function probeTarget(container: Container, podIp: string): ProbeTarget | undefined {
  const probe = container.readinessProbe;
  if (probe === undefined) return undefined;
  const { httpGet } = probe;
  if (httpGet === undefined) throw new Error(`container ${container.name}: only httpGet probes are known here`);
  const port =
    typeof httpGet.port === 'number'
      ? httpGet.port
      : container.ports?.find(({ name }) => name === httpGet.port)?.containerPort;
  if (port === undefined)
    throw new Error(`container ${container.name}: its probe's port "${httpGet.port}" is not its own`);
  return {
    scheme: httpGet.scheme?.toUpperCase() === 'HTTPS' ? 'https' : 'http',
    host: httpGet.host ?? podIp,
    port,
    path: httpGet.path ?? '/',
  };
}

/** Asks again and again, and tells `onChange` each time that readiness turned. Ends with `stop`. */
export class ReadinessProber {
  readonly #target: ProbeTarget;
  readonly #probe: Probe;
  readonly #onChange: () => void;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #failures = 0;
  #successes = 0;
  ready = false;
  /** Why it is not ready, for people. */
  why = 'not yet asked';

  constructor(target: ProbeTarget, probe: Probe, onChange: () => void) {
    this.#target = target;
    this.#probe = probe;
    this.#onChange = onChange;
  }

  start(): void {
    this.#schedule((this.#probe.initialDelaySeconds ?? 0) * 1000);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.ready = false;
  }

  #schedule(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#ask(), delayMs);
  }

  async #ask(): Promise<void> {
    const problem = await getProblem(this.#target, (this.#probe.timeoutSeconds ?? DEFAULT_TIMEOUT_S) * 1000);
    if (this.#stopped) return;
    this.#failures = problem === undefined ? 0 : this.#failures + 1;
    this.#successes = problem === undefined ? this.#successes + 1 : 0;
    this.why = problem ?? '';
    const before = this.ready;
    if (this.#successes >= (this.#probe.successThreshold ?? 1)) this.ready = true;
    if (this.#failures >= (this.#probe.failureThreshold ?? DEFAULT_FAILURES)) this.ready = false;
    if (this.ready !== before) this.#onChange();
    this.#schedule(this.ready ? (this.#probe.periodSeconds ?? DEFAULT_PERIOD_S) * 1000 : FIRST_TRIES_MS);
  }
}

/** GETs as a kubelet does (200–399 is success, certificates are not checked). Gives undefined, or what was wrong. */
function getProblem(target: ProbeTarget, timeoutMs: number): Promise<string | undefined> {
  const url = `${target.scheme}://${target.host}:${target.port}${target.path}`;
  return new Promise((resolve) => {
    const options: RequestOptions & { rejectUnauthorized?: boolean } = {
      host: target.host,
      port: target.port,
      path: target.path,
      timeout: timeoutMs,
      agent: false,
      headers: { 'user-agent': 'kube-probe/playground' },
    };
    const request =
      target.scheme === 'https' ? httpsRequest({ ...options, rejectUnauthorized: false }) : httpRequest(options);
    request.on('response', (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', (error) => resolve(`GET ${url}: ${error.message}`));
      answer.on('end', () => {
        const status = answer.statusCode ?? 0;
        if (status >= 200 && status < 400) return resolve(undefined);
        resolve(`GET ${url}: ${status} ${Buffer.concat(chunks).toString().trim()}`);
      });
    });
    request.on('timeout', () => request.destroy(new Error(`no answer in ${timeoutMs} ms`)));
    request.on('error', (error) => resolve(`GET ${url}: ${error.message}`));
    request.end();
  });
}
