import type { FieldList } from '../../http/fields.ts';
import { type TraceContext, valuesOf } from './trace-context.ts';

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$/;

/**
 * Whether a request is sampled. What its context says stands (OpenTelemetry's ParentBased, linkerd's TraceInitializer);
 * where it leaves that open, or there is none, `rate` decides, and whose start is left to others is not. `random` gives
 * numbers in [0, 1).
 */
export function isSampled(context: TraceContext | undefined, rate: number | undefined, random: () => number): boolean {
  if (context?.sampled !== undefined) return context.sampled;
  return rate !== undefined && random() < rate;
}

/** linkerd's `l5d-sample`, 0 to 1, what is beyond counting as the nearer of both. Undefined where it is not there or no number. */
export function askedRate(fields: FieldList): number | undefined {
  const text = valuesOf(fields, 'l5d-sample')[0] ?? '';
  return DECIMAL.test(text) ? Math.min(1, Math.max(0, Number(text))) : undefined;
}
