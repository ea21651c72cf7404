import { PATH, PATH_FORMS, type RecordFilter, STATUS, STATUS_FORMS } from './record-filter.ts';

const DEFAULT_MAX = 100;
const MOST = 1_000;

/** What one tap asks for. */
export interface TapRequest {
  readonly filter: RecordFilter;
  /** Requests a second. */
  readonly max: number;
  /** With the request's headers. */
  readonly headers: boolean;
  /** Query strings as they are. */
  readonly query: boolean;
}

/** Why a tap cannot be had as it was asked for: for the answer. */
export class TapError extends Error {}

const KEYS = [
  'namespace',
  'service',
  'workload',
  'pod',
  'direction',
  'status',
  'method',
  'path',
  'host',
  'minMs',
  'max',
  'headers',
  'query',
] as const;
type Key = (typeof KEYS)[number];

/** Reads `/tap`'s query. Throws TapError for a key that is not known, one that comes twice, or a value that it cannot have. */
export function parseTap(params: URLSearchParams): TapRequest {
  const given = new Map<Key, string>();
  for (const [key, value] of params) {
    if (!isKey(key)) throw new TapError(`unknown key ${JSON.stringify(key)}; known keys: ${KEYS.join(', ')}`);
    if (given.has(key)) throw new TapError(`${key} is there twice`);
    if (value === '') throw new TapError(`${key} is empty; leave it out, or give it a value`);
    given.set(key, value);
  }
  const text = (key: Key, form: RegExp, forms: string) => {
    const value = given.get(key);
    if (value === undefined || form.test(value)) return value;
    throw new TapError(`${key} cannot be ${JSON.stringify(value)}: ${forms}`);
  };
  const flag = (key: Key) => text(key, /^(?:true|false)$/, 'give true or false') === 'true';
  const number = (key: Key, forms: string) => {
    const value = text(key, /^\d{1,9}$/, forms);
    return value === undefined ? undefined : Number(value);
  };
  const max = number('max', `give a number of requests a second, 1 to ${MOST}`) ?? DEFAULT_MAX;
  if (max < 1 || max > MOST)
    throw new TapError(`max cannot be ${max}: give a number of requests a second, 1 to ${MOST}`);
  return {
    filter: {
      namespace: given.get('namespace'),
      service: given.get('service'),
      workload: given.get('workload'),
      pod: given.get('pod'),
      direction: text('direction', /^(?:outgoing|incoming)$/, 'give outgoing or incoming') as RecordFilter['direction'],
      status: text('status', STATUS, STATUS_FORMS),
      method: given.get('method'),
      path: text('path', PATH, PATH_FORMS),
      host: given.get('host'),
      minMs: number('minMs', 'give a number of milliseconds'),
    },
    max,
    headers: flag('headers'),
    query: flag('query'),
  };
}

function isKey(key: string): key is Key {
  return (KEYS as readonly string[]).includes(key);
}
