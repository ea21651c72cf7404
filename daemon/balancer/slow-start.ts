/** The part of its share that a new endpoint begins with (Envoy's `min_weight_percent`). */
const LEAST = 0.1;

/** The part of its share, up to 1, that an endpoint gets `ageMs` after it appeared: Envoy's slow start over `windowMs`, with aggression 1. */
export function warmthAt(ageMs: number, windowMs: number): number {
  return ageMs >= windowMs ? 1 : Math.max(LEAST, ageMs / windowMs);
}
