import type { Exchange } from '../http/exchange.ts';
import type { FieldList } from '../http/fields.ts';
import type { RequestHead } from '../http/message-head.ts';
import { ProxyError } from '../http/proxy-error.ts';

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };
/** A grpc-timeout has eight digits at most. */
const MAX_DIGITS = 99_999_999;
const L5D_UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const NS_PER_MS = 1_000_000;
const NEVER = Number.POSITIVE_INFINITY;

/** How long the caller of a request waits for its answer. */
export interface AskedDeadline {
  readonly leftMs: number;
  /** It said so by `grpc-timeout`, which goes on as what remains. */
  readonly byGrpc: boolean;
  /** Likewise by `l5d-timeout`, where linkerd's context goes on. */
  readonly byL5d: boolean;
}

/** What is read of an exchange. */
type AskingExchange = Pick<Exchange, 'request' | 'startedAt'>;

/** How a request is read for its deadline. */
export interface DeadlineReading {
  /** It comes from a daemon. */
  readonly peer: boolean;
  /** linkerd's context is not passed on. */
  readonly dropL5d: boolean;
  /** `now`: that of the exchange; `wallClock`: since 1970; both in ms. */
  readonly clocks: { readonly now: () => number; readonly wallClock: () => number };
}

/**
 * What a request says of its deadline, from its arrival on, the soonest counting: `grpc-timeout` (gRPC over HTTP2, "Requests"), linkerd2's
 * `l5d-timeout`, linkerd 1.x's `l5d-ctx-deadline`, and from a daemon `mesh-deadline-ms`. Throws ProxyError bad_request for a
 * grpc-timeout that cannot be read; the others are context, which must not break calls, and are then passed over.
 */
export function askedDeadline(
  { request, startedAt }: AskingExchange,
  reading: DeadlineReading,
): AskedDeadline | undefined {
  const { grpcTimeout, l5dTimes } = request;
  const meshMs = reading.peer ? meshDeadlineMs(request) : NEVER;
  if (grpcTimeout === undefined && l5dTimes === undefined) {
    return meshMs === NEVER ? undefined : { leftMs: meshMs, byGrpc: false, byL5d: false };
  }
  const grpcMs = grpcTimeout === undefined ? NEVER : parseGrpcTimeout(grpcTimeout);
  const timeoutMs = soonest(l5dTimes, 'l5d-timeout', parseL5dTimeout);
  const { now, wallClock } = reading.clocks;
  const deadlineMs = soonest(l5dTimes, 'l5d-ctx-deadline', (text) =>
    parseL5dDeadline(text, wallClock() - (now() - startedAt)),
  );
  const leftMs = Math.min(meshMs, grpcMs, timeoutMs, deadlineMs);
  if (leftMs === NEVER) return undefined;
  return { leftMs, byGrpc: grpcTimeout !== undefined, byL5d: timeoutMs !== NEVER && !reading.dropL5d };
}

function meshDeadlineMs(request: RequestHead): number {
  const text = request.fields.value('mesh-deadline-ms');
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : NEVER;
}

function soonest(times: FieldList | undefined, name: string, parse: (text: string) => number | undefined): number {
  let leftMs = NEVER;
  if (times === undefined) return leftMs;
  for (let i = 0; i < times.length; i += 2) {
    if (times[i] === name) leftMs = Math.min(leftMs, parse(times[i + 1] as string) ?? NEVER);
  }
  return leftMs;
}

/** The fields by which a request goes on with what is left of its time; never more than that, but for a daemon's last ms. */
export function deadlineLines(
  leftMs: number,
  { byGrpc, byL5d, peer }: { byGrpc: boolean; byL5d: boolean; peer: boolean },
): string {
  let lines = byGrpc ? `grpc-timeout: ${formatGrpcTimeout(leftMs)}\r\n` : '';
  if (byL5d) lines += `l5d-timeout: ${Math.max(1, Math.floor(leftMs))}ms\r\n`;
  // Rounded up, so that the one that answers the caller is also the one that gives up first.
  return peer ? `${lines}mesh-deadline-ms: ${Math.ceil(leftMs)}\r\n` : lines;
}

/** linkerd2's durations: a whole number and ms, s, m, h or d. Gives ms; undefined for anything else, and for 0: no limit. */
export function parseL5dTimeout(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
  const unit = L5D_UNIT_MS[match?.[2] ?? ''];
  const ms = match === null || unit === undefined ? 0 : Number(match[1]) * unit;
  return ms === 0 ? undefined : ms;
}

/**
 * linkerd 1.x's `<timestamp> <deadline>`, ns since 1970: what is left of it, ms, and never more than lay between the two, so that
 * a clock that is behind extends nothing. Undefined for anything else.
 */
export function parseL5dDeadline(text: string, wallClock: number): number | undefined {
  const match = /^(\d{1,19}) (\d{1,19})$/.exec(text);
  if (match === null) return undefined;
  const deadline = wholeMs(match[2] as string);
  return Math.max(0, Math.min(deadline - wallClock, deadline - wholeMs(match[1] as string)));
}

/** A double has no room for the ns of such a time. */
function wholeMs(ns: string): number {
  return Math.round(Number(ns) / NS_PER_MS);
}

/** What to answer once the time is over that the request itself gave. */
export function deadlineExceeded(ms: number): ProxyError {
  return new ProxyError(
    'deadline_exceeded',
    `no answer began within ${Math.round(ms)} ms, which the request itself gave`,
  );
}

/** Ms. Throws ProxyError bad_request. */
export function parseGrpcTimeout(text: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  const unit = UNIT_MS[match?.[2] ?? ''];
  if (match === null || unit === undefined) {
    throw new ProxyError(
      'bad_request',
      `grpc-timeout "${text}" is not up to eight digits and a unit (H, M, S, m, u, n)`,
    );
  }
  return Number(match[1]) * unit;
}

function formatGrpcTimeout(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.floor(ms * 1_000))}u`;
  if (ms <= MAX_DIGITS) return `${Math.floor(ms)}m`;
  return `${Math.min(MAX_DIGITS, Math.floor(ms / 1_000))}S`;
}
