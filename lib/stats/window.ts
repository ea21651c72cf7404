import { DEFAULT_WINDOW_S, INTERVAL_MS, MAX_WINDOW_S } from './node-stats.ts';

/** `window` of a query, in ms: seconds, 5 to 300, 60 where nothing is said. Undefined for anything else. */
export function windowOf(query: URLSearchParams): number | undefined {
  const text = query.get('window') ?? String(DEFAULT_WINDOW_S);
  const seconds = /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN;
  return seconds * 1_000 >= INTERVAL_MS && seconds <= MAX_WINDOW_S ? seconds * 1_000 : undefined;
}

export const WINDOW_FORMS = `window: give seconds, ${INTERVAL_MS / 1_000} to ${MAX_WINDOW_S}\n`;
