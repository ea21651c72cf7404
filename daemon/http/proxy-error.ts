/**
 * The one table of the answers that the mesh itself makes (DESIGN §5.7). Callers choose a code and add the detail of the
 * case; nothing else writes an error answer. docs/errors.md lists the same codes.
 */
interface ErrorRow {
  readonly status: number;
  /** True where no byte can have reached an application, so that the sending side may try another pod whatever the method. */
  readonly retryable: boolean;
  /** What to do, for the person who reads the answer. */
  readonly advice: string;
  /** For the Retry-After field (RFC 9110 §10.2.3), s. */
  readonly retryAfterS?: number;
  /** What gRPC callers are told (`grpc-status`), where it is not what GRPC_STATUS has for the status. */
  readonly grpc?: number;
}

/** gRPC's status codes by HTTP's, as linkerd2 has them for errors of its own; what is not here is 2 (unknown). */
const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 5,
  429: 8,
  500: 13,
  501: 12,
  502: 14,
  503: 14,
  504: 4,
  508: 10,
};
const GRPC_UNKNOWN = 2;

export const PROXY_ERRORS = {
  bad_request: { status: 400, retryable: false, advice: 'Send a well-formed HTTP/1.1 request (RFC 9112).' },
  bad_authority: {
    status: 400,
    retryable: false,
    advice: 'Send one valid host[:port], in the request target or in the Host field.',
  },
  https_target: {
    status: 400,
    retryable: false,
    advice: 'Ask for http:// through this proxy, or let the client use CONNECT for https.',
  },
  target_too_long: { status: 414, retryable: false, advice: 'Keep the request line under 8 KiB.' },
  head_too_large: { status: 431, retryable: false, advice: 'Keep the request line and fields under 64 KiB.' },
  bad_expectation: { status: 417, retryable: false, advice: 'The only expectation known is 100-continue.' },
  head_timeout: { status: 408, retryable: false, advice: 'Send the whole request head within the time limit.' },
  body_timeout: {
    status: 408,
    retryable: false,
    advice: 'Send the request body without pauses of a minute.',
  },
  send_timeout: {
    status: 408,
    retryable: false,
    advice: 'Take the answer without pauses of minutes. No caller sees this text: the connection is reset.',
  },
  tunnel_idle: {
    status: 408,
    retryable: false,
    advice:
      'Send something through the tunnel (keep-alive, ping) within an hour; five minutes once a side has ended. It was closed without an answer.',
  },
  not_implemented: {
    status: 501,
    retryable: false,
    advice: 'Use a method and transfer coding that this proxy speaks.',
  },
  bad_version: { status: 505, retryable: false, advice: 'Speak HTTP/1.1 or HTTP/1.0.' },
  not_local_pod: {
    status: 403,
    retryable: false,
    advice:
      'The outgoing router serves only pods of its own node. Send the request to the proxy on the node that the pod runs on (http_proxy as injected), or allow the address under routers[].servers[].allowedClients.',
  },
  egress_refused: {
    status: 403,
    retryable: false,
    advice:
      'The mesh does not open this address for pods. Reach it without the proxy (no_proxy), if it is meant to be reached.',
  },
  policy_denied: {
    status: 403,
    retryable: false,
    advice:
      "The cluster's policies do not let this pod reach that one. Whoever runs the cluster finds the policy's name in the log of the daemon that refused it.",
  },
  unknown_name: {
    status: 502,
    retryable: false,
    advice: 'Check the name; another namespace is reached as service.namespace.',
  },
  unknown_port: { status: 502, retryable: false, advice: 'Use a port that the Service declares.' },
  no_endpoints: {
    status: 502,
    retryable: false,
    advice: 'Check that the Service selects pods and that they are ready (kubectl get endpoints).',
  },
  no_gateway: {
    status: 502,
    retryable: true,
    advice:
      'No daemon is ready on the node of any of its pods, and fallback is "fail". Check the DaemonSet nodemesh-daemon.',
  },
  endpoint_gone: {
    status: 503,
    retryable: true,
    advice: 'The pod that was picked is no longer on this node. The sending daemon tries another by itself.',
  },
  endpoint_out: {
    status: 503,
    retryable: true,
    advice:
      'The pod that was picked fails, as its own daemon has seen. The sending daemon tries another by itself. Find out from the pod why it fails.',
  },
  endpoint_busy: {
    status: 503,
    retryable: true,
    advice:
      'The pod that was picked has too many requests under way, as its own daemon has seen. The sending daemon asks another by itself.',
  },
  not_synced: {
    status: 503,
    retryable: true,
    advice: 'The daemon has not read the cluster yet, or has no certificate yet. See /readyz on its admin port.',
  },
  connect_failed: {
    status: 502,
    retryable: true,
    advice:
      'Nothing accepted the connection. Check that the application listens on that port of its pod address, and that NetworkPolicies admit the mesh daemon.',
  },
  peer_not_trusted: {
    status: 502,
    retryable: true,
    advice:
      "The daemon on the other node did not prove that it is that node's, so it was sent nothing. See its log and /readyz, and tls_refused_total on both nodes.",
  },
  peer_refused: {
    status: 502,
    retryable: true,
    advice:
      "The daemon on the other node takes requests only from daemons of its mesh that prove who they are. Compare both daemons' tls key and CA; see tls_refused_total on both nodes.",
  },
  upstream_reset: {
    status: 502,
    retryable: false,
    advice: 'The destination closed the connection before it answered. See its log for a crash or a restart.',
  },
  bad_response: {
    status: 502,
    retryable: false,
    advice: 'The destination sent an answer that is not well-formed HTTP/1.1 (RFC 9112).',
  },
  attempt_timeout: {
    status: 503,
    retryable: false,
    grpc: 4, // 14 would tell clients that nothing has been done
    advice:
      'No answer began within routers[].client.requestAttemptTimeoutMs. Find out why the destination is slow, or allow it more time.',
  },
  total_timeout: {
    status: 503,
    retryable: false,
    grpc: 4,
    advice:
      'No answer began within routers[].service.totalTimeoutMs, further attempts included. Find out why the destination is slow, or allow it more time.',
  },
  deadline_exceeded: {
    status: 504,
    retryable: false,
    advice:
      'No answer began within the time that the caller gave (grpc-timeout, l5d-timeout or l5d-ctx-deadline; further attempts included).',
  },
  binding_timeout: {
    status: 503,
    retryable: true,
    advice:
      "The request was sent to nobody within routers[].bindingTimeoutMs. Check DNS where the name is outside, the network to the destination, and whether client.hostConnectionPool's maxSize is enough.",
  },
  too_many_connections: {
    status: 503,
    retryable: true,
    advice:
      'One caller has as many connections open as it may (routers[].servers[].maxConnectionsPerCaller), or sends too many heads at a time without ending them. Close connections that are not needed, or use them for more than one request.',
    retryAfterS: 1,
  },
  overloaded: {
    status: 503,
    retryable: true,
    advice:
      'The daemon or the Service has more to do than it can, or than it may (routers[].servers[].maxConcurrentRequests, routers[].service.adaptiveConcurrency, routers[].client.hostConnectionPool). Try again later, and send fewer requests at a time.',
    retryAfterS: 1,
  },
  draining: { status: 503, retryable: true, advice: 'The daemon is shutting down. Try again.' },
  internal_error: {
    status: 500,
    retryable: false,
    advice: 'This is a defect of the daemon. Please report it with the line above.',
  },
  loop: {
    status: 508,
    retryable: false,
    advice: 'The request keeps coming back to the same daemon. Check what the name resolves to.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ProxyErrorCode = keyof typeof PROXY_ERRORS;

/** One failure of one exchange: a code of the table, and what exactly was wrong in this case. */
export class ProxyError extends Error {
  readonly code: ProxyErrorCode;
  /** For how long it stays so, ms; of `endpoint_out` alone. */
  readonly outMs: number | undefined;

  /** `detail` names the thing: the field, the name, the pod, the address. It is shown to the caller. */
  constructor(code: ProxyErrorCode, detail: string, outMs?: number) {
    super(detail);
    this.name = 'ProxyError';
    this.code = code;
    this.outMs = outMs;
  }

  get status(): number {
    return PROXY_ERRORS[this.code].status;
  }

  get retryable(): boolean {
    return PROXY_ERRORS[this.code].retryable;
  }

  get grpcStatus(): number {
    const row: ErrorRow = PROXY_ERRORS[this.code];
    return row.grpc ?? GRPC_STATUS[row.status] ?? GRPC_UNKNOWN;
  }

  get retryAfterS(): number | undefined {
    const row: ErrorRow = PROXY_ERRORS[this.code];
    return row.retryAfterS;
  }

  /** The text/plain body of the answer: what was wrong, then what to do. */
  get body(): string {
    return `nodemesh: ${this.message}\n${PROXY_ERRORS[this.code].advice}\n`;
  }
}

/** Whatever was thrown as an answer: ProxyErrors as they are, anything else as a defect of ours. */
export function asProxyError(cause: unknown): ProxyError {
  if (cause instanceof ProxyError) return cause;
  return new ProxyError('internal_error', String(cause));
}
