import { classifyField, FieldClass, type FieldList, FieldTable, isBlank, listMembers } from './fields.ts';
import { ProxyError } from './proxy-error.ts';

export const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const NO_OPTIONS: readonly string[] = [];

/** Each field of a head is looked for among them, so that many of both would cost their product. */
const MAX_CONNECTION_OPTIONS = 100;

/** What the field lines of one message say about the message itself, gathered while they are read. */
export class MessageFacts {
  readonly fields: FieldList = [];
  readonly classes: FieldClass[] = [];
  connectionOptions: readonly string[] = NO_OPTIONS;
  contentLength: string | undefined;
  transferEncoding: string | undefined;
  host: string | undefined;
  expect: string | undefined;
  te: string | undefined;
  keepAlive: string | undefined;
  upgrade: string | undefined;
  grpcTimeout: string | undefined;
  l5dTimes: FieldList | undefined;
  traceFields: FieldList | undefined;

  add(name: string, value: string): FieldClass {
    const fieldClass = classifyField(name);
    this.fields.push(name, value);
    this.classes.push(fieldClass);
    if (fieldClass !== FieldClass.endToEnd) this.#note(fieldClass, name, value);
    return fieldClass;
  }

  get table(): FieldTable {
    return new FieldTable(this.fields, this.classes, this.connectionOptions);
  }

  #note(fieldClass: FieldClass, name: string, value: string): void {
    switch (fieldClass) {
      case FieldClass.connection:
        this.connectionOptions = [...this.connectionOptions, ...listMembers(value)];
        if (this.connectionOptions.length > MAX_CONNECTION_OPTIONS) {
          throw new ProxyError('head_too_large', `Connection has over ${MAX_CONNECTION_OPTIONS} members`);
        }
        break;
      case FieldClass.host:
        if (this.host !== undefined) throw new ProxyError('bad_authority', 'the request has more than one Host field');
        this.host = value;
        break;
      case FieldClass.contentLength:
        if (this.contentLength !== undefined) throw new ProxyError('bad_request', 'Content-Length is given twice');
        this.contentLength = value;
        break;
      case FieldClass.transferEncoding:
        this.transferEncoding = this.transferEncoding === undefined ? value : `${this.transferEncoding},${value}`;
        break;
      case FieldClass.expect:
        this.expect = this.expect === undefined ? value : `${this.expect}, ${value}`;
        break;
      case FieldClass.te:
        this.te = value;
        break;
      case FieldClass.keepAlive:
        this.keepAlive = value;
        break;
      case FieldClass.upgrade:
        this.upgrade = this.upgrade === undefined ? value : `${this.upgrade}, ${value}`;
        break;
      case FieldClass.grpcTimeout:
        this.grpcTimeout ??= value;
        break;
      case FieldClass.l5dTimeout:
        this.l5dTimes ??= [];
        this.l5dTimes.push('l5d-timeout', value);
        break;
      case FieldClass.l5dDeadline:
        this.l5dTimes ??= [];
        this.l5dTimes.push('l5d-ctx-deadline', value);
        break;
      case FieldClass.trace:
      case FieldClass.l5dTrace:
      case FieldClass.l5dSample:
        this.traceFields ??= [];
        this.traceFields.push(name.toLowerCase(), value);
        break;
      default:
    }
  }
}

/** Reads the field lines of `text` from `start` on into `facts`. Throws ProxyError for what is malformed, and as `MessageFacts.add`. */
export function readFieldLines(text: string, start: number, facts: MessageFacts): void {
  let at = start;
  while (at < text.length) {
    let end = text.indexOf('\r\n', at);
    if (end === -1) end = text.length;
    const colon = text.indexOf(':', at);
    if (colon === -1 || colon >= end) throw new ProxyError('bad_request', 'a field line has no colon');
    const name = text.slice(at, colon);
    // A leading blank is obs-fold and a blank before the colon a smuggling vector: neither is in a token (RFC 9112 §5.1, §5.2).
    if (!TOKEN.test(name)) throw new ProxyError('bad_request', 'a field name is not a token');
    let from = colon + 1;
    let to = end;
    while (from < to && isBlank(text.charCodeAt(from))) from += 1;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to -= 1;
    const value = text.slice(from, to);
    if (!FIELD_VALUE.test(value)) throw new ProxyError('bad_request', `the field ${name} has a control character`);
    const fieldClass = facts.add(name, value);
    if (to < end && fieldClass === FieldClass.transferEncoding && text.slice(to, end).includes('\t')) {
      // A blank to RFC 9110 §5.6.3, and part of the coding's name to some parsers.
      throw new ProxyError('bad_request', 'Transfer-Encoding ends in a tab');
    }
    at = end + 2;
  }
}

/**
 * Reads a trailer section (RFC 9112 §7.1.2) into a field list; `text` excludes the final empty line. Fields that mean
 * something to a proxy, or to whoever reads the head, mean nothing here and are left out (RFC 9110 §6.5.1).
 * Throws ProxyError for malformed lines, and for fields of framing and routing: some reader might heed them.
 */
export function parseTrailers(text: string): FieldList {
  const facts = new MessageFacts();
  readFieldLines(text, 0, facts);
  if (facts.contentLength !== undefined || facts.transferEncoding !== undefined || facts.host !== undefined) {
    throw new ProxyError('bad_request', 'the trailers hold a field that may only stand in the head');
  }
  return facts.fields.filter((_, i) => facts.classes[i >> 1] === FieldClass.endToEnd);
}
