import { classifyField, FieldClass, type FieldFilter, type FieldList, type HeadFields, staysHere } from './fields.ts';
import { COLON, CR, isBlankByte, LF, latin1, NAME_BYTES, SP, TO_LOWER, VALUE_BYTES, ZERO } from './head-bytes.ts';
import { MAX_LENGTH_DIGITS } from './message-head.ts';

/** A longer head is read strictly. */
export const MAX_BYTES = 8 * 1024;
/** By the lower five bits of a name's first letter and by its length: whether a field that is read here has such a name. */
const NOTABLE = notableShapes();
const NO_VALUES: string[] = [];

/** Fields as runs of the text that travel on, and the few that mean something here. */
export class FieldRuns implements HeadFields {
  /** The head without its empty line. */
  text = '';
  /** Offsets after the head's last byte, in the bytes that were read. */
  end = 0;
  via: string[] = NO_VALUES;
  host: string | undefined;
  /** -1 where there is none. */
  contentLength = -1;
  chunked = false;
  connection: 'close' | 'keep-alive' | undefined;
  expectsContinue = false;
  keepAlive: string | undefined;
  traceFields: string[] | undefined;
  /** [class, from, to]…, offsets of `text`: one of the context's classes for a run of such fields, endToEnd for any other. */
  readonly #runs: number[] = [];
  /** [name, value]… of fields that are looked for by name. */
  #noted: string[] | undefined;
  #strict: HeadFields | undefined;
  readonly #readStrictly: (text: string) => HeadFields;

  constructor(readStrictly: (text: string) => HeadFields) {
    this.#readStrictly = readStrictly;
  }

  get list(): FieldList {
    return this.#table().list;
  }

  get classes(): readonly FieldClass[] {
    return this.#table().classes;
  }

  value(lowerName: string): string | undefined {
    if (!isNoted(lowerName)) return this.#table().value(lowerName);
    const noted = this.#noted;
    if (noted === undefined) return undefined;
    for (let i = 0; i < noted.length; i += 2) {
      const name = noted[i] as string;
      if (name.length === lowerName.length && name.toLowerCase() === lowerName) return noted[i + 1];
    }
    return undefined;
  }

  forwardedLines(into: string, filter: FieldFilter, also?: FieldClass): string {
    if (also !== undefined) return this.#table().forwardedLines(into, filter, also);
    const runs = this.#runs;
    let text = into;
    for (let i = 0; i < runs.length; i += 3) {
      const runClass = runs[i] as FieldClass;
      if (runClass !== FieldClass.endToEnd && staysHere(runClass, filter)) continue;
      text += this.text.slice(runs[i + 1] as number, runs[i + 2] as number);
    }
    return text;
  }

  #table(): HeadFields {
    this.#strict ??= this.#readStrictly(this.text);
    return this.#strict;
  }

  /** Reads field lines from `start` on, of a head that begins at `base`. Gives false where the strict reading must. */
  read(bytes: Buffer, start: number, base: number): boolean {
    const limit = Math.min(bytes.length, base + MAX_BYTES);
    let at = start;
    let runClass: FieldClass = FieldClass.hopByHop;
    let runFrom = start;
    for (;;) {
      const from = at;
      if (at + 1 >= limit) return false;
      if (bytes[at] === CR) {
        if (bytes[at + 1] !== LF) return false;
        if (runClass !== FieldClass.hopByHop) this.#runs.push(runClass, runFrom - base, from - base);
        this.text = latin1(bytes, base, from);
        this.end = from + 2;
        return true;
      }
      while (at < limit && NAME_BYTES[bytes[at] as number] === 1) at += 1;
      const nameEnd = at;
      if (nameEnd === from || at + 2 >= limit || bytes[at] !== COLON || bytes[at + 1] !== SP) return false;
      at += 2;
      const valueFrom = at;
      if (isBlankByte(bytes[at] as number)) return false;
      while (at < limit && VALUE_BYTES[bytes[at] as number] === 1) at += 1;
      if (at + 1 >= limit || bytes[at] !== CR || bytes[at + 1] !== LF) return false;
      if (at > valueFrom && isBlankByte(bytes[at - 1] as number)) return false;
      const fieldClass = isNotable(bytes, from, nameEnd)
        ? this.#note(bytes, { from, nameEnd, valueFrom, valueEnd: at })
        : FieldClass.endToEnd;
      if (fieldClass === undefined) return false;
      at += 2;
      if (fieldClass === runClass) continue;
      if (runClass !== FieldClass.hopByHop) this.#runs.push(runClass, runFrom - base, from - base);
      runClass = fieldClass;
      runFrom = from;
    }
  }

  /** Takes what a field says of its message. Gives endToEnd, a class of context, or hopByHop for one that stays; undefined as `read` false. */
  #note(bytes: Buffer, line: FieldLine): FieldClass | undefined {
    const { from, nameEnd, valueFrom, valueEnd } = line;
    const name = latin1(bytes, from, nameEnd);
    const fieldClass = classifyField(name);
    switch (fieldClass) {
      case FieldClass.endToEnd:
      case FieldClass.protected:
      case FieldClass.maxForwards:
        return FieldClass.endToEnd;
      case FieldClass.hopByHop:
        return FieldClass.hopByHop;
      case FieldClass.host:
        if (this.host !== undefined) return undefined;
        this.host = latin1(bytes, valueFrom, valueEnd);
        return FieldClass.hopByHop;
      case FieldClass.contentLength:
        return this.#noteLength(bytes, valueFrom, valueEnd) ? FieldClass.hopByHop : undefined;
      case FieldClass.transferEncoding:
        if (this.chunked || latin1(bytes, valueFrom, valueEnd) !== 'chunked') return undefined;
        this.chunked = true;
        return FieldClass.hopByHop;
      case FieldClass.connection: {
        const option = latin1(bytes, valueFrom, valueEnd).toLowerCase();
        if (this.connection !== undefined || (option !== 'close' && option !== 'keep-alive')) return undefined;
        this.connection = option;
        return FieldClass.hopByHop;
      }
      case FieldClass.expect:
        if (this.expectsContinue || latin1(bytes, valueFrom, valueEnd).toLowerCase() !== '100-continue')
          return undefined;
        this.expectsContinue = true;
        return FieldClass.endToEnd;
      case FieldClass.keepAlive:
        this.keepAlive = latin1(bytes, valueFrom, valueEnd);
        return FieldClass.hopByHop;
      case FieldClass.via:
        if (this.via === NO_VALUES) this.via = [];
        this.via.push(latin1(bytes, valueFrom, valueEnd));
        return FieldClass.endToEnd;
      case FieldClass.l5d:
        return FieldClass.l5d;
      case FieldClass.trace:
      case FieldClass.l5dTrace:
      case FieldClass.l5dSample:
        this.traceFields ??= [];
        this.traceFields.push(name.toLowerCase(), latin1(bytes, valueFrom, valueEnd));
        return fieldClass;
      case FieldClass.mesh:
      case FieldClass.proxyAuthorization:
        this.#noted ??= [];
        this.#noted.push(name, latin1(bytes, valueFrom, valueEnd));
        return FieldClass.hopByHop;
      default:
        return undefined;
    }
  }

  #noteLength(bytes: Buffer, from: number, to: number): boolean {
    if (this.contentLength !== -1 || to === from || to - from > MAX_LENGTH_DIGITS) return false;
    let length = 0;
    for (let at = from; at < to; at += 1) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) return false;
      length = length * 10 + digit;
    }
    this.contentLength = length;
    return true;
  }
}

interface FieldLine {
  readonly from: number;
  readonly nameEnd: number;
  readonly valueFrom: number;
  readonly valueEnd: number;
}

/** Whether `value` finds a field of that name without the strict reading. */
function isNoted(lowerName: string): boolean {
  return lowerName === 'proxy-authorization' || lowerName.startsWith('mesh-');
}

function isNotable(bytes: Buffer, from: number, nameEnd: number): boolean {
  const length = nameEnd - from;
  const first = (bytes[from] as number) | TO_LOWER;
  if (length < 32 && NOTABLE[(first & 31) * 32 + length] === 1) return true;
  if (length < 4) return false;
  // mesh-, mesh_client, l5d-, x-b3-
  if (first === 0x6d) return bytes[from + 4] === 0x2d || bytes[from + 4] === 0x5f;
  if (first === 0x78) return bytes[from + 3] === 0x33;
  return first === 0x6c && bytes[from + 3] === 0x2d;
}

function notableShapes(): Uint8Array {
  const names = [
    ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'http2-settings', 'host'],
    ['proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization', 'content-length', 'expect', 'via'],
    ['grpc-timeout', 'traceparent', 'tracestate', 'b3'],
  ].flat();
  const shapes = new Uint8Array(32 * 32);
  for (const name of names) shapes[(name.charCodeAt(0) & 31) * 32 + name.length] = 1;
  return shapes;
}
