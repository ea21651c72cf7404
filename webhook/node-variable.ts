import { expand } from '../lib/kubernetes/env-expansion.ts';
import type { ContainerView } from './pod-view.ts';

export interface FieldSource {
  readonly fieldRef: { readonly fieldPath: string };
}
export type EnvVar =
  | { readonly name: string; readonly value: string }
  | { readonly name: string; readonly valueFrom: FieldSource };

/** Names to give a variable, the first that is free: the second is nobody else's. */
export const NODE_NAME = { fieldPath: 'spec.nodeName', names: ['NODE_NAME', 'NODEMESH_NODE_NAME'] };
export const NODE_IP = { fieldPath: 'status.hostIP', names: ['NODE_IP', 'NODEMESH_NODE_IP'] };
type NodeField = typeof NODE_NAME;

/** A variable that holds a field of the node. */
export interface ChosenVariable {
  readonly name: string;
  /** Whether the user's own entry serves. */
  readonly reused: boolean;
  /** The position from which on `$(name)` expands. */
  readonly at: number;
}

/** Finds a name for a node's field: one that the user gave it, or one whose definition changes nothing of the user's. */
export function chooseVariable(
  container: ContainerView,
  field: NodeField,
  only: string | undefined,
): ChosenVariable | undefined {
  const env = container.env ?? [];
  for (const name of field.names) {
    if (only !== undefined && name !== only) continue;
    const at = env.findIndex((entry) => entry.name === name);
    // Defined twice, it is what was defined last before whoever refers to it.
    const serves = env.every((entry) => entry.name !== name || entry.fieldPath === field.fieldPath);
    if (at >= 0 && serves) return { name, reused: true, at: at + 1 };
    if (at < 0 && !wouldBeSeen(container, name)) return { name, reused: false, at: 0 };
  }
  return undefined;
}

/** Whether something of the user's would change if a variable of this name were defined before it. */
function wouldBeSeen(container: ContainerView, name: string): boolean {
  if (container.hasEnvFrom && !name.startsWith('NODEMESH_')) return true; // env wins over envFrom, whose names are not known here
  return isReferred(container, name);
}

/** Whether a text of the container has `$(NAME)`, which stays as it is written while there is no such variable. */
export function isReferred(container: ContainerView, name: string): boolean {
  const texts = [...(container.env ?? []).map((entry) => entry.value ?? ''), ...container.commandLine];
  return texts.some((text) => text.includes(`$(${name})`) && refers(text, name));
}

/** `$$(NAME)` is none. */
function refers(text: string, name: string): boolean {
  let found = false;
  expand(text, (referred) => {
    found ||= referred === name;
    return undefined;
  });
  return found;
}

/** The entry that defines a variable; none where the container's own serves. */
export function variableOf(chosen: ChosenVariable | undefined, field: NodeField): EnvVar[] {
  if (chosen === undefined || chosen.reused) return [];
  return [{ name: chosen.name, valueFrom: { fieldRef: { fieldPath: field.fieldPath } } }];
}
