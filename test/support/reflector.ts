import { EventEmitter, once } from 'node:events';
import { HttpKubernetesApi } from '../../lib/kubernetes/client.ts';
import { Reflector, type ReflectorOptions } from '../../lib/kubernetes/reflector.ts';
import type { ApiStream, KubernetesApi, KubernetesObject, ObjectChange } from '../../lib/kubernetes/types.ts';
import { createLog } from '../../lib/log.ts';
import { MetricsRegistry } from '../../lib/metrics.ts';

/** What the tests keep of an object: anything that they change. */
export interface Kept {
  readonly name: string;
  readonly value: string;
}

/** A reflector of ConfigMaps' `data.value`, everything that it told and asked, and ways to wait for that. */
export class ReflectorHarness {
  readonly reflector: Reflector<Kept>;
  readonly metrics = new MetricsRegistry();
  readonly batches: (readonly ObjectChange<Kept>[])[] = [];
  /** Paths of the API that were asked, in order: lists and watches. */
  readonly asked: string[] = [];
  readonly #signs = new EventEmitter();
  /** Called after each answered list page; what it does happens before the next. */
  afterPage: () => void = () => {};

  constructor(url: string, options: Partial<ReflectorOptions<Kept>> = {}) {
    this.#signs.setMaxListeners(0);
    const destination = { write: () => void this.#signs.emit('sign') };
    this.reflector = new Reflector<Kept>({
      api: this.#recorded(plainApi(url)),
      resource: { path: '/api/v1/configmaps' },
      trim: trimConfigMap,
      log: createLog('test', 'info', destination),
      metrics: this.metrics,
      random: Math.random,
      now: () => performance.now(),
      ...options,
      timing: { backoff: { minMs: 2, maxMs: 20 }, ...options.timing },
    });
    this.reflector.onChange((changes) => {
      this.batches.push(changes);
      this.#signs.emit('sign');
    });
  }

  /** Settles once `condition` holds; looked at whenever the reflector tells, logs or asks something. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#signs, 'sign');
  }

  /** `name=value` of everything known, sorted. */
  get known(): string[] {
    return [...this.reflector.items.values()].map(({ name, value }) => `${name}=${value}`).sort();
  }

  get lists(): string[] {
    return this.asked.filter((path) => !path.includes('watch=true'));
  }

  get watches(): string[] {
    return this.asked.filter((path) => path.includes('watch=true'));
  }

  #recorded(api: KubernetesApi): KubernetesApi {
    const ask = (path: string) => {
      this.asked.push(path);
      this.#signs.emit('sign');
    };
    return {
      server: api.server,
      request: (request) => api.request(request),
      list: async (request, take) => {
        ask(request.path);
        const metadata = await api.list(request, take);
        this.afterPage();
        return metadata;
      },
      stream: async (path, signal): Promise<ApiStream> => {
        const stream = await api.stream(path, signal);
        ask(path);
        return stream;
      },
    };
  }
}

/** A client without credentials. */
export function plainApi(url: string): KubernetesApi {
  return new HttpKubernetesApi({ server: new URL(url), credentials: async () => ({ headers: {}, tls: {} }) });
}

export function configMap(name: string, value: string, labels: Readonly<Record<string, string>> = {}) {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default', labels }, data: { value } };
}

function trimConfigMap(object: KubernetesObject): Kept | undefined {
  const { value } = (object as { data?: { value?: string } }).data ?? {};
  return value === undefined ? undefined : { name: object.metadata.name, value };
}
