import type { RequestHead } from './message-head.ts';
import type { ProxyError } from './proxy-error.ts';

const GRPC = /^application\/grpc(?:-web|-web-text)?(?:\+[\w.-]+)?$/i;

/** The content type of a gRPC or gRPC-Web call; undefined for any other request. Both are POSTs; a CONNECT must never get a 200. */
function grpcType(request: RequestHead): string | undefined {
  if (request.method !== 'POST') return undefined;
  const type = request.fields.value('content-type')?.split(';')[0]?.trim();
  return type !== undefined && GRPC.test(type) ? type : undefined;
}

/** Whether its caller understands errors by `grpc-status` alone. */
export function isGrpc(request: RequestHead): boolean {
  return grpcType(request) !== undefined;
}

/**
 * The fields of an error as gRPC has it: an answer 200 without a body, whose head holds what would be trailers ("Trailers-Only",
 * gRPC over HTTP2, "Responses"). Undefined where the request is no gRPC call.
 */
export function grpcErrorLines(request: RequestHead, error: ProxyError): string | undefined {
  const type = grpcType(request);
  if (type === undefined) return undefined;
  const message = percentEncoded(error.body.trimEnd());
  return `Content-Type: ${type}\r\ngrpc-status: ${error.grpcStatus}\r\ngrpc-message: ${message}\r\n`;
}

/** UTF-8, of which all but printable ASCII is written as %XX, and % itself (gRPC over HTTP2, "Status-Message"). */
function percentEncoded(text: string): string {
  return text.replace(/[^\x20-\x24\x26-\x7e]+/gu, (rest) =>
    [...Buffer.from(rest, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
