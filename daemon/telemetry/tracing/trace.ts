import type { SpanIds } from './span-ids.ts';
import { type TraceContext, TraceForm, traceLines } from './trace-context.ts';

/** The span of one exchange, from its beginning on: what goes out with the request is what is exported. */
export class Trace {
  /** `spanId` is this exchange's, `parentSpanId` that of the span that sent it. */
  readonly ids: SpanIds;
  /** Undefined where the trace begins here. */
  readonly #context: TraceContext | undefined;

  constructor(ids: SpanIds, context: TraceContext | undefined) {
    this.ids = ids;
    this.#context = context;
  }

  get tracestate(): string {
    return this.#context?.tracestate ?? '';
  }

  /**
   * The field lines with which the request goes on, in the forms that it came in and in `forms` (bits of TraceForm); linkerd's,
   * where its context is dropped, only if `forms` has it.
   */
  lines(forms: number, dropL5d: boolean): string {
    const came = this.#context?.forms ?? 0;
    return traceLines(this.ids, {
      forms: (dropL5d ? came & ~TraceForm.l5d : came) | forms,
      debug: this.#context?.debug === true,
      tracestate: this.tracestate,
      randomId: this.#context?.randomId === true,
    });
  }
}
