import type { HrTime } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { collectorAgent } from './collector-agent.ts';
import type { Span } from './span.ts';
import type { SpanExporter } from './span-queue.ts';

/** Its own retries included, of a collector that is away or asks for patience: no more than the queue waits. */
const TIMEOUT_MS = 5_000;
/** The values of OpenTelemetry's enums, which its API would have to be loaded for. */
const KIND = { server: 1, client: 2 } as const;
const STATUS = { unset: 0, error: 2 } as const;
const SAMPLED = 1;

const NO_LINKS: ReadableSpan['links'] = [];
const SCOPE = { name: 'nodemesh' };

/** Sends spans to an OTLP collector over HTTP, as JSON, through OpenTelemetry's exporter. `headers` go with each request. */
export function otlpExporter(url: URL, headers: Readonly<Record<string, string>>, node: string): SpanExporter {
  const agent = collectorAgent(url);
  const exporter = new OTLPTraceExporter({
    url: url.href,
    headers: { ...headers },
    timeoutMillis: TIMEOUT_MS,
    httpAgentOptions: () => agent,
  });
  const resource = resourceOf({ 'service.name': 'nodemesh', 'service.instance.id': node, 'k8s.node.name': node });
  return {
    send: (spans, signal) =>
      new Promise((resolve, reject) => {
        const abort = () => {
          agent.destroy();
          reject(new Error(`${url} has not answered in time`));
        };
        signal.addEventListener('abort', abort, { once: true });
        exporter.export(
          spans.map((span) => readableSpan(span, resource)),
          ({ code, error }) => {
            signal.removeEventListener('abort', abort);
            if (code === 0) resolve();
            else reject(error ?? new Error(`${url} did not take the spans`));
          },
        );
      }),
    close: () => {
      agent.destroy();
      // A retry of its own may still be to come.
      agent.createConnection = () => {
        throw new Error('the daemon stops');
      };
    },
  };
}

/** A span as OpenTelemetry's exporters take it. */
function readableSpan(span: Span, resource: ReadableSpan['resource']): ReadableSpan {
  const { traceId, spanId, parentSpanId } = span.ids;
  const traceState = span.tracestate === '' ? undefined : plainState(span.tracestate);
  const own = { traceId, spanId, traceFlags: SAMPLED, ...(traceState && { traceState }) };
  return {
    name: span.name,
    kind: KIND[span.kind],
    spanContext: () => own,
    ...(parentSpanId !== undefined && {
      parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: SAMPLED, isRemote: true },
    }),
    startTime: hrTime(span.startMs),
    endTime: hrTime(span.endMs),
    duration: hrTime(span.endMs - span.startMs),
    status: span.error === '' ? { code: STATUS.unset } : { code: STATUS.error, message: span.error },
    attributes: span.attributes,
    links: NO_LINKS,
    events: span.events.map(({ name, atMs, attributes }) => ({ name, time: hrTime(atMs), attributes })),
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function resourceOf(attributes: Record<string, string>): ReadableSpan['resource'] {
  const resource = { attributes, merge: () => resource, getRawAttributes: () => Object.entries(attributes) };
  return resource as ReadableSpan['resource'];
}

/** A list that goes on as it came. */
function plainState(text: string): NonNullable<ReturnType<ReadableSpan['spanContext']>['traceState']> {
  const state = { get: () => undefined, set: () => state, unset: () => state, serialize: () => text };
  return state;
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.min(999_999_999, Math.round((ms - seconds * 1_000) * 1_000_000))];
}
