/** Their values may be tokens or passwords; collectors' addresses and paths of files are none. */
const SECRET_KEY = /^(?:headers?|authorization|token|password|secret|apiKey)$/i;
const USER_INFO = /^([a-z][a-z0-9+.-]*:\/\/)[^/@\s]*@/i;

/**
 * A config as JSON may show it: what could be a secret is `[redacted]` (all fields that are sent to collectors, and users in
 * URLs), and numbers without limit are `unlimited`. What is no plain value (functions, classes) is left out.
 */
export function redactedConfig(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(USER_INFO, '$1[redacted]@');
  if (typeof value === 'number') return Number.isFinite(value) ? value : 'unlimited';
  if (Array.isArray(value)) return value.map(redactedConfig);
  if (value instanceof Map) return redactedConfig(Object.fromEntries(value));
  if (value instanceof Set) return redactedConfig([...value]);
  if (value === null || typeof value === 'boolean') return value;
  if (typeof value !== 'object') return undefined;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, SECRET_KEY.test(key) ? redacted(inner) : redactedConfig(inner)]),
  );
}

/** The names of fields stay: they say whether one is there at all. */
function redacted(value: unknown): unknown {
  if (value === undefined || value === null) return value;
  if (typeof value !== 'object' || Array.isArray(value)) return '[redacted]';
  return Object.fromEntries(Object.keys(value).map((name) => [name, '[redacted]']));
}
