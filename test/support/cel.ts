/** What an expression may speak of: `object`, `request`, `variables`, … */
export type CelVariables = Readonly<Record<string, unknown>>;

/**
 * Evaluates a CEL expression (cel-spec) that gives a boolean as an API server does, as far as our manifests use the language. As in
 * CEL, a field that is not there is an error, which this throws.
 */
export function evaluateCel(expression: string, variables: CelVariables): boolean {
  const result = computeCel(expression, variables);
  if (typeof result !== 'boolean') throw new Error(`not a boolean: ${expression}`);
  return result;
}

/** The same of an expression that gives anything; `Object.x{…}` and `JSONPatch{…}` give plain objects. */
export function computeCel(expression: string, variables: CelVariables): unknown {
  const parser = new Parser(expression);
  const compute = parser.ternary();
  parser.end();
  return compute(variables);
}

type Compute = (scope: CelVariables) => unknown;

const TOKEN = /\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(\d+)|([A-Za-z_]\w*)|(==|!=|&&|\|\||[-+!?:.,()[\]{}]))/y;
/** Macros and functions of lists and texts; those of lists get a function of one item. */
const MACROS: Readonly<Record<string, (list: readonly unknown[], of: (item: unknown) => unknown) => unknown>> = {
  all: (list, of) => list.every(of),
  exists: (list, of) => list.some(of),
  filter: (list, of) => list.filter(of),
  map: (list, of) => list.map(of),
};
const METHODS: Readonly<Record<string, (on: never, argument: never) => unknown>> = {
  lowerAscii: (text: string) => text.toLowerCase(),
  startsWith: (text: string, start: string) => text.startsWith(start),
  matches: (text: string, pattern: string) => new RegExp(pattern).test(text),
  join: (list: readonly string[], between: string) => list.join(between),
  escapeKey: (_library: unknown, key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1'),
};

class Parser {
  readonly #tokens: string[] = [];
  #next = 0;

  constructor(source: string) {
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < source.trimEnd().length) {
      const from = TOKEN.lastIndex;
      const match = TOKEN.exec(source);
      if (match === null) throw new Error(`not CEL that is known here: ${source.slice(from, from + 40)}`);
      this.#tokens.push(match[0].trim());
    }
  }

  end(): void {
    if (this.#next < this.#tokens.length) throw new Error(`unexpected ${this.#tokens[this.#next]}`);
  }

  ternary(): Compute {
    const condition = this.#or();
    if (!this.#take('?')) return condition;
    const yes = this.ternary();
    this.#want(':');
    const no = this.ternary();
    return (scope) => (condition(scope) === true ? yes(scope) : no(scope));
  }

  #or(): Compute {
    const left = this.#and();
    if (!this.#take('||')) return left;
    const right = this.#or();
    return (scope) => left(scope) === true || right(scope) === true;
  }

  #and(): Compute {
    const left = this.#relation();
    if (!this.#take('&&')) return left;
    const right = this.#and();
    return (scope) => left(scope) === true && right(scope) === true;
  }

  #relation(): Compute {
    const left = this.#sum();
    if (this.#take('==')) return compare(left, this.#sum(), true);
    if (this.#take('!=')) return compare(left, this.#sum(), false);
    if (!this.#take('in')) return left;
    const right = this.#sum();
    return (scope) => {
      const [key, all] = [left(scope), right(scope)];
      return Array.isArray(all) ? all.includes(key) : Object.hasOwn(all as object, key as string);
    };
  }

  #sum(): Compute {
    let left = this.#unary();
    while (this.#take('+')) {
      const [before, after] = [left, this.#unary()];
      left = (scope) => plus(before(scope), after(scope));
    }
    return left;
  }

  #unary(): Compute {
    if (!this.#take('!')) return this.#member();
    const operand = this.#unary();
    return (scope) => operand(scope) !== true;
  }

  #member(): Compute {
    let on = this.#primary();
    for (;;) {
      if (this.#take('[')) {
        const [of, key] = [on, this.ternary()];
        this.#want(']');
        on = (scope) => field(of(scope), key(scope) as string);
      } else if (this.#take('.')) {
        const name = this.#word();
        on = this.#take('(') ? this.#call(on, name) : this.#select(on, name);
      } else return on;
    }
  }

  #select(of: Compute, name: string): Compute {
    return (scope) => field(of(scope), name);
  }

  #call(on: Compute, name: string): Compute {
    const macro = MACROS[name];
    if (macro !== undefined) {
      const variable = this.#word();
      this.#want(',');
      const of = this.#last();
      return (scope) => macro(on(scope) as unknown[], (item) => of({ ...scope, [variable]: item }));
    }
    if (name === 'transformList') return this.#transformList(on);
    const method = METHODS[name];
    if (method === undefined) throw new Error(`no function ${name} here`);
    const argument = this.#take(')') ? () => undefined : this.#last();
    return (scope) => method(on(scope) as never, argument(scope) as never);
  }

  #transformList(on: Compute): Compute {
    const [index, variable] = [this.#word(), this.#want(',') && this.#word()];
    this.#want(',');
    const condition = this.ternary();
    this.#want(',');
    const of = this.#last();
    return (scope) =>
      (on(scope) as unknown[]).flatMap((item, i) => {
        const inner = { ...scope, [index]: i, [variable]: item };
        return condition(inner) === true ? [of(inner)] : [];
      });
  }

  #last(): Compute {
    const argument = this.ternary();
    this.#want(')');
    return argument;
  }

  #primary(): Compute {
    if (this.#take('(')) return this.#last();
    if (this.#take('[')) return this.#list();
    if (this.#take('{')) return this.#fields();
    const token = this.#tokens[this.#next++] ?? 'the end';
    if (/^['"]/.test(token)) {
      const text = token.slice(1, -1).replaceAll(/\\(.)/g, '$1');
      return () => text;
    }
    if (/^\d/.test(token)) return () => Number(token);
    if (token === 'true' || token === 'false') return () => token === 'true';
    if (token === 'jsonpatch') return () => undefined;
    if (token === 'has') return this.#has();
    if (token === 'string' && this.#take('(')) {
      const argument = this.#last();
      return (scope) => String(argument(scope));
    }
    if (token === 'Object' || token === 'JSONPatch') {
      while (this.#take('.')) this.#word();
      this.#want('{');
      return this.#fields();
    }
    if (!/^\w/.test(token)) throw new Error(`unexpected ${token}`);
    return (scope) => field(scope, token);
  }

  #has(): Compute {
    this.#want('(');
    const path = [this.#word()];
    while (this.#take('.')) path.push(this.#word());
    this.#want(')');
    const last = path.pop() ?? '';
    return (scope) => Object.hasOwn(path.reduce<unknown>(field, scope) as object, last);
  }

  #list(): Compute {
    const items: Compute[] = [];
    while (!this.#take(']')) {
      items.push(this.ternary());
      this.#take(',');
    }
    return (scope) => items.map((item) => item(scope));
  }

  #fields(): Compute {
    const fields: [string, Compute][] = [];
    while (!this.#take('}')) {
      const name = this.#word();
      this.#want(':');
      fields.push([name, this.ternary()]);
      this.#take(',');
    }
    return (scope) => Object.fromEntries(fields.map(([name, value]) => [name, value(scope)]));
  }

  #word(): string {
    const token = this.#tokens[this.#next++] ?? 'the end';
    if (!/^[A-Za-z_]/.test(token)) throw new Error(`unexpected ${token}`);
    return token;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#next] !== token) return false;
    this.#next += 1;
    return true;
  }

  #want(token: string): true {
    if (!this.#take(token)) throw new Error(`${token} wanted before ${this.#tokens.slice(this.#next).join(' ')}`);
    return true;
  }
}

function compare(left: Compute, right: Compute, equal: boolean): Compute {
  return (scope) => (left(scope) === right(scope)) === equal;
}

function plus(one: unknown, other: unknown): unknown {
  if (Array.isArray(one) && Array.isArray(other)) return [...one, ...other];
  if (typeof one === 'string' && typeof other === 'string') return one + other;
  throw new Error(`no such overload: ${typeof one} + ${typeof other}`);
}

function field(of: unknown, key: string): unknown {
  if (!Object.hasOwn(of as object, key)) throw new Error(`no such key: ${key}`);
  return (of as Record<string, unknown>)[key];
}
