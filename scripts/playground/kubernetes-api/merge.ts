type Json = Record<string, unknown>;

/** Lists that Kubernetes merges entry by entry, and the field that tells their entries apart (`x-kubernetes-list-map-keys`). */
const LIST_KEYS: Readonly<Record<string, string>> = {
  webhooks: 'name',
  containers: 'name',
  initContainers: 'name',
  env: 'name',
  volumes: 'name',
  volumeMounts: 'mountPath',
  imagePullSecrets: 'name',
  conditions: 'type',
  ownerReferences: 'uid',
};

/** JSON merge patch (RFC 7396). Gives a new value; changes neither argument. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/**
 * Server-side apply and strategic merge, as far as this API goes: objects merge, lists that Kubernetes keys merge by their
 * key, other lists are replaced, null removes. No field owners are kept, so what an apply leaves out stays.
 */
export function mergeByKeys(target: unknown, patch: unknown, field = ''): unknown {
  const listKey = LIST_KEYS[field];
  if (Array.isArray(patch) && Array.isArray(target) && listKey !== undefined) return mergeLists(target, patch, listKey);
  if (!isObject(patch)) return patch;
  const result: Json = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergeByKeys(result[key], value, key);
  }
  return result;
}

function mergeLists(target: readonly unknown[], patch: readonly unknown[], key: string): unknown[] {
  const result = [...target];
  for (const entry of patch) {
    const at = result.findIndex((known) => isObject(known) && isObject(entry) && known[key] === entry[key]);
    if (at === -1) result.push(entry);
    else result[at] = mergeByKeys(result[at], entry);
  }
  return result;
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
