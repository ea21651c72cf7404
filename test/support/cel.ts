/** What an expression of a matchCondition may speak of. */
export interface CelVariables {
  readonly object: object;
  readonly request: object;
}

/**
 * Evaluates a CEL expression (cel-spec) as an API server does, as far as our manifests use the language: JavaScript's own
 * operators, `has()`, `in` on maps, and the macros `all` and `exists`. As in CEL, a field that is not there is an error,
 * which this throws.
 */
export function evaluateCel(expression: string, variables: CelVariables): boolean {
  const source = expression
    .replaceAll(/\bhas\(([\w.]+)\.(\w+)\)/g, "('$2' in $1)")
    .replaceAll(/\.all\((\w+),/g, '.every(($1) =>')
    .replaceAll(/\.exists\((\w+),/g, '.some(($1) =>')
    .replaceAll(/([!=])=/g, '$1==');
  const result: unknown = new Function('object', 'request', `'use strict'; return (${source});`)(
    strict(variables.object),
    strict(variables.request),
  );
  if (typeof result !== 'boolean') throw new Error(`not a boolean: ${expression}`);
  return result;
}

/** The same value, of which a missing field cannot be read. */
function strict<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  return new Proxy(value, {
    get: (target, key) => {
      const isField = typeof key === 'string' && !Array.isArray(target);
      if (isField && !Object.hasOwn(target, key)) throw new Error(`no such key: ${key}`);
      return strict(Reflect.get(target, key));
    },
  });
}
