/** Which span sent a request, in lower-case hex. */
export interface SpanIds {
  /** 32 digits. */
  readonly traceId: string;
  /** 16 digits. */
  readonly spanId: string;
  /** The parent of that span, where the form tells it. */
  readonly parentSpanId?: string | undefined;
}

/** What one form of context says. */
export interface FormContext {
  /** Undefined where it says only whether to sample. */
  readonly ids: SpanIds | undefined;
  /** Undefined where the sender leaves that to whoever comes next. */
  readonly sampled: boolean | undefined;
  /** Sampled, whatever anybody's rate is. */
  readonly debug: boolean;
}

/** Whether an id is all zeros, which no form allows. */
export function isZero(hex: string): boolean {
  return /^0+$/.test(hex);
}
