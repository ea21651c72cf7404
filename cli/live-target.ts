import { UsageError } from './host.ts';

/** Something in a cluster that is a pod or makes pods. */
export interface Target {
  /** `pod`, `deployment`, … as messages name it. */
  readonly what: string;
  readonly namespace: string;
  readonly name: string;
  /** Of the API server. */
  readonly path: string;
}

/** As kubectl knows them. */
const KINDS: readonly { readonly what: string; readonly api: string; readonly short: readonly string[] }[] = [
  { what: 'pod', api: '/api/v1', short: ['po'] },
  { what: 'deployment', api: '/apis/apps/v1', short: ['deploy'] },
  { what: 'replicaset', api: '/apis/apps/v1', short: ['rs'] },
  { what: 'statefulset', api: '/apis/apps/v1', short: ['sts'] },
  { what: 'daemonset', api: '/apis/apps/v1', short: ['ds'] },
  { what: 'job', api: '/apis/batch/v1', short: [] },
  { what: 'cronjob', api: '/apis/batch/v1', short: ['cj'] },
];

/**
 * Reads what someone wants explained: `namespace/pod`, `kind/name` in `namespace` (default: default) or `namespace/kind/name`. Of two
 * parts the first is a kind where it is the name of one. Throws UsageError.
 */
export function parseTarget(which: string, namespace: string | undefined): Target {
  const parts = which.split('/');
  const [first = '', second = '', third] = parts;
  const usage = new UsageError(
    `name it as <namespace>/<pod>, <kind>/<name> or <namespace>/<kind>/<name>, not "${which}"; kinds are ${KINDS.map(({ what }) => what).join(', ')}`,
  );
  if (parts.length < 2 || parts.length > 3 || parts.includes('')) throw usage;
  if (third !== undefined) return targetOf(kindOf(second), first, third, usage);
  const kind = kindOf(first);
  if (kind !== undefined) return targetOf(kind, namespace ?? 'default', second, usage);
  return targetOf(kindOf('pod'), first, second, usage);
}

type Kind = (typeof KINDS)[number];

function kindOf(word: string): Kind | undefined {
  const lower = word.toLowerCase();
  return KINDS.find(({ what, short }) => lower === what || lower === `${what}s` || short.includes(lower));
}

function targetOf(kind: Kind | undefined, namespace: string, name: string, usage: UsageError): Target {
  if (kind === undefined) throw usage;
  const { what, api } = kind;
  const path = `${api}/namespaces/${encodeURIComponent(namespace)}/${what}s/${encodeURIComponent(name)}`;
  return { what, namespace, name, path };
}
