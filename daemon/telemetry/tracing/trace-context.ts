import type { FieldList } from '../../http/fields.ts';
import { formatB3, formatB3Fields, parseB3, parseB3Fields } from './b3.ts';
import { formatL5dTrace, parseL5dTrace } from './l5d-trace.ts';
import type { FormContext, SpanIds } from './span-ids.ts';
import { formatTraceparent, parseTraceparent, parseTracestate } from './w3c.ts';

/** The forms of context, as bits: a request may carry several. */
export const TraceForm = { w3c: 1, b3: 2, b3Fields: 4, l5d: 8 } as const;

/** What a request says of the trace that it belongs to. */
export interface TraceContext extends FormContext {
  /** Bits of TraceForm: those that it came in, and could be read. */
  readonly forms: number;
  /** '' where there is none. */
  readonly tracestate: string;
  /** traceparent's flag of level 2: the trace id's last 7 bytes are random. */
  readonly randomId: boolean;
}

/**
 * Reads the context in a request's fields of tracing (`[name in lower case, value]…`). traceparent outdoes `b3`, that
 * `X-B3-*`, and those `l5d-ctx-trace`; a form that cannot be read is passed over (Trace Context §4.3). Gives undefined where
 * there is none.
 */
export function readTraceContext(fields: FieldList): TraceContext | undefined {
  const w3c = parseTraceparent(valuesOf(fields, 'traceparent'));
  const b3 = parseB3(valuesOf(fields, 'b3'));
  const b3Fields = parseB3Fields((name) => valuesOf(fields, name)[0]);
  const l5d = parseL5dTrace(valuesOf(fields, 'l5d-ctx-trace')[0]);
  const first = w3c ?? b3 ?? b3Fields ?? l5d;
  if (first === undefined) return undefined;
  return {
    ids: first.ids,
    sampled: first.sampled,
    debug: first.debug,
    forms:
      (w3c === undefined ? 0 : TraceForm.w3c) |
      (b3 === undefined ? 0 : TraceForm.b3) |
      (b3Fields === undefined ? 0 : TraceForm.b3Fields) |
      (l5d === undefined ? 0 : TraceForm.l5d),
    tracestate: w3c === undefined ? '' : parseTracestate(valuesOf(fields, 'tracestate')),
    randomId: w3c?.randomId === true,
  };
}

/**
 * The field lines by which a sampled request goes on: `ids` is the span of this hop. traceparent is always among them, so
 * that whatever comes next can read one.
 */
export function traceLines(
  ids: SpanIds,
  { forms, debug, tracestate, randomId }: Pick<TraceContext, 'forms' | 'debug' | 'tracestate' | 'randomId'>,
): string {
  let lines = `traceparent: ${formatTraceparent(ids, randomId)}\r\n`;
  if (tracestate !== '') lines += `tracestate: ${tracestate}\r\n`;
  if ((forms & TraceForm.b3) !== 0) lines += `b3: ${formatB3(ids, debug)}\r\n`;
  if ((forms & TraceForm.b3Fields) !== 0) lines += formatB3Fields(ids, debug);
  if ((forms & TraceForm.l5d) !== 0) lines += `l5d-ctx-trace: ${formatL5dTrace(ids, debug)}\r\n`;
  return lines;
}

const NONE: readonly string[] = [];

/** The values of a field among `[name, value]…`, in their order. */
export function valuesOf(fields: FieldList, name: string): readonly string[] {
  let values: string[] | undefined;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== name) continue;
    values ??= [];
    values.push(fields[i + 1] as string);
  }
  return values ?? NONE;
}
