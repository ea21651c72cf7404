/** Longer than this nobody is kept waiting, ms (linkerd2's limit). */
const MOST_MS = 300_000;
/** IMF-fixdate and RFC 850's, and asctime's, which says no zone. */
const DATE = /^[A-Z][a-z]{2,8}, .{18,22} GMT$/;
const ASCTIME_DATE = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/**
 * How long a `Retry-After` field asks to wait, ms, 300 s at most (RFC 9110 §10.2.3: seconds, or a date in one of §5.6.7's forms).
 * `now`: ms since 1970. Gives 0 for what is neither, or past.
 */
export function retryAfterMs(value: string, now: number): number {
  if (/^\d+$/.test(value)) return Math.min(MOST_MS, Number(value) * 1_000);
  const date = DATE.test(value) ? value : ASCTIME_DATE.test(value) ? `${value} GMT` : undefined;
  const until = date === undefined ? Number.NaN : Date.parse(date);
  return until > now ? Math.min(MOST_MS, until - now) : 0;
}
