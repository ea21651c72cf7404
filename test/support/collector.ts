import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** A span as a collector was sent it, whatever the wire. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | undefined;
  readonly name: string;
  readonly kind: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** name, and its attributes where the wire has them. */
  readonly events: readonly { readonly name: string; readonly attributes: Readonly<Record<string, string>> }[];
  readonly error: string | undefined;
  /** ms. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly service: string;
}

/** How a collector behaves towards what it is sent. */
export type CollectorManners = 'takes' | 'hangs' | 'answers 500' | 'answers garbage' | 'never ends its answer';

/** A collector of traces: OTLP as JSON on /v1/traces, Zipkin's API v2 on /api/v2/spans. */
export class Collector {
  readonly spans: CollectedSpan[] = [];
  /** Of all requests. */
  readonly headers: IncomingMessage['headers'][] = [];
  readonly #server = createServer((request, response) => void this.#take(request, response));
  readonly #manners: CollectorManners;
  readonly #waiting = new Set<() => void>();

  private constructor(manners: CollectorManners) {
    this.#manners = manners;
  }

  static async start(manners: CollectorManners = 'takes'): Promise<Collector> {
    const collector = new Collector(manners);
    collector.#server.listen(0, '127.0.0.1');
    await once(collector.#server, 'listening');
    return collector;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get otlp(): string {
    return `http://127.0.0.1:${this.port}/v1/traces`;
  }

  /** Waits until `enough` holds of what has been sent. */
  async until(enough: (collector: Collector) => boolean): Promise<void> {
    while (!enough(this)) {
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const body: unknown = JSON.parse(Buffer.concat(pieces).toString());
    this.headers.push(request.headers);
    this.spans.push(
      ...(request.url === '/v1/traces' ? fromOtlp(body as OtlpRequest) : fromZipkin(body as ZipkinSpan[])),
    );
    this.#answer(response);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }

  #answer(response: ServerResponse): void {
    switch (this.#manners) {
      case 'takes':
        response.end('{}');
        break;
      case 'answers 500':
        response.writeHead(500).end('no');
        break;
      case 'answers garbage':
        (response.socket as Socket).end('\u0000\u0001 this is not HTTP\r\n\r\n');
        break;
      case 'never ends its answer':
        response.writeHead(200);
        response.write('x'.repeat(256 * 1024));
        break;
      case 'hangs':
        break;
    }
  }
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string; readonly doubleValue?: number };
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly OtlpAttribute[];
  readonly events: readonly { readonly name: string; readonly attributes: readonly OtlpAttribute[] }[];
  readonly status: { readonly code: number; readonly message?: string };
}

function fromOtlp({ resourceSpans }: OtlpRequest): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId,
        name: span.name,
        kind: ['', '', 'SERVER', 'CLIENT'][span.kind] ?? '',
        attributes: values(span.attributes),
        events: span.events.map(({ name, attributes }) => ({ name, attributes: values(attributes) })),
        error: span.status.code === 2 ? span.status.message : undefined,
        startMs: Number(BigInt(span.startTimeUnixNano) / 1_000n) / 1_000,
        durationMs: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1_000_000,
        service: values(resource.attributes)['service.name'] ?? '',
      })),
    ),
  );
}

function values(attributes: readonly OtlpAttribute[]): Record<string, string> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, String(value.stringValue ?? value.intValue ?? value.doubleValue)]),
  );
}

interface ZipkinSpan {
  readonly traceId: string;
  readonly id: string;
  readonly parentId?: string;
  readonly name: string;
  readonly kind: string;
  readonly timestamp: number;
  readonly duration: number;
  readonly localEndpoint: { readonly serviceName: string };
  readonly tags: Readonly<Record<string, string>>;
  readonly annotations: readonly { readonly value: string }[];
}

function fromZipkin(spans: readonly ZipkinSpan[]): CollectedSpan[] {
  return spans.map((span) => ({
    traceId: span.traceId,
    spanId: span.id,
    parentSpanId: span.parentId,
    name: span.name,
    kind: span.kind,
    attributes: span.tags,
    events: span.annotations.map(({ value }) => {
      const [name = '', ...rest] = value.split(' ');
      return { name, attributes: Object.fromEntries(rest.map((pair) => pair.split('=') as [string, string])) };
    }),
    error: span.tags.error,
    startMs: span.timestamp / 1_000,
    durationMs: span.duration / 1_000,
    service: span.localEndpoint.serviceName,
  }));
}
