import type { MeshView } from '../../lib/stats/mesh-view.ts';

/** How the page stands with the server. */
export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  | { readonly state: 'lost'; readonly since: number; readonly why: string }
  /** It says no: `text` is its own, and says what to do. */
  | { readonly state: 'refused'; readonly text: string };

export interface LiveMesh {
  /** The last that came; also while the connection is lost. */
  readonly mesh: MeshView | null;
  readonly connection: Connection;
}

/**
 * An update comes every two seconds, of a large mesh whose daemons answer late up to every twenty (lib/console/live-views.ts); after this
 * long without one, the connection hangs.
 */
const SILENCE_MS = 25_000;
const LOOK_MS = 10_000;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 10_000;

/**
 * Follows `api/stream` for as long as the page lives. An EventSource says nothing of why it failed, and gives up on an answer
 * other than 200 (HTML standard, 9.2.3): so each failure is looked into by one plain request, and tried again from here.
 * `onChange` gets every new state.
 */
export function followMesh(onChange: (live: LiveMesh) => void): void {
  let live: LiveMesh = { mesh: null, connection: { state: 'connecting' } };
  let retryMs = FIRST_RETRY_MS;
  let silence: number | undefined;
  connect();

  function connect(): void {
    const source = new EventSource('api/stream?window=60');
    expectNews(source);
    source.addEventListener('mesh', (event) => {
      retryMs = FIRST_RETRY_MS;
      expectNews(source);
      change({ mesh: JSON.parse(event.data), connection: { state: 'live' } });
    });
    source.onerror = () => fail(source, 'The connection broke.');
  }

  function expectNews(source: EventSource): void {
    clearTimeout(silence);
    silence = window.setTimeout(() => fail(source, `Nothing came for ${SILENCE_MS / 1_000} seconds.`), SILENCE_MS);
  }

  async function fail(source: EventSource, why: string): Promise<void> {
    clearTimeout(silence);
    source.close();
    const since = live.connection.state === 'lost' ? live.connection.since : Date.now();
    change({ ...live, connection: (await refusal()) ?? { state: 'lost', since, why } });
    setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
  }

  function change(next: LiveMesh): void {
    live = next;
    onChange(live);
  }
}

/** What the server says to a plain request, if it answers that it may not, or cannot, show the mesh. */
async function refusal(): Promise<Connection | undefined> {
  try {
    const answer = await fetch('api/mesh', { signal: AbortSignal.timeout(LOOK_MS) });
    if (answer.ok) return undefined;
    const text = (await answer.text()).trim().slice(0, 500);
    if (answer.status === 401 || answer.status === 403) {
      return { state: 'refused', text: text || `The server answered ${answer.status}.` };
    }
    return {
      state: 'lost',
      since: Date.now(),
      why: `The server answered ${answer.status}${text === '' ? '' : `: ${text}`}.`,
    };
  } catch {
    return undefined;
  }
}
