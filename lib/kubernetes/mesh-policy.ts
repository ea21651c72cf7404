import type { LabelSelector } from './label-selector.ts';
import type { KubernetesObject } from './types.ts';

/** Pods that may call: of these namespaces, with one of these ServiceAccounts, with these labels; all that is given must hold. */
export interface MeshPolicySource {
  /** Undefined: the policy's own. */
  readonly namespaces: readonly string[] | undefined;
  readonly serviceAccounts: readonly string[] | undefined;
  readonly podSelector: LabelSelector | undefined;
}

/** `exact`: that path. `prefix`: that path and all below it. */
export type PathRule = { readonly exact: string } | { readonly prefix: string };

/** What is allowed; a part that is undefined leaves its question open to all. */
export interface MeshPolicyRule {
  readonly from: readonly MeshPolicySource[] | undefined;
  readonly methods: readonly string[] | undefined;
  readonly paths: readonly PathRule[] | undefined;
}

/** What nodemesh reads of a nodemesh.dev/v1alpha1 MeshPolicy. */
export interface MeshPolicy {
  readonly namespace: string;
  readonly name: string;
  /** The Services of its namespace whose pods it selects; undefined where it selects pods by `podSelector`. */
  readonly services: readonly string[] | undefined;
  readonly podSelector: LabelSelector;
  readonly rules: readonly MeshPolicyRule[];
}

interface ApiMeshPolicy extends KubernetesObject {
  readonly spec?: {
    readonly services?: readonly string[] | null;
    readonly podSelector?: LabelSelector | null;
    readonly rules?:
      | readonly {
          readonly from?:
            | readonly {
                readonly namespaces?: readonly string[] | null;
                readonly serviceAccounts?: readonly string[] | null;
                readonly podSelector?: LabelSelector | null;
              }[]
            | null;
          readonly methods?: readonly string[] | null;
          readonly paths?: readonly { readonly exact?: string; readonly prefix?: string }[] | null;
        }[]
      | null;
  };
}

/** Takes a MeshPolicy; gives what nodemesh reads of it. A path rule that is neither kind allows nothing. */
export function trimMeshPolicy(object: KubernetesObject): MeshPolicy {
  const { metadata, spec = {} } = object as ApiMeshPolicy;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    services: spec.services ?? undefined,
    podSelector: spec.podSelector ?? {},
    rules: (spec.rules ?? []).map(({ from, methods, paths }) => ({
      from: from?.map(({ namespaces, serviceAccounts, podSelector }) => ({
        namespaces: namespaces ?? undefined,
        serviceAccounts: serviceAccounts ?? undefined,
        podSelector: podSelector ?? undefined,
      })),
      methods: methods ?? undefined,
      paths: paths?.flatMap(({ exact, prefix }): PathRule[] => {
        if (exact !== undefined) return [{ exact }];
        return prefix === undefined ? [] : [{ prefix }];
      }),
    })),
  };
}
