/** An entry of a container's `env` (core/v1 EnvVar). */
export interface EnvEntry {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: unknown;
}

export interface EnvSources {
  /** What a `valueFrom` stands for; undefined where it is optional and missing. Such values are never expanded. */
  readonly valueFrom?: (source: unknown) => string | undefined;
  /** Defined before `env`: the variables of `envFrom`. */
  readonly envFrom?: Readonly<Record<string, string>>;
  /** The `<SVC>_SERVICE_HOST` variables: expanded like earlier entries, and overridden by entries of the same name. */
  readonly services?: Readonly<Record<string, string>>;
}

/**
 * Expands `$(NAME)` as a kubelet does (k8s.io/kubernetes third_party/forked/golang/expansion): `$$` is an escaped `$`, a
 * name that `lookup` does not know stays as it is written, and what was put in is not expanded again.
 */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole, name?: string) =>
    name === undefined ? '$' : (lookup(name) ?? whole),
  );
}

/**
 * The environment that a kubelet gives a container for its `env` (makeEnvironmentVariables): each value sees the entries
 * before it and the Services' variables; of two entries with one name the later wins. An entry with neither value nor
 * valueFrom is the empty string.
 */
export function expandEnv(env: readonly EnvEntry[], sources: EnvSources = {}): Record<string, string> {
  const { valueFrom = () => undefined, envFrom = {}, services = {} } = sources;
  const known = new Map(Object.entries(envFrom));
  const serviceVariables = new Map(Object.entries(services));
  const lookup = (name: string) => known.get(name) ?? serviceVariables.get(name);
  for (const entry of env) {
    // Like the kubelet, an empty value gives way to valueFrom; the API refuses an entry that has both filled in.
    const value =
      entry.valueFrom === undefined || entry.valueFrom === null || (entry.value ?? '') !== ''
        ? expand(entry.value ?? '', lookup)
        : valueFrom(entry.valueFrom);
    if (value !== undefined) known.set(entry.name, value);
  }
  return Object.fromEntries([...serviceVariables, ...known]);
}
