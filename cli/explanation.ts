import jsonPatch, { type Operation } from 'fast-json-patch';
import { type EnvEntry, expandEnv } from '../lib/kubernetes/env-expansion.ts';
import { INJECT } from '../webhook/annotations.ts';
import type { InjectionSettings } from '../webhook/injection.ts';
import { asRecord, asText } from '../webhook/pod-view.ts';
import { decide, type PodPlace } from './decision.ts';
import { type Asked, judgeEntry, type Labels, type WebhookEntry } from './entries.ts';
import { withoutInjection } from './uninjection.ts';

export interface PodInQuestion {
  /** The pod, or a template. */
  readonly pod: unknown;
  readonly place: PodPlace;
  readonly namespaceLabels: Labels;
  readonly settings: InjectionSettings;
  /** None where it is not known what the API server asks. */
  readonly entries: readonly WebhookEntry[];
  /** The pod runs: its environment is what it has, and not what it would get. */
  readonly running: boolean;
  /** The address of the Kubernetes API in pods, where it is known. */
  readonly serviceHost: string | undefined;
}

export interface Explanation {
  readonly asked: readonly Asked[];
  readonly verdict: 'inject' | 'skip';
  readonly reasons: readonly { readonly id: string; readonly text: string }[];
  readonly warnings: readonly string[];
  readonly containers: readonly {
    readonly name: string;
    /** The variables that injection adds or has added. */
    readonly added: readonly string[];
    /** As the container's process sees them, in the order of their definition. */
    readonly env: readonly (readonly [name: string, value: string])[];
    /** What `envFrom` names; its variables are not known here. */
    readonly envFrom: readonly string[];
  }[];
}

/**
 * Why a pod is injected or not, from the API server's selectors to the environment that its kubelet makes. A running pod is
 * judged as if it were created anew. Pure; the decision is the webhook's own.
 */
export function explain(question: PodInQuestion): Explanation {
  const { pod, place, settings, namespaceLabels, entries, running } = question;
  const bare = withoutInjection(pod);
  const labels = (asRecord(asRecord(asRecord(pod)?.metadata)?.labels) ?? {}) as Labels;
  const asked = entries.map((entry) => judgeEntry(entry, namespaceLabels, labels));
  const unasked = asked.length > 0 && !asked.some((one) => one.asked);
  const { decision, reasons, warnings, patch } = decide(bare, place, settings);
  const injected = structuredClone(bare);
  jsonPatch.applyPatch(injected, structuredClone(patch) as Operation[]);
  const will = decision === 'inject' && !unasked;
  const byAnnotation = reasons.some(({ id }) => id === 'pod_enabled') && labels[INJECT] !== 'enabled';
  const hint = byAnnotation ? `; here the pod has to ask by label ${INJECT}=enabled, an annotation is not seen` : '';
  const nobodyAsks = { id: 'not_asked', text: `the API server asks no entry of the webhook about such a pod${hint}` };
  return {
    asked,
    verdict: will ? 'inject' : 'skip',
    reasons: unasked ? [nobodyAsks, ...reasons.filter(({ id }) => id !== 'pod_enabled')] : reasons,
    warnings,
    containers: containersOf(running ? pod : will ? injected : bare).map((container) => {
      const before = new Set(envOf(containerNamed(bare, container.name)).map(({ name }) => name));
      const env = envOf(container);
      return {
        name: asText(container.name) ?? '',
        added: env.map(({ name }) => name).filter((name) => !before.has(name)),
        env: effective(env, question),
        envFrom: (Array.isArray(container.envFrom) ? container.envFrom : []).map(sourceText),
      };
    }),
  };
}

type Container = Readonly<Record<string, unknown>>;

function containersOf(pod: unknown): Container[] {
  const spec = asRecord(asRecord(pod)?.spec) ?? {};
  const lists = [spec.initContainers, spec.containers];
  const all = lists.flatMap((list): readonly unknown[] => (Array.isArray(list) ? list : []));
  return all.map(asRecord).filter((container) => container !== undefined);
}

function containerNamed(pod: unknown, name: unknown): Container | undefined {
  return containersOf(pod).find((container) => container.name === name);
}

function envOf(container: Container | undefined): readonly EnvEntry[] {
  const env = Array.isArray(container?.env) ? container.env : [];
  return env.filter((entry) => typeof asRecord(entry)?.name === 'string') as EnvEntry[];
}

function effective(env: readonly EnvEntry[], { pod, place, serviceHost }: PodInQuestion): [string, string][] {
  const services = { KUBERNETES_SERVICE_HOST: serviceHost ?? '<KUBERNETES_SERVICE_HOST>' };
  const valueFrom = (source: unknown) => sourceValue(source, pod, place.namespace);
  const values = expandEnv(env, { services, valueFrom });
  return [...new Set(env.map(({ name }) => name))].flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [[name, value] as [string, string]];
  });
}

/** What a `valueFrom` stands for: the pod's field where it is known, else its source between angle brackets. */
function sourceValue(source: unknown, pod: unknown, namespace: string): string {
  const path = asText(asRecord(asRecord(source)?.fieldRef)?.fieldPath);
  if (path === undefined) return `<${sourceText(source)}>`;
  if (path === 'metadata.namespace') return namespace;
  const [, map = '', key = ''] = /^(metadata\.(?:labels|annotations))\['(.*)'\]$/.exec(path) ?? [];
  const keys = map === '' ? path.split('.') : [...map.split('.'), key];
  const value = keys.reduce<unknown>((node, part) => asRecord(node)?.[part], pod);
  return typeof value === 'string' ? value : `<${path}>`;
}

/** `secretKeyRef tokens, key api`; `configMapRef settings`. */
function sourceText(source: unknown): string {
  const [kind, about] = Object.entries(asRecord(source) ?? {}).find(([, value]) => asRecord(value) !== undefined) ?? [];
  const { name, key, resource } = asRecord(about) ?? {};
  return `${kind ?? 'unknown'} ${asText(name) ?? asText(resource) ?? ''}${typeof key === 'string' ? `, key ${key}` : ''}`;
}

/** An explanation as lines, step by step. */
export function explanationLines({ asked, verdict, reasons, warnings, containers }: Explanation): string[] {
  const entries = asked.map((one) => `${one.entry}: ${one.asked ? 'asked' : 'not asked'}, since ${one.why}`);
  return [
    '  1. Which entry of the webhook the API server asks about such a pod:',
    ...indented(entries.length > 0 ? entries : ['not known: the MutatingWebhookConfiguration could not be read']),
    `  2. The decision: ${verdict}`,
    ...indented([...reasons.map(({ id, text }) => `${id}: ${text}`), ...warnings.map((text) => `warning: ${text}`)]),
    '  3. The environment of each container, as a kubelet expands it (+ added by injection):',
    ...containers.flatMap(({ name, added, env, envFrom }) => [
      `     ${name}${env.length + envFrom.length === 0 ? ': nothing' : ''}`,
      ...env.map(([variable, value]) => `     ${added.includes(variable) ? '+' : ' '} ${variable}=${value}`),
      ...envFrom.map((source) => `       and what envFrom brings: ${source}`),
    ]),
  ];
}

function indented(lines: readonly string[]): string[] {
  return lines.map((line) => `     ${line}`);
}
