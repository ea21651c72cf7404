import { useEffect, useState } from 'preact/hooks';
import type { Resolution, ResolvedEndpoint } from '../../lib/explain.ts';
import { formatMs, formatShare } from '../format.ts';
import type { Level } from '../health.ts';
import { resolve } from '../live/resolution.ts';
import { Mark, Panel } from '../parts/marks.tsx';
import { routeTo } from '../route.ts';

type Answer = { readonly resolution: Resolution } | { readonly failed: string } | null;

/** Asks where a name leads for a caller, and draws the way. The question is in the address: it can be passed on. */
export function ResolveView({ query }: { query: URLSearchParams }) {
  const asked = Object.fromEntries(['host', 'from', 'method', 'path'].map((name) => [name, query.get(name) ?? '']));
  const question = query.toString();
  const [fields, setFields] = useState(asked);
  const [answer, setAnswer] = useState<Answer>(null);
  useEffect(() => {
    setFields(asked);
    setAnswer(null);
    if (asked.host === '') return;
    const gone = new AbortController();
    resolve(asked, gone.signal).then(
      (resolution) => setAnswer({ resolution }),
      (error: Error) => {
        if (!gone.signal.aborted) setAnswer({ failed: error.message });
      },
    );
    return () => gone.abort();
  }, [question]);

  const field = (name: string, title: string, placeholder: string, more: object = {}) => (
    <label class="field">
      <span>{title}</span>
      <input
        value={fields[name] ?? ''}
        placeholder={placeholder}
        autocapitalize="off"
        spellcheck={false}
        onInput={({ currentTarget }) => setFields({ ...fields, [name]: currentTarget.value })}
        {...more}
      />
    </label>
  );
  return (
    <div class="stack resolve">
      <form
        class="fields"
        onSubmit={(event) => {
          event.preventDefault();
          location.hash = routeTo('resolve', [], fields);
        }}
      >
        {field('host', 'Name as the caller writes it', 'world, world.shop:8080, 10.0.0.7', { required: true })}
        {field('from', 'From', 'namespace/pod, address or namespace')}
        {field('path', 'Path', '/')}
        <button type="submit" class="main">
          Resolve
        </button>
      </form>
      <div aria-live="polite">
        {answer === null && (
          <p class="empty">
            {asked.host === ''
              ? 'Where does a name lead, for this pod, and why? Nothing is sent to the endpoints.'
              : 'Asking…'}
          </p>
        )}
        {answer !== null && 'failed' in answer && (
          <p class="said">
            <Mark level="bad">No answer: {answer.failed}</Mark>
          </p>
        )}
        {answer !== null && 'resolution' in answer && <Way resolution={answer.resolution} />}
      </div>
    </div>
  );
}

function Way({ resolution }: { resolution: Resolution }) {
  const { outcome, steps, endpoints, caller } = resolution;
  return (
    <>
      <p class={`outcome is-${outcome.ok ? 'good' : 'bad'}`}>
        <Mark level={outcome.ok ? 'good' : 'bad'}>
          <b>{outcome.text}</b>
        </Mark>{' '}
        <small>
          {outcome.error !== null && `${outcome.error} · `}as {resolution.node} has it
          {!caller.known && ` · caller: ${caller.why}`}
        </small>
      </p>
      <ol class="way">
        {steps.map((step, index) => (
          <li key={index} class={step.ok ? '' : 'is-bad'}>
            <small>{step.step}</small>
            <Mark level={step.ok ? 'good' : 'bad'}>
              <b>{step.title}</b>
            </Mark>
            <p>{step.detail}</p>
          </li>
        ))}
      </ol>
      <Panel title={`Endpoints (${endpoints.length})`} class="full">
        {endpoints.length === 0 ? <p class="empty">None.</p> : <Endpoints endpoints={endpoints} />}
      </Panel>
    </>
  );
}

function Endpoints({ endpoints }: { endpoints: readonly ResolvedEndpoint[] }) {
  return (
    <ul class="endpoints">
      {endpoints.map((endpoint) => {
        const { level, text } = standing(endpoint);
        return (
          <li key={endpoint.address} class={level === 'good' ? '' : 'unused'}>
            <div>
              <b>{endpoint.pod ?? endpoint.address}</b>
              <small>
                {endpoint.address}
                {endpoint.node !== null && ` on ${endpoint.node}`}
                {endpoint.zone !== null && `, zone ${endpoint.zone}`}
              </small>
            </div>
            <div>
              <Mark level={level}>{text}</Mark>
              <small>
                {endpoint.gateway === null ? 'directly' : `through ${endpoint.gateway}`}
                {endpoint.policy.by !== '' &&
                  endpoint.policy.by !== 'none' &&
                  ` · ${endpoint.policy.verdict} by ${endpoint.policy.by}`}
              </small>
            </div>
            <div class="share">
              <span>{endpoint.weight === null ? '–' : formatShare(endpoint.weight)}</span>
              <svg class="bar" width="100%" height="6" aria-hidden="true">
                <rect width={`${(endpoint.weight ?? 0) * 100}%`} height="6" rx="3" />
              </svg>
              <small>
                {formatMs(endpoint.latencyMs)} · {endpoint.inFlight ?? 0} in flight
              </small>
            </div>
          </li>
        );
      })}
    </ul>
  );
}

/** Whether requests go there, and if not, why. */
function standing(endpoint: ResolvedEndpoint): { level: Level; text: string } {
  if (endpoint.dropped !== null) return { level: 'none', text: `not used: ${endpoint.dropped}` };
  if (endpoint.policy.verdict === 'denied') return { level: 'bad', text: `denied by ${endpoint.policy.by}` };
  if (endpoint.out) return { level: 'warn', text: 'out: it failed too often, and is tried again later' };
  if (!endpoint.ready) return { level: 'warn', text: 'not ready' };
  return { level: 'good', text: 'used' };
}
