/** One finished request, as much of a daemon's record as the page shows. Strings are '' and numbers 0 where it says nothing. */
export interface TapRecord {
  /** Of this page: the newest has the highest. */
  readonly number: number;
  readonly timestamp: string;
  readonly direction: string;
  readonly source: string;
  readonly method: string;
  readonly host: string;
  readonly uri: string;
  readonly status: number;
  readonly error: string;
  readonly totalMs: number;
  readonly service: string;
  readonly retries: readonly string[];
  /** All that came, for the detail: name and text. */
  readonly fields: readonly (readonly [string, string])[];
}

/** Reads what the server sent as `event: request`. Undefined where that is no object. */
export function parseTapRecord(data: string, number: number): TapRecord | undefined {
  const given: unknown = JSON.parse(data);
  if (typeof given !== 'object' || given === null) return undefined;
  const fields = given as Record<string, unknown>;
  const text = (name: string) => (typeof fields[name] === 'string' ? fields[name] : '');
  const amount = (name: string) => (typeof fields[name] === 'number' ? fields[name] : 0);
  const workload = text('src_workload') === '' ? '' : `${text('src_namespace')}/${text('src_workload')}`;
  return {
    number,
    timestamp: text('timestamp'),
    direction: text('direction'),
    source: workload || text('client_addr'),
    method: text('method'),
    host: text('host'),
    uri: text('uri'),
    status: amount('status'),
    error: text('error'),
    totalMs: amount('total_ms'),
    service: text('dst_service') === '' ? text('host') : `${text('dst_namespace')}/${text('dst_service')}`,
    retries: Array.isArray(fields.retries) ? fields.retries.map(String) : [],
    fields: Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  };
}

/** So many are kept: enough to read back over, and few enough for a page that stays open for days. */
export const TAP_KEPT = 500;

/** The list after `fresh` (oldest first) has come: newest first, and no more than `TAP_KEPT`. */
export function keepLatest(kept: readonly TapRecord[], fresh: readonly TapRecord[]): readonly TapRecord[] {
  return [...fresh.toReversed(), ...kept].slice(0, TAP_KEPT);
}

export interface TapUpdate {
  readonly state: 'connecting' | 'live' | 'failed';
  /** Since the last update, oldest first. */
  readonly records: readonly TapRecord[];
  /** Matched, but more than the server passes on in a second; since the last update. */
  readonly dropped: number;
}

/** Requests come in bursts: the page is drawn this often at most, ms. */
const BATCH_MS = 250;

/** Follows `api/tap` with these filters until the returned function is called. The browser itself connects again. */
export function followTap(
  filters: Readonly<Record<string, string>>,
  onUpdate: (update: TapUpdate) => void,
): () => void {
  const asked = new URLSearchParams(Object.entries(filters).filter(([, value]) => value !== ''));
  const source = new EventSource(`api/tap?${asked}`);
  let batch: TapRecord[] = [];
  let dropped = 0;
  let count = 0;
  let state: TapUpdate['state'] = 'connecting';
  let timer: number | undefined;
  const later = () => {
    timer ??= window.setTimeout(() => {
      timer = undefined;
      onUpdate({ state, records: batch, dropped });
      batch = [];
      dropped = 0;
    }, BATCH_MS);
  };
  source.onopen = () => {
    state = 'live';
    later();
  };
  source.onerror = () => {
    state = source.readyState === EventSource.CLOSED ? 'failed' : 'connecting';
    later();
  };
  source.addEventListener('request', (event) => {
    const record = parseTapRecord(event.data, ++count);
    if (record !== undefined) batch.push(record);
    if (batch.length > TAP_KEPT) batch.shift();
    later();
  });
  source.addEventListener('dropped', (event) => {
    dropped += Number(JSON.parse(event.data).count) || 0;
    later();
  });
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
