import { isDeepStrictEqual } from 'node:util';
import type { InjectionSettings } from '../webhook/injection.ts';
import type { AddOperation } from '../webhook/json-patch.ts';
import { asRecord, viewPod } from '../webhook/pod-view.ts';
import { decide, type PodPlace } from './decision.ts';
import { parsePointer, valueAt } from './manifests/pointers.ts';
import { withoutInjection } from './uninjection.ts';

/** A pod that would be created otherwise today: without the proxy though it should have it, or with another. */
export interface Staleness {
  readonly kind: 'missing' | 'different';
  readonly text: string;
}

/**
 * Whether a running pod is older than what its namespace and the webhook's config now say: undefined where a new one would be the
 * same, and where injection would leave it alone.
 */
export function stalenessOf(pod: unknown, place: PodPlace, settings: InjectionSettings): Staleness | undefined {
  const bare = withoutInjection(pod);
  const { decision, patch } = decide(bare, place, settings);
  if (decision !== 'inject') return undefined;
  for (const operation of patch) {
    for (const { container, variable } of variablesOf(bare, operation)) {
      const found = envOf(pod, container).find((entry) => asRecord(entry)?.name === variable.name);
      if (found === undefined) {
        return { kind: 'missing', text: `container ${container} has no ${variable.name}` };
      }
      if (!isDeepStrictEqual(meaningOf(found), meaningOf(variable))) {
        const text = `container ${container} has ${describe(found)}, a new pod gets ${describe(variable)}`;
        return { kind: 'different', text };
      }
    }
  }
  return undefined;
}

interface Variable {
  readonly name: string;
  readonly value?: unknown;
  readonly valueFrom?: unknown;
}

/** The variables that one operation of a patch adds, with the name of their container. */
function variablesOf(pod: unknown, { path, value }: AddOperation): { container: string; variable: Variable }[] {
  const [spec, list = '', index = '', env] = parsePointer(path);
  if (spec !== 'spec' || env !== 'env') return [];
  const container = String(valueAt(pod, ['spec', list, index, 'name']));
  return (Array.isArray(value) ? value : [value]).map((variable) => ({ container, variable: variable as Variable }));
}

function envOf(pod: unknown, name: string): readonly unknown[] {
  const found = viewPod(pod).containers.find((container) => container.name === name);
  const env = found === undefined ? undefined : valueAt(pod, ['spec', found.list, found.index, 'env']);
  return Array.isArray(env) ? env : [];
}

/** Without what the API server's defaulting adds. */
function meaningOf(entry: unknown): unknown {
  const { value, valueFrom } = asRecord(entry) ?? {};
  return [value, valueAt(valueFrom, ['fieldRef', 'fieldPath'])];
}

function describe(entry: unknown): string {
  const { name, value, valueFrom } = asRecord(entry) ?? {};
  return `${name}=${typeof value === 'string' ? value : `(${String(valueAt(valueFrom, ['fieldRef', 'fieldPath']) ?? 'another source')})`}`;
}
