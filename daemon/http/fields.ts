/**
 * Header fields as a flat list `[name, value, name, value, …]`, in the order and spelling in which they were received,
 * and what a proxy must know about each name. Pure.
 */
export type FieldList = string[];

/** What a field means to a proxy. Everything that is not named here travels end to end, untouched. */
export const FieldClass = {
  endToEnd: 0,
  /** Of this connection only (RFC 9110 §7.6.1): dropped, and said anew where needed. */
  hopByHop: 1,
  connection: 2,
  host: 3,
  contentLength: 4,
  transferEncoding: 5,
  expect: 6,
  te: 7,
  via: 8,
  proxyAuthorization: 9,
  keepAlive: 10,
  /** `mesh-*`: between daemons only, and `mesh-client` to applications. */
  mesh: 11,
  /** `l5d-*`: linkerd's context, believed only as far as the config says. */
  l5d: 12,
  /** End to end, and not to be stripped by naming it in `Connection` (it would change who is speaking, or the framing). */
  protected: 13,
  upgrade: 14,
  maxForwards: 15,
  /** A time that is left: sent anew by each hop. */
  grpcTimeout: 16,
  /** The same, as linkerd has it: `l5d-timeout`, which is relative, and `l5d-ctx-deadline`, which is not and travels as context. */
  l5dTimeout: 17,
  l5dDeadline: 18,
  /** Which trace a request belongs to: end to end as it is, unless a span of ours takes its sender's place. */
  trace: 19,
  /** The same, as linkerd has it. */
  l5dTrace: 20,
  /** `l5d-sample`: whether a trace begins with this request. */
  l5dSample: 21,
} as const;
export type FieldClass = (typeof FieldClass)[keyof typeof FieldClass];

const KNOWN_FIELDS = new Map<string, FieldClass>([
  ['connection', FieldClass.connection],
  ['proxy-connection', FieldClass.hopByHop],
  ['keep-alive', FieldClass.keepAlive],
  ['te', FieldClass.te],
  ['transfer-encoding', FieldClass.transferEncoding],
  ['upgrade', FieldClass.upgrade],
  ['http2-settings', FieldClass.hopByHop],
  ['proxy-authenticate', FieldClass.hopByHop],
  ['proxy-authentication-info', FieldClass.hopByHop],
  ['proxy-authorization', FieldClass.proxyAuthorization],
  ['host', FieldClass.host],
  ['content-length', FieldClass.contentLength],
  ['expect', FieldClass.expect],
  ['via', FieldClass.via],
  ['max-forwards', FieldClass.maxForwards],
  ['grpc-timeout', FieldClass.grpcTimeout],
  ['l5d-timeout', FieldClass.l5dTimeout],
  ['l5d-ctx-deadline', FieldClass.l5dDeadline],
  ['traceparent', FieldClass.trace],
  ['tracestate', FieldClass.trace],
  ['b3', FieldClass.trace],
  ['x-b3-traceid', FieldClass.trace],
  ['x-b3-spanid', FieldClass.trace],
  ['x-b3-parentspanid', FieldClass.trace],
  ['x-b3-sampled', FieldClass.trace],
  ['x-b3-flags', FieldClass.trace],
  ['l5d-ctx-trace', FieldClass.l5dTrace],
  ['l5d-sample', FieldClass.l5dSample],
  ['authorization', FieldClass.protected],
  ['cookie', FieldClass.protected],
  ['set-cookie', FieldClass.protected],
  ['forwarded', FieldClass.protected],
  ['x-forwarded-for', FieldClass.protected],
  ['x-forwarded-host', FieldClass.protected],
  ['x-forwarded-proto', FieldClass.protected],
  ['cache-control', FieldClass.protected],
  ['content-type', FieldClass.protected],
  ['content-encoding', FieldClass.protected],
]);

/** Names as spelt on the wire repeat without end, so their class is remembered by spelling, up to this many. */
const REMEMBERED_SPELLINGS = 2048;
const classBySpelling = new Map<string, FieldClass>();

/** The class of a field name in any spelling. */
export function classifyField(name: string): FieldClass {
  const known = classBySpelling.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const found = KNOWN_FIELDS.get(lower) ?? classifyPrefix(lower);
  if (classBySpelling.size < REMEMBERED_SPELLINGS) classBySpelling.set(name, found);
  return found;
}

function classifyPrefix(lower: string): FieldClass {
  if (lower.startsWith('mesh-')) return FieldClass.mesh;
  // CGI and its heirs read `_` and `-` alike (RFC 3875 §4.1.18): nobody is to say who calls by another spelling.
  if (lower === 'mesh_client') return FieldClass.mesh;
  if (lower.startsWith('l5d-')) return FieldClass.l5d;
  return FieldClass.endToEnd;
}

/** The first value of a field, or undefined. `lowerName` is lower-case; names compare without case (RFC 9110 §5.1). */
function fieldValue(fields: readonly string[], lowerName: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return fields[i + 1];
  }
  return undefined;
}

/** Splits a comma-separated list into lower-case members without blanks around them (RFC 9110 §5.6.1). */
export function listMembers(value: string): string[] {
  return value
    .toLowerCase()
    .split(',')
    .map(withoutBlanks)
    .filter((member) => member !== '');
}

/** Takes away spaces and tabs (RFC 9110 §5.6.3), and no more: what String.trim takes as well are bytes of the value. */
export function withoutBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isBlank(text.charCodeAt(from))) from += 1;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
  return text.slice(from, to);
}

export function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Which context fields a hop lets through: those of other daemons (`mesh-*`) never, linkerd's as the config says. */
export interface FieldFilter {
  readonly dropL5d: boolean;
  /** Of the fields of tracing: all, because they are written anew, or `l5d-sample` alone, which has been heeded. */
  readonly dropTrace?: 'all' | 'sample' | undefined;
}

/** Whether a field of one of the context's classes stays here. */
export function staysHere(fieldClass: FieldClass, { dropL5d, dropTrace }: FieldFilter): boolean {
  switch (fieldClass) {
    case FieldClass.l5d:
    case FieldClass.l5dDeadline:
      return dropL5d;
    case FieldClass.trace:
      return dropTrace === 'all';
    case FieldClass.l5dTrace:
      return dropL5d || dropTrace === 'all';
    case FieldClass.l5dSample:
      return dropL5d || dropTrace !== undefined;
    default:
      return false;
  }
}

/** The fields of one head, for whoever asks for some or passes them on. */
export interface HeadFields {
  /** All of them, as received. */
  readonly list: FieldList;
  /** One class per field, in their order. */
  readonly classes: readonly FieldClass[];
  /** The first value of a field; `lowerName` is lower-case. */
  value(lowerName: string): string | undefined;
  /** The values of its `Via` fields. */
  readonly via: readonly string[];
  /**
   * Appends to `into` the lines of all fields that travel on: without hop-by-hop fields, those named by `Connection`
   * (RFC 9110 §7.6.1, except protected ones), framing and Host (written anew by the codec), the mesh's own, and those of
   * class `also`. Gives the text `into + "Name: value\r\n"…`.
   */
  forwardedLines(into: string, filter: FieldFilter, also?: FieldClass): string;
}

/** Fields one by one, as the strict reading gives them. */
export class FieldTable implements HeadFields {
  readonly list: FieldList;
  readonly classes: readonly FieldClass[];
  /** Members of `Connection`, lower-case. */
  readonly #connectionOptions: readonly string[];

  constructor(list: FieldList, classes: readonly FieldClass[], connectionOptions: readonly string[]) {
    this.list = list;
    this.classes = classes;
    this.#connectionOptions = connectionOptions;
  }

  value(lowerName: string): string | undefined {
    return fieldValue(this.list, lowerName);
  }

  get via(): readonly string[] {
    return this.list.filter((_, i) => i % 2 === 1 && this.classes[i >> 1] === FieldClass.via);
  }

  forwardedLines(into: string, filter: FieldFilter, also?: FieldClass): string {
    const { list, classes } = this;
    const options = this.#connectionOptions;
    let text = into;
    for (let i = 0; i < classes.length; i += 1) {
      const fieldClass = classes[i] as FieldClass;
      if (fieldClass === also || staysHere(fieldClass, filter)) continue;
      const name = list[2 * i] as string;
      switch (fieldClass) {
        case FieldClass.endToEnd:
        case FieldClass.trace:
          if (options.length > 0 && options.includes(name.toLowerCase())) continue;
          break;
        case FieldClass.protected:
        case FieldClass.via:
        case FieldClass.expect:
        case FieldClass.maxForwards:
          break;
        case FieldClass.l5d:
        case FieldClass.l5dDeadline:
        case FieldClass.l5dTrace:
        case FieldClass.l5dSample:
          break;
        default:
          continue;
      }
      text += `${name}: ${list[2 * i + 1]}\r\n`;
    }
    return text;
  }
}

export const NO_FIELDS: HeadFields = new FieldTable([], [], []);
