import { useEffect, useState } from 'preact/hooks';
import type { MeshView } from '../../lib/stats/mesh-view.ts';
import { formatMs, formatTime } from '../format.ts';
import type { Level } from '../health.ts';
import { followTap, keepLatest, type TapRecord, type TapUpdate } from '../live/tap-stream.ts';
import { Mark, Panel } from '../parts/marks.tsx';

const STATES: Readonly<Record<TapUpdate['state'], string>> = {
  connecting: 'Connecting',
  live: 'Listening',
  failed: 'The server does not let this page tap. Run nodemesh dashboard, with a role that may get /nodemesh/tap.',
};
const FIELDS = [
  { name: 'namespace', title: 'Namespace', placeholder: 'shop' },
  { name: 'service', title: 'Service', placeholder: 'world' },
  { name: 'path', title: 'Path', placeholder: '/api/*' },
] as const;
const METHODS = ['', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'CONNECT'];
const STATUSES = ['', '2xx', '3xx', '4xx', '5xx'];
/** More rows than this nobody reads at once; the rest is kept for a filter's sake no longer than the newest 500. */
const DRAWN = 100;

/** Requests as they end, newest first. The server filters; the list is bounded, and says what was left out. */
export function Tap({ mesh, query }: { mesh: MeshView | null; query: URLSearchParams }) {
  const [filters, setFilters] = useState<Readonly<Record<string, string>>>(() => Object.fromEntries(query));
  const [records, setRecords] = useState<readonly TapRecord[]>([]);
  const [state, setState] = useState<TapUpdate['state']>('connecting');
  const [dropped, setDropped] = useState(0);
  const [paused, setPaused] = useState(false);
  const [shown, setShown] = useState<TapRecord | null>(null);

  useEffect(() => {
    if (paused) return;
    setState('connecting');
    let stop = () => {};
    // Filters change by the letter: each change asks the daemons anew.
    const settled = setTimeout(() => {
      stop = followTap(filters, (update) => {
        setState(update.state);
        setDropped((sum) => sum + update.dropped);
        if (update.records.length > 0) setRecords((kept) => keepLatest(kept, update.records));
      });
    }, 300);
    return () => {
      clearTimeout(settled);
      stop();
    };
  }, [filters, paused]);

  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.key !== ' ' || /^(?:INPUT|SELECT|BUTTON|A)$/.test(target.tagName)) return;
      event.preventDefault();
      setPaused((before) => !before);
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, []);

  const change = (name: string, value: string) => {
    setFilters({ ...filters, [name]: value });
    setRecords([]);
    setDropped(0);
  };
  const namespaces = [...new Set(mesh?.services.map(({ namespace }) => namespace))];
  return (
    <div class="stack tap">
      <form class="fields" onSubmit={(event) => event.preventDefault()}>
        {FIELDS.map(({ name, title, placeholder }) => (
          <label class="field" key={name}>
            <span>{title}</span>
            <input
              value={filters[name] ?? ''}
              placeholder={placeholder}
              list={name === 'namespace' ? 'namespaces' : undefined}
              onInput={({ currentTarget }) => change(name, currentTarget.value)}
            />
          </label>
        ))}
        <datalist id="namespaces">
          {namespaces.map((namespace) => (
            <option key={namespace} value={namespace} />
          ))}
        </datalist>
        <Choice
          title="Method"
          value={filters.method ?? ''}
          of={METHODS}
          onChange={(value) => change('method', value)}
        />
        <Choice
          title="Status"
          value={filters.status ?? ''}
          of={STATUSES}
          onChange={(value) => change('status', value)}
        />
        <button type="button" class="main" onClick={() => setPaused(!paused)}>
          {paused ? 'Go on' : 'Pause'}
        </button>
        <button type="button" class="quiet" onClick={() => setRecords([])}>
          Clear
        </button>
      </form>
      <p class="under">
        <output>{paused ? 'Paused' : STATES[state]}</output>
        <span>
          {records.length} kept
          {dropped > 0 &&
            `, ${dropped.toLocaleString('en')} dropped: more came than are passed on. Filter to see them.`}
        </span>
      </p>
      <div class="split">
        <Records records={records} shown={shown} onShow={setShown} />
        {shown !== null && <Detail record={shown} onClose={() => setShown(null)} />}
      </div>
    </div>
  );
}

function Choice(props: { title: string; value: string; of: readonly string[]; onChange: (value: string) => void }) {
  return (
    <label class="field">
      <span>{props.title}</span>
      <select value={props.value} onChange={({ currentTarget }) => props.onChange(currentTarget.value)}>
        {props.of.map((one) => (
          <option key={one} value={one}>
            {one === '' ? 'any' : one}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Rows keep their places and change their texts: a list that jumps with every request cannot be read, or clicked. */
function Records(props: {
  records: readonly TapRecord[];
  shown: TapRecord | null;
  onShow: (record: TapRecord) => void;
}) {
  return (
    <section class="panel full">
      <section class="scroller" tabIndex={0} aria-label="Requests, scrolls">
        <table class="dense">
          <caption class="unseen">Requests, newest first</caption>
          <thead>
            <tr>
              <th scope="col" class="w-time">
                At
              </th>
              <th scope="col" class="w-status">
                Status
              </th>
              <th scope="col" class="w-method">
                Method
              </th>
              <th scope="col">Path</th>
              <th scope="col" class="minor-phone">
                From
              </th>
              <th scope="col" class="minor-phone">
                To
              </th>
              <th scope="col" class="numeric w-took">
                Took
              </th>
            </tr>
          </thead>
          <tbody>
            {props.records.slice(0, DRAWN).map((record, place) => (
              <tr key={place} class={record.number === props.shown?.number ? 'chosen' : ''}>
                <td>{formatTime(Date.parse(record.timestamp))}</td>
                <td>
                  <Mark level={levelOfStatus(record)}>{record.status || record.error || 'none'}</Mark>
                </td>
                <td>{record.method}</td>
                <th scope="row">
                  <button type="button" class="link" onClick={() => props.onShow(record)} title={record.uri}>
                    {record.uri || '–'}
                  </button>
                </th>
                <td class="minor-phone">{record.source}</td>
                <td class="minor-phone">
                  {record.service} {record.direction === 'incoming' && <small>(incoming)</small>}
                </td>
                <td class="numeric">{formatMs(record.totalMs)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        {props.records.length === 0 && <p class="empty">No request that matches has ended yet.</p>}
      </section>
    </section>
  );
}

function Detail({ record, onClose }: { record: TapRecord; onClose: () => void }) {
  return (
    <Panel
      title="One request"
      class="detail"
      aside={
        <button type="button" class="quiet" onClick={onClose}>
          Close
        </button>
      }
    >
      <dl class="record" tabIndex={0}>
        {record.fields
          .filter(([, value]) => value !== '' && value !== '[]')
          .map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
    </Panel>
  );
}

function levelOfStatus({ status, error }: TapRecord): Level {
  if (error !== '' || status >= 500 || status === 0) return 'bad';
  return status >= 400 ? 'warn' : 'good';
}
