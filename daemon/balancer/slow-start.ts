/** How long a new endpoint's share grows (Envoy's `slow_start_window`), ms. */
export const SLOW_START_MS = 30_000;
/** The part of its share that it begins with (Envoy's `min_weight_percent`). */
const LEAST = 0.1;

/** The part of its share, up to 1, that an endpoint gets `ageMs` after it appeared: Envoy's slow start with aggression 1. */
export function warmthAt(ageMs: number): number {
  return Math.min(1, Math.max(LEAST, ageMs / SLOW_START_MS));
}
