import type { RequestHead } from '../http/message-head.ts';
import { ProxyError } from '../http/proxy-error.ts';

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 0.000_001 };
/** A grpc-timeout has eight digits at most. */
const MAX_DIGITS = 99_999_999;

/** How long the caller of a request waits for its answer. */
export interface AskedDeadline {
  readonly leftMs: number;
  /** It said so by `grpc-timeout`, which goes on as what remains. */
  readonly byGrpc: boolean;
}

/**
 * What a request says of its deadline: `grpc-timeout` (gRPC over HTTP2, "Requests"), and from a daemon (`peer`)
 * `mesh-deadline-ms`, both relative, so that clocks need not agree; the sooner counts. Throws ProxyError bad_request for one
 * that cannot be read.
 */
export function askedDeadline(request: RequestHead, peer: boolean): AskedDeadline | undefined {
  const mesh = peer ? request.fields.value('mesh-deadline-ms') : undefined;
  const meshMs = mesh !== undefined && /^\d{1,15}$/.test(mesh) ? Number(mesh) : Number.POSITIVE_INFINITY;
  if (request.grpcTimeout !== undefined) {
    return { leftMs: Math.min(meshMs, parseGrpcTimeout(request.grpcTimeout)), byGrpc: true };
  }
  return meshMs === Number.POSITIVE_INFINITY ? undefined : { leftMs: meshMs, byGrpc: false };
}

/** The fields by which a request goes on with what is left of its time; never more than that, but for a daemon's last ms. */
export function deadlineLines(leftMs: number, { byGrpc, peer }: { byGrpc: boolean; peer: boolean }): string {
  const grpc = byGrpc ? `grpc-timeout: ${formatGrpcTimeout(leftMs)}\r\n` : '';
  // Rounded up, so that the one that answers the caller is also the one that gives up first.
  return peer ? `${grpc}mesh-deadline-ms: ${Math.ceil(leftMs)}\r\n` : grpc;
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
