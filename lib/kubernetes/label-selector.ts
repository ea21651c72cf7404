/** A label selector as objects carry it (meta/v1 LabelSelector). */
export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>> | null;
  readonly matchExpressions?:
    | readonly { readonly key: string; readonly operator: string; readonly values?: readonly string[] | null }[]
    | null;
}

/**
 * The first requirement of a selector that labels do not meet, as text (`mesh-inject In [enabled]`); undefined where they meet
 * all, as they do those of an empty or missing selector. An operator that Kubernetes does not have is never met.
 */
export function unmetRequirement(
  selector: LabelSelector | null | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): string | undefined {
  const has = (key: string) => labels !== undefined && Object.hasOwn(labels, key);
  for (const [key, value] of Object.entries(selector?.matchLabels ?? {})) {
    if (!has(key) || labels?.[key] !== value) return `${key}=${value}`;
  }
  for (const { key, operator, values } of selector?.matchExpressions ?? []) {
    const listed = has(key) && (values ?? []).includes(labels?.[key] ?? '');
    const met = { In: listed, NotIn: !listed, Exists: has(key), DoesNotExist: !has(key) }[operator] ?? false;
    if (!met) return values == null ? `${key} ${operator}` : `${key} ${operator} [${values.join(', ')}]`;
  }
  return undefined;
}
