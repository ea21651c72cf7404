import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as setTimeoutPromise } from 'node:timers/promises';
import { type Cluster, inNamespace, PATHS } from './cluster.ts';
import { LocalContainer } from './container.ts';
import type { BoundToken } from './kubernetes-api/api-users.ts';
import type { Container, PodObject, PodStatus } from './objects.ts';
import { type PodPlace, resolveContainer } from './pod-environment.ts';
import { probeTarget, ReadinessProber } from './readiness-probe.ts';
import { makeVolumes, rewriteMountedPaths } from './volumes.ts';

const DEFAULT_GRACE_S = 30; // core/v1 PodSpec.terminationGracePeriodSeconds
const START_RETRY_MS = 500;
const REPORTED_LINES = 15;

/** What all pods of a node share. */
export interface NodeRuntime {
  readonly cluster: Cluster;
  readonly nodeIp: string;
  readonly api: PodPlace['api'];
  /** The one image: its name, and the programs in it by their path there. */
  readonly image: { readonly name: string; readonly programs: ReadonlyMap<string, string> };
  readonly nodePath: string;
  /** PATH, as a container's own image would set it. */
  readonly path: string;
  /** A kubeconfig for a pod, as a token bound to it would let it in. */
  readonly kubeconfig: (bound: BoundToken) => string;
  readonly directory: string;
  readonly logDirectory: string;
  readonly random: () => number;
  readonly now: () => Date;
}

/** How a pod is, for people. */
export interface PodReport {
  readonly name: string;
  readonly ready: boolean;
  readonly restarts: number;
  readonly why: string;
  readonly lastLines: readonly string[];
}

interface RunningContainer {
  readonly container: LocalContainer;
  readonly prober: ReadinessProber | undefined;
}

/** One pod on its node: its containers as processes, their probes, and the status that the API shows. */
export class PodRun {
  readonly pod: PodObject;
  readonly ip: string;
  readonly #runtime: NodeRuntime;
  readonly #running = new Map<string, RunningContainer>();
  readonly #startTime: string;
  #retry: NodeJS.Timeout | undefined;
  #problem = '';
  #unpublished = '';
  #ready = false;
  #readySince: string;
  #ended = false;
  #publishing: Promise<void> | undefined;
  #dirty = false;

  constructor(pod: PodObject, ip: string, runtime: NodeRuntime) {
    this.pod = pod;
    this.ip = ip;
    this.#runtime = runtime;
    this.#startTime = runtime.now().toISOString();
    this.#readySince = this.#startTime;
  }

  /** Starts every container; what cannot start yet (a ConfigMap that is missing) is tried again, as a kubelet does. */
  start(): void {
    if (this.#ended) return;
    try {
      const directory = join(this.#runtime.directory, 'pods', this.pod.metadata.uid ?? this.pod.metadata.name);
      mkdirSync(directory, { recursive: true });
      const volumes = makeVolumes(this.pod, directory, this.#runtime.cluster);
      if ((this.pod.spec.initContainers ?? []).length > 0) throw new Error('initContainers are not supported here');
      const prepared = this.pod.spec.containers.map((spec) => this.#prepare(spec, directory, volumes));
      this.#problem = '';
      for (const { container, prober } of prepared) {
        container.start();
        prober?.start();
      }
    } catch (error) {
      this.#problem = (error as Error).message;
      this.#retry = setTimeout(() => this.start(), START_RETRY_MS);
    }
    this.#changed();
  }

  /** SIGTERM, and SIGKILL after the pod's grace period. Settles when all its processes are gone. */
  async stop(): Promise<void> {
    this.#end();
    const graceMs = (this.pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_S) * 1000;
    await Promise.all([...this.#running.values()].map(({ container }) => container.stop(graceMs)));
  }

  /** As if the node lost power. */
  async kill(): Promise<void> {
    this.#end();
    await Promise.all([...this.#running.values()].map(({ container }) => container.kill()));
  }

  report(): PodReport {
    const containers = [...this.#running.values()];
    const exits = containers.flatMap(({ container }) =>
      container.lastExit === undefined ? [] : [`its process ended with ${container.lastExit}`],
    );
    const probes = containers.flatMap(({ prober }) => (prober === undefined || prober.ready ? [] : [prober.why]));
    return {
      name: `${this.pod.metadata.namespace}/${this.pod.metadata.name}`,
      ready: this.#ready,
      restarts: containers.reduce((sum, { container }) => sum + container.restarts, 0),
      why: [this.#problem, this.#unpublished, ...exits, ...probes].filter((text) => text !== '').join('; '),
      lastLines: containers.flatMap(({ container }) => container.lastLines(REPORTED_LINES)),
    };
  }

  #end(): void {
    this.#ended = true;
    clearTimeout(this.#retry);
    for (const { prober } of this.#running.values()) prober?.stop();
  }

  #prepare(spec: Container, directory: string, volumes: ReadonlyMap<string, string>): RunningContainer {
    const runtime = this.#runtime;
    const place = { podIp: this.ip, hostIp: runtime.nodeIp, api: runtime.api };
    const { env, argv } = resolveContainer(spec, this.pod, place);
    const target = probeTarget(spec, this.ip);
    const changed = () => this.#changed();
    const container = new LocalContainer(
      {
        args: programArguments(spec, rewriteMountedPaths(argv, spec.volumeMounts, volumes), runtime.image),
        env: {
          PATH: runtime.path,
          HOME: directory,
          // Where a real container finds its service account's token, this one finds the way to the same API.
          ...(hasToken(this.pod) ? { KUBECONFIG: this.#writeKubeconfig(directory) } : {}),
          ...env,
        },
        directory,
        logFile: join(
          runtime.logDirectory,
          `${this.pod.metadata.namespace}_${this.pod.metadata.name}_${spec.name}.log`,
        ),
      },
      { nodePath: runtime.nodePath, random: runtime.random, onChange: changed },
    );
    const prober =
      target === undefined || spec.readinessProbe === undefined
        ? undefined
        : new ReadinessProber(target, spec.readinessProbe, changed);
    const running = { container, prober };
    this.#running.set(spec.name, running);
    return running;
  }

  #writeKubeconfig(directory: string): string {
    const { metadata, spec } = this.pod;
    const file = join(directory, 'kubeconfig');
    const { namespace = 'default', name: pod, uid: podUid = '' } = metadata;
    writeFileSync(
      file,
      this.#runtime.kubeconfig({ namespace, serviceAccount: spec.serviceAccountName ?? 'default', pod, podUid }),
    );
    return file;
  }

  #changed(): void {
    const ready = this.#containersReady();
    if (ready !== this.#ready) {
      this.#ready = ready;
      this.#readySince = this.#runtime.now().toISOString();
    }
    this.#dirty = true;
    this.#publishing ??= this.#publish().finally(() => {
      this.#publishing = undefined;
    });
  }

  #containersReady(): boolean {
    const running = [...this.#running.values()];
    return (
      this.#problem === '' &&
      running.length > 0 &&
      running.every(({ container, prober }) => container.running && (prober?.ready ?? true))
    );
  }

  /** One write at a time, always of the newest state. */
  async #publish(): Promise<void> {
    const { namespace, name } = this.pod.metadata;
    const path = `${inNamespace(PATHS.pods, namespace, name)}/status`;
    while (this.#dirty && !this.#ended) {
      this.#dirty = false;
      try {
        await this.#runtime.cluster.patch(path, { status: this.#status() });
        this.#unpublished = '';
      } catch (error) {
        this.#unpublished = `its status cannot be written: ${(error as Error).message}`;
        this.#dirty = true;
        await setTimeoutPromise(START_RETRY_MS);
      }
    }
  }

  #status(): PodStatus {
    const condition = (type: string, ok: boolean, since: string) => ({
      type,
      status: ok ? 'True' : 'False',
      lastTransitionTime: since,
      ...(ok || this.#problem === '' ? {} : { reason: 'CannotStart', message: this.#problem }),
    });
    return {
      phase: this.#running.size === 0 || this.#problem !== '' ? 'Pending' : 'Running',
      hostIP: this.#runtime.nodeIp,
      podIP: this.ip,
      ...{ podIPs: [{ ip: this.ip }] },
      startTime: this.#startTime,
      conditions: [
        condition('PodScheduled', true, this.#startTime),
        condition('Initialized', true, this.#startTime),
        condition('ContainersReady', this.#ready, this.#readySince),
        condition('Ready', this.#ready, this.#readySince),
      ],
      containerStatuses: this.pod.spec.containers.map((spec) => this.#containerStatus(spec)),
    };
  }

  #containerStatus(spec: Container): object {
    const found = this.#running.get(spec.name);
    const running = found?.container.running ?? false;
    const why = this.#problem !== '' ? 'CreateContainerConfigError' : 'CrashLoopBackOff';
    const message = this.#problem || found?.container.lastExit || '';
    return {
      name: spec.name,
      image: spec.image ?? '',
      imageID: '',
      ready: running && (found?.prober?.ready ?? true),
      started: running,
      restartCount: found?.container.restarts ?? 0,
      state: running ? { running: { startedAt: this.#startTime } } : { waiting: { reason: why, message } },
    };
  }
}

/**
 * What to give to this machine's Node for a container's command line: `node /app/daemon.js …` → the program's source and
 * the rest. Throws an Error where the image or the program is not known.
 */
function programArguments(spec: Container, argv: readonly string[], image: NodeRuntime['image']): string[] {
  if (spec.image !== image.name) {
    throw new Error(`container ${spec.name}: the playground has no image "${spec.image}", only ${image.name}`);
  }
  const args = argv[0] === 'node' ? argv.slice(1) : [...argv];
  const known = args.some((argument) => image.programs.has(argument));
  if (!known) {
    throw new Error(
      `container ${spec.name}: "${argv.join(' ')}" is not known here, only node with one of ${[...image.programs.keys()].join(', ')}`,
    );
  }
  return args.map((argument) => image.programs.get(argument) ?? argument);
}

/** Whether a kubelet mounts a token of the pod's ServiceAccount: of its own accord, or as a volume that asks for one. */
function hasToken({ spec }: PodObject): boolean {
  const projected = spec.volumes?.some((volume) => volume.projected?.sources?.some((s) => 'serviceAccountToken' in s));
  return spec.automountServiceAccountToken !== false || projected === true;
}
