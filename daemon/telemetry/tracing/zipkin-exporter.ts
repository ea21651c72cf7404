import { collectorAgent, postJson } from './collector-agent.ts';
import type { Span } from './span.ts';
import type { SpanExporter } from './span-queue.ts';

/** A span of Zipkin's API v2 (zipkin2-api.yaml). Times in µs. */
interface ZipkinSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId?: string | undefined;
  readonly name: string;
  readonly kind: 'CLIENT' | 'SERVER';
  readonly timestamp: number;
  readonly duration: number;
  readonly localEndpoint: { readonly serviceName: string };
  readonly remoteEndpoint?: { readonly serviceName: string } | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly annotations: readonly { readonly timestamp: number; readonly value: string }[];
}

/**
 * Posts spans to a Zipkin collector's `/api/v2/spans`. Ours and not OpenTelemetry's exporter, which waits for a collector that hangs
 * for ever, keeps all of any answer, leaves no choice of agent, and names no remote endpoint, by which Zipkin draws who calls whom.
 */
export function zipkinExporter(url: URL, node: string): SpanExporter {
  const agent = collectorAgent(url);
  return {
    send: (spans, signal) =>
      postJson({ url, agent, headers: {}, body: JSON.stringify(spans.map((span) => zipkinSpan(span, node))), signal }),
    close: () => agent.destroy(),
  };
}

/** A span as Zipkin has it; `node` is this daemon's. */
export function zipkinSpan(span: Span, node: string): ZipkinSpan {
  const { ids, attributes, error } = span;
  const tags = Object.entries({ ...attributes, 'k8s.node.name': node, ...(error === '' ? {} : { error }) });
  return {
    traceId: ids.traceId,
    id: ids.spanId,
    parentId: ids.parentSpanId,
    name: span.name,
    kind: span.kind === 'client' ? 'CLIENT' : 'SERVER',
    timestamp: micros(span.startMs),
    duration: Math.max(1, micros(span.endMs - span.startMs)), // 0 is not known, there
    localEndpoint: { serviceName: span.local },
    remoteEndpoint: span.remote === '' ? undefined : { serviceName: span.remote },
    tags: Object.fromEntries(tags.map(([key, value]) => [key, String(value)])),
    annotations: span.events.map(({ name, atMs, attributes: said }) => ({
      timestamp: micros(atMs),
      value: [name, ...Object.entries(said).map(([key, value]) => `${key}=${value}`)].join(' '),
    })),
  };
}

function micros(ms: number): number {
  return Math.round(ms * 1_000);
}
