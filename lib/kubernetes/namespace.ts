import type { KubernetesObject } from './types.ts';

/** What nodemesh reads of a core/v1 Namespace. */
export interface Namespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Takes a core/v1 Namespace; gives what nodemesh reads of it. */
export function trimNamespace({ metadata }: KubernetesObject): Namespace {
  return { name: metadata.name, labels: metadata.labels ?? {} };
}
