/** Where the reader is: a path and a query behind the `#`, so that every view has an address and the server knows of none. */
export interface Route {
  /** `overview`, `map`, `services`, … */
  readonly view: string;
  /** What follows in the path: a Service's namespace and name. */
  readonly rest: readonly string[];
  readonly query: URLSearchParams;
}

export const VIEWS = [
  { view: 'overview', title: 'Overview' },
  { view: 'map', title: 'Map' },
  { view: 'services', title: 'Services' },
  { view: 'nodes', title: 'Pods and nodes' },
  { view: 'tap', title: 'Tap' },
  { view: 'resolve', title: 'Resolve' },
] as const;

/** Reads `#/services/shop/world?x=y`; what names no view is the overview. Never throws. */
export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split('?', 2);
  const [view = '', ...rest] = path.split('/').map(decode);
  const known = VIEWS.some((one) => one.view === view);
  return { view: known ? view : 'overview', rest: known ? rest : [], query: new URLSearchParams(query) };
}

/** The address of a view, for a link. Empty values of the query are left out. */
export function routeTo(
  view: string,
  rest: readonly string[] = [],
  query: Readonly<Record<string, string>> = {},
): string {
  const path = [view, ...rest].map(encodeURIComponent).join('/');
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== '')).toString();
  return `#/${path}${asked === '' ? '' : `?${asked}`}`;
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
