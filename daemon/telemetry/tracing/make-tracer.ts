import { randomBytes } from 'node:crypto';
import type { Log } from '../../../lib/log.ts';
import type { MetricsRegistry } from '../../../lib/metrics.ts';
import { type SpanExporter, SpanQueue } from './span-queue.ts';
import { Tracer } from './tracer.ts';
import type { TraceTarget, TracingConfig } from './tracing-config.ts';
import { zipkinExporter } from './zipkin-exporter.ts';

export interface TracingEnvironment {
  /** This daemon's. */
  readonly node: string;
  readonly registry: MetricsRegistry;
  readonly log: Log;
  /** Gives numbers in [0, 1). */
  readonly random: () => number;
}

/** Makes one thread's tracer, with its own connections to the collectors. Loads what only OTLP needs where the config asks for it. */
export async function makeTracer(
  config: TracingConfig,
  { node, registry, log, random }: TracingEnvironment,
): Promise<Tracer> {
  const spans = registry.counter(
    'trace_spans_total',
    'Spans: exported, dropped because too many waited, or failed because the collector did not take them.',
    ['result'],
  );
  const counters = { exported: spans.with('exported'), dropped: spans.with('dropped'), failed: spans.with('failed') };
  const queues = await Promise.all(
    config.targets.map(
      async (target) =>
        new SpanQueue({ exporter: await makeExporter(target, node), target: target.url, counters, log }),
    ),
  );
  return new Tracer({
    sampleRate: config.sampleRate,
    queues,
    random,
    randomHex: (bytes) => randomBytes(bytes).toString('hex'),
  });
}

async function makeExporter(target: TraceTarget, node: string): Promise<SpanExporter> {
  const url = new URL(target.url);
  if (target.kind === 'zipkin') return zipkinExporter(url, node);
  return (await import('./otlp-exporter.ts')).otlpExporter(url, target.headers, node);
}
