import { useEffect, useRef, useState } from 'preact/hooks';
import { formatTime } from './format.ts';
import { type Connection, followMesh, type LiveMesh } from './live/mesh-stream.ts';
import { parseRoute, type Route, routeTo, VIEWS } from './route.ts';
import { Shortcuts, useShortcuts } from './shortcuts.tsx';
import { type Theme, useTheme } from './theme.ts';
import { MapView } from './views/map.tsx';
import { Nodes } from './views/nodes.tsx';
import { Overview } from './views/overview.tsx';
import { ResolveView } from './views/resolve.tsx';
import { Services } from './views/services.tsx';
import { Tap } from './views/tap.tsx';

/** The page: what stays (name, views, connection) around the view that the address names. */
export function App() {
  const [live, setLive] = useState<LiveMesh>({ mesh: null, connection: { state: 'connecting' } });
  useEffect(() => followMesh(setLive), []);
  const route = useRoute();
  const [theme, switchTheme] = useTheme();
  const [help, setHelp] = useState(false);
  useShortcuts(switchTheme, () => setHelp(true));
  const { mesh, connection } = live;
  const old = mesh !== null && connection.state !== 'live';
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the view
      </button>
      <header class="top">
        <p class="brand">
          <img src="assets/icon.svg" width="24" height="24" alt="" /> <b>nodemesh</b>{' '}
          <span class="scope">{mesh === null ? '' : mesh.scope.kind === 'mesh' ? 'whole mesh' : mesh.scope.node}</span>
        </p>
        <nav aria-label="Views">
          {VIEWS.map(({ view, title }) => (
            <a key={view} href={routeTo(view)} {...(view === route.view ? { 'aria-current': 'page' as const } : {})}>
              {title}
            </a>
          ))}
        </nav>
        <p class="tools">
          <output class={`connection is-${connection.state}`}>{SAYS[connection.state]}</output>
          <button type="button" class="quiet" onClick={switchTheme} title="Dark or light (t)">
            {theme === 'dark' ? 'Light' : 'Dark'}
          </button>
          <button type="button" class="quiet" onClick={() => setHelp(true)} title="Keyboard shortcuts (?)">
            <span aria-hidden="true">?</span>
            <span class="unseen">Keyboard shortcuts</span>
          </button>
        </p>
      </header>
      <main id="main" tabIndex={-1} class={old ? 'old' : ''}>
        <h1 tabIndex={-1}>{titleOf(route)}</h1>
        <View route={route} live={live} theme={theme} />
      </main>
      <div role="alert">
        <Trouble connection={connection} at={mesh?.at ?? null} />
      </div>
      {help && <Shortcuts onClose={() => setHelp(false)} />}
    </>
  );
}

const SAYS: Readonly<Record<Connection['state'], string>> = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'Connection lost',
  refused: 'Not allowed',
};

function View({ route, live: { mesh, connection }, theme }: { route: Route; live: LiveMesh; theme: Theme }) {
  // These two ask by themselves, and need no numbers.
  if (route.view === 'tap') return <Tap mesh={mesh} query={route.query} />;
  if (route.view === 'resolve') return <ResolveView query={route.query} />;
  if (mesh === null) {
    return (
      <p class="waiting">
        {connection.state === 'connecting' ? 'Waiting for the first numbers…' : 'No numbers came yet.'}
      </p>
    );
  }
  if (route.view === 'map') return <MapView mesh={mesh} query={route.query} />;
  if (route.view === 'services') return <Services mesh={mesh} route={route} theme={theme} />;
  if (route.view === 'nodes') return <Nodes mesh={mesh} />;
  return <Overview mesh={mesh} />;
}

/** What is wrong with the connection, and what to do. It lies over the page, so that nothing moves. */
function Trouble({ connection, at }: { connection: Connection; at: number | null }) {
  if (connection.state === 'lost') {
    return (
      <p class="trouble">
        <b>Connection lost at {formatTime(connection.since)}.</b> {connection.why} Trying again.{' '}
        {at !== null && `What is shown is of ${formatTime(at)}.`}
      </p>
    );
  }
  if (connection.state !== 'refused') return null;
  return (
    <p class="trouble">
      <b>The server does not let this page see the mesh.</b> It needs a token, which browsers do not send by themselves.
      Run <code>nodemesh dashboard</code>, which opens the console with yours. <small>It said: {connection.text}</small>
    </p>
  );
}

/** The route that the address names; a new view gets the focus on its heading, and the window its title. */
function useRoute(): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash));
  const before = useRef(route);
  useEffect(() => {
    const read = () => setRoute(parseRoute(location.hash));
    addEventListener('hashchange', read);
    return () => removeEventListener('hashchange', read);
  }, []);
  useEffect(() => {
    document.title = `${titleOf(route)} · nodemesh`;
    const moved = before.current.view !== route.view || before.current.rest.join() !== route.rest.join();
    before.current = route;
    if (!moved) return;
    scrollTo(0, 0);
    document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  }, [route]);
  return route;
}

function titleOf({ view, rest }: Route): string {
  if (view === 'services' && rest.length === 2) return `${rest[1]} in ${rest[0]}`;
  return VIEWS.find((one) => one.view === view)?.title ?? '';
}
