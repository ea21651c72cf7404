import { isIP } from 'node:net';
import { z } from 'zod';
import { port, required } from '../../config-values.ts';
import { TraceForm } from './trace-context.ts';

const SAMPLE_RATE = 0.001; // linkerd's default
const ZIPKIN_PORT = 9411;
/** Zipkin's collector of Scribe, long gone from it, to which linkerd sends. */
const SCRIBE_PORT = 9410;

const RATE_FORMS = 'give a number from 0 to 1, the share of requests that are traced';
const sampleRate = z.number({ error: RATE_FORMS }).min(0, RATE_FORMS).max(1, RATE_FORMS).default(SAMPLE_RATE);
const URL_FORMS = 'give the http or https URL that takes traces, e.g. http://collector.tracing:4318/v1/traces';

const HEADER_FORMS = 'give a value of printable characters';

/** linkerd's telemeter, for Zipkin's API v2 over HTTP. */
export const zipkinTelemeter = z.strictObject({
  kind: z.literal('io.l5d.zipkin'),
  host: z.string().min(1, 'give the name or address of the Zipkin server').default('localhost'),
  port: port
    .refine((number) => number !== SCRIBE_PORT, {
      error: `spans are sent to Zipkin's API v2 over HTTP, which has port ${ZIPKIN_PORT}; ${SCRIBE_PORT} is that of Scribe, which is not spoken`,
    })
    .default(ZIPKIN_PORT),
  sampleRate,
});

export const otlpTelemeter = z.strictObject({
  kind: z.literal('nodemesh.otlp'),
  endpoint: required('the URL that takes traces, e.g. http://collector.tracing:4318/v1/traces')
    .refine(isHttpUrl, URL_FORMS)
    .refine(namesNobody, 'give no user or password in the URL, which is logged: give headers: {Authorization: …}'),
  sampleRate,
  headers: z
    .record(
      z.string().regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, 'give the name of a header'),
      z.string({ error: HEADER_FORMS }).regex(/^[\t\x20-\x7e]*$/, HEADER_FORMS),
    )
    .default({}),
});

/** A router's key. */
export const tracePropagator = z.strictObject({
  kind: z.enum(['io.l5d.default', 'io.l5d.zipkin'], { error: 'give io.l5d.default or io.l5d.zipkin' }),
});

/** Where one thread's spans go. */
export type TraceTarget =
  | { readonly kind: 'zipkin'; readonly url: string }
  | { readonly kind: 'otlp'; readonly url: string; readonly headers: Readonly<Record<string, string>> };

export interface TracingConfig {
  /** Of several the highest: all of them get the same traces. */
  readonly sampleRate: number;
  readonly targets: readonly TraceTarget[];
}

type Telemeter = z.output<typeof zipkinTelemeter> | z.output<typeof otlpTelemeter>;

/** What the telemeters of traces come to; undefined where there are none. */
export function tracingConfig(telemeters: readonly Telemeter[]): TracingConfig | undefined {
  if (telemeters.length === 0) return undefined;
  return {
    sampleRate: Math.max(...telemeters.map((telemeter) => telemeter.sampleRate)),
    targets: telemeters.map(targetOf),
  };
}

/** The forms in which a router writes a trace's context beside traceparent, and those that it came in. */
export function traceForms(propagator: z.output<typeof tracePropagator> | undefined): number {
  if (propagator === undefined) return 0;
  return propagator.kind === 'io.l5d.default' ? TraceForm.l5d : TraceForm.b3Fields;
}

function targetOf(telemeter: Telemeter): TraceTarget {
  if (telemeter.kind === 'nodemesh.otlp') {
    return { kind: 'otlp', url: telemeter.endpoint, headers: telemeter.headers };
  }
  const host = isIP(telemeter.host) === 6 ? `[${telemeter.host}]` : telemeter.host;
  return { kind: 'zipkin', url: `http://${host}:${telemeter.port}/api/v2/spans` };
}

function namesNobody(text: string): boolean {
  const { username = '', password = '' } = URL.parse(text) ?? {};
  return username === '' && password === '';
}

function isHttpUrl(text: string): boolean {
  return /^https?:$/.test(URL.parse(text)?.protocol ?? '');
}
