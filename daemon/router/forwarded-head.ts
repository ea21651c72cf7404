import type { Exchange } from '../http/exchange.ts';
import { FieldClass, type FieldFilter, listMembers } from '../http/fields.ts';
import type { RequestHead } from '../http/message-head.ts';
import { ProxyError } from '../http/proxy-error.ts';
import type { RequestTarget } from '../http/request-target.ts';
import { decrementedMaxForwards } from './max-forwards.ts';

/** A request may pass one daemon a few times and mean it (a pod that is itself a proxy); this often it is a loop. */
const MAX_PASSAGES = 5;

/** The name under which a daemon signs `Via` (RFC 9110 §7.6.3): a pseudonym, so that no address leaks to the outside. */
export function viaPseudonym(nodeName: string): string {
  return `nodemesh-${nodeName.toLowerCase()}`;
}

/** What of a request's context goes on, and how. */
export interface ContextRules {
  readonly filter: FieldFilter;
  /** For requests that are traced: what they say of it is written anew. */
  readonly tracedFilter: FieldFilter;
  /** Bits of TraceForm. */
  readonly traceForms: number;
}

/** `tracing`: whether this router's requests may be traced, so that `l5d-sample` has been heeded. */
export function contextRules(dropL5d: boolean, { tracing = false, traceForms = 0 } = {}): ContextRules {
  return {
    filter: { dropL5d, dropTrace: tracing ? 'sample' : undefined },
    tracedFilter: { dropL5d, dropTrace: 'all' },
    traceForms,
  };
}

/**
 * The head as it goes on: origin-form target, one Host (the absolute-form's authority wins, RFC 9112 §3.2.2), the fields
 * that travel end to end, and `Via` after those of earlier hops. The codec adds the framing, the hop its own fields.
 */
export function forwardedHead(
  { request, record }: Pick<Exchange, 'request' | 'record'>,
  target: RequestTarget,
  pseudonym: string,
  context: ContextRules,
): string {
  const start = `${request.method} ${target.path} HTTP/1.1\r\nHost: ${target.authority}\r\n`;
  const maxForwards = decrementedMaxForwards(request);
  const replaced = maxForwards === undefined ? undefined : FieldClass.maxForwards;
  const trace = record?.trace;
  const filter = trace === undefined ? context.filter : context.tracedFilter;
  const passed = request.fields.forwardedLines(start, filter, replaced);
  const head = maxForwards === undefined ? passed : passed + maxForwards;
  const traced = trace === undefined ? head : head + trace.lines(context.traceForms, filter.dropL5d);
  const via = `${traced}Via: 1.${request.minorVersion} ${pseudonym}\r\n`;
  return request.upgrade === undefined && !request.acceptsTrailers ? via : via + ownHopLines(request);
}

/** What a request asks of each hop, asked anew of the next one: to switch protocols, to send trailers (RFC 9110 §7.6.1). */
function ownHopLines({ upgrade, acceptsTrailers }: RequestHead): string {
  const te = acceptsTrailers ? 'TE: trailers\r\n' : '';
  if (upgrade === undefined) return `Connection: TE\r\n${te}`;
  return `Connection: Upgrade${acceptsTrailers ? ', TE' : ''}\r\nUpgrade: ${upgrade}\r\n${te}`;
}

/** Throws ProxyError loop where `Via` shows that the request has been here too often (RFC 9110 §7.6.3). */
export function refuseLoop(request: RequestHead, pseudonym: string): void {
  let passages = 0;
  for (const value of request.fields.via) {
    passages += listMembers(value).filter((entry) => entry.split(/\s+/)[1] === pseudonym).length;
  }
  if (passages >= MAX_PASSAGES) throw new ProxyError('loop', `the request has passed ${pseudonym} ${passages} times`);
}
